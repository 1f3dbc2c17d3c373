"""KFP's cron expressions: six fields, as robfig/cron 1.2.0 reads them, which its controller uses.

    second minute hour day-of-month month day-of-week
    0      0      3    *            *     *             every night at 03:00:00
    0      30     2    ?            *     1-5           02:30:00 on working days (0 is Sunday)

A field is `*` or `?`, a number, a range a-b, a step */n or a-b/n, or several of these with commas.
Months and days have names as well (JAN, MON). Where neither field of days has a `*` or `?` in it,
one of them is enough, as in every cron. `@daily` and its like, and `@every 1h30m`, are read too.
KFP reads the times in UTC. No Python library reads this dialect; a nightly test compares a thousand
expressions with the Go library. Refused on purpose is what it reads with five fields: it takes the
first for the second, and nobody who writes five means that.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from data.errors import ConfigError

MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
SHORTHANDS: Final = {
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@monthly": "0 0 0 1 * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
}
EVERY: Final = re.compile(r"@every ((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)")
UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
NUMBER: Final = re.compile(r"\+?[0-9]+")
MAX_YEARS: Final = 5
"""How many years after the last one a firing is looked for, as robfig/cron does."""


@dataclass(frozen=True)
class Field:
    """One field of an expression: its name, its bounds, and words that stand for numbers."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


FIELDS: Final = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 6, DAYS),
)
HELP: Final = (
    "Six fields: second minute hour day-of-month month day-of-week, in UTC; e.g. "
    '"0 0 3 * * *" is every night at 03:00.'
)


@dataclass(frozen=True)
class Cron:
    """A schedule.

    Attributes:
      text: as it was given.
      allowed: field by field, the numbers at which it fires.
      any_day: whether a field of days has a star: of the month, of the week.
      every_s: seconds from one firing to the next; 0 where the fields say when.
    """

    text: str
    allowed: tuple[frozenset[int], ...] = ()
    any_day: tuple[bool, bool] = (True, True)
    every_s: int = 0

    def after(self, moment: datetime, count: int) -> list[datetime]:
        """Returns the next firings, in UTC.

        Raises:
          ConfigError: if it never fires, e.g. on 31 February.
        """
        last = moment.astimezone(UTC).replace(microsecond=0)
        if self.every_s:
            return [last + timedelta(seconds=n * self.every_s) for n in range(1, count + 1)]
        found: list[datetime] = []
        for firing in self._from(last + timedelta(seconds=1)):
            found.append(firing)
            if len(found) == count:
                return found
        if not found:
            raise ConfigError(f"--cron {self.text!r} never fires.", HELP)
        return found

    def _from(self, moment: datetime) -> Iterator[datetime]:
        """Yields the firings at or after a moment."""
        seconds, minutes, hours, *_ = (sorted(numbers) for numbers in self.allowed)
        day, last_year = moment.replace(hour=0, minute=0, second=0), moment.year
        while day.year <= last_year + MAX_YEARS:
            if self._fires_on(day):
                for hour, minute, second in itertools.product(hours, minutes, seconds):
                    firing = day.replace(hour=hour, minute=minute, second=second)
                    if firing >= moment:
                        last_year = firing.year
                        yield firing
            day += timedelta(days=1)

    def _fires_on(self, day: datetime) -> bool:
        _, _, _, days, months, weekdays = self.allowed
        if day.month not in months:
            return False
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        if any(self.any_day):
            return in_month and in_week
        return in_month or in_week


def parse(text: str) -> Cron:
    """Reads an expression.

    Raises:
      ConfigError: names the field that is wrong, and explains the six.
    """
    if every := EVERY.fullmatch(text.strip()):
        parts = re.findall(r"([\d.]+)([a-zµ]+)", every[1])
        seconds = sum(float(number) * UNITS_S[unit] for number, unit in parts)
        return Cron(text, every_s=max(1, int(seconds)))
    words = SHORTHANDS.get(text.strip(), text).split()
    if len(words) != len(FIELDS):
        hint = (
            f' Unix has five; KFP begins with the second: "0 {" ".join(words)}".'
            if len(words) == 5
            else ""
        )
        raise ConfigError(f"--cron {text!r} has {len(words)} fields; expected six.{hint}", HELP)
    allowed = []
    for field, word in zip(FIELDS, words, strict=True):
        try:
            allowed.append(_numbers(field, word))
        except ValueError as error:
            raise ConfigError(f"--cron {text!r}: {field.name} {word!r}: {error}.", HELP) from error
    return Cron(text, tuple(allowed), (_has_star(words[3]), _has_star(words[5])))


def _spans(word: str) -> list[list[str]]:
    """Returns a field's parts: the span's words, and the step where there is one."""
    return [part.split("/") for part in word.split(",") if part]


def _is_star(span: str) -> bool:
    return span.split("-")[0] in ("*", "?")


def _has_star(word: str) -> bool:
    """Returns whether a part of a field is `*` or `?`, also with a step: the Go library's mark."""
    return any(_is_star(span) for span, *_ in _spans(word))


def _numbers(field: Field, word: str) -> frozenset[int]:
    """Returns the numbers that a field allows.

    Raises:
      ValueError: says what is wrong.
    """
    found: set[int] = set()
    for span, *steps in _spans(word):
        if len(steps) > 1:
            raise ValueError("there is more than one / in a part")
        if steps and not (NUMBER.fullmatch(steps[0]) and int(steps[0])):
            raise ValueError(f"the step {steps[0]!r} is not a positive number")
        first, *last = span.split("-")
        if _is_star(span):
            low, high = field.low, field.high
        elif len(last) > 1:
            raise ValueError(f"the range {span} has more than one -")
        else:
            low = _number(field, first)
            # As robfig/cron reads it: "5/10" begins at 5 and goes to the end.
            high = _number(field, last[0]) if last else (field.high if steps else low)
            if high < low:
                raise ValueError(f"the range {span} ends before it begins")
        found.update(range(low, high + 1, int(steps[0]) if steps else 1))
    return frozenset(found)


def _number(field: Field, text: str) -> int:
    if text.upper() in field.words:
        return field.words.index(text.upper()) + field.low
    if not NUMBER.fullmatch(text) or not field.low <= int(text) <= field.high:
        words = f" or {field.words[0]} to {field.words[-1]}" if field.words else ""
        raise ValueError(f"{text!r} is not one of {field.low} to {field.high}{words}")
    return int(text)


def local_times(cron: Cron, now: datetime | None = None, count: int = 3) -> list[str]:
    """Returns the next firings in this machine's time zone, for people."""
    firings = cron.after(now or datetime.now(UTC), count)
    return [f"{f.astimezone():%A %Y-%m-%d %H:%M:%S %Z}" for f in firings]
