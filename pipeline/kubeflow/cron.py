"""KFP's cron expressions: six fields, of the library robfig/cron that its controller uses.

    second minute hour day-of-month month day-of-week
    0      0      3    *            *     *             every night at 03:00:00
    0      30     2    ?            *     1-5           02:30:00 on working days (0 is Sunday)

A field is `*`, a number, a range a-b, a step */n or a-b/n, or several of these with commas. Months
and days have names as well (JAN, MON); `?` is `*` for the two fields of days. Where both fields of
days are restricted, one of them is enough, as in every cron. KFP reads the times in UTC.
"""

from __future__ import annotations

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
}
MAX_DAYS: Final = 5 * 366
"""How far a firing is looked for: 29 February comes within this time."""


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
      any_day: whether the fields of days are unrestricted: of the month, of the week.
    """

    text: str
    allowed: tuple[frozenset[int], ...]
    any_day: tuple[bool, bool]

    def after(self, moment: datetime, count: int) -> list[datetime]:
        """Returns the next firings, in UTC.

        Raises:
          ConfigError: if it never fires, e.g. on 31 February.
        """
        seconds, minutes, hours, *_ = (sorted(numbers) for numbers in self.allowed)
        moment = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        found: list[datetime] = []
        day = moment.replace(hour=0, minute=0, second=0)
        for _ in range(MAX_DAYS):
            if self._fires_on(day):
                for hour in hours:
                    for minute in minutes:
                        for second in seconds:
                            firing = day.replace(hour=hour, minute=minute, second=second)
                            if firing >= moment:
                                found.append(firing)
                            if len(found) == count:
                                return found
            day += timedelta(days=1)
        if not found:
            raise ConfigError(f"--cron {self.text!r} never fires.", HELP)
        return found

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
    return Cron(text, tuple(allowed), (words[3][0] in "*?", words[5][0] in "*?"))


def _numbers(field: Field, word: str) -> frozenset[int]:
    """Returns the numbers that a field allows.

    Raises:
      ValueError: says what is wrong.
    """
    found: set[int] = set()
    for part in word.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if slash and step_text.isdecimal() else 1
        if slash and (not step_text.isdecimal() or step == 0):
            raise ValueError(f"the step {step_text!r} is not a positive number")
        if span == "*" or (span == "?" and field.name.startswith("day")):
            low, high = field.low, field.high
        else:
            first, dash, last = span.partition("-")
            low = _number(field, first)
            # As robfig/cron reads it: "5/10" begins at 5 and goes to the end.
            high = _number(field, last) if dash else (field.high if slash else low)
            if high < low:
                raise ValueError(f"the range {span} ends before it begins")
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _number(field: Field, text: str) -> int:
    if text.upper() in field.words:
        return field.words.index(text.upper()) + field.low
    if not text.isdecimal() or not field.low <= int(text) <= field.high:
        words = f" or {field.words[0]} to {field.words[-1]}" if field.words else ""
        raise ValueError(f"{text!r} is not one of {field.low} to {field.high}{words}")
    return int(text)


def local_times(cron: Cron, now: datetime | None = None, count: int = 3) -> list[str]:
    """Returns the next firings in this machine's time zone, for people."""
    firings = cron.after(now or datetime.now(UTC), count)
    return [f"{f.astimezone():%A %Y-%m-%d %H:%M:%S %Z}" for f in firings]
