"""KFP's six-field cron, against moments worked out by hand."""

from datetime import UTC, datetime

import pytest

from data.errors import ConfigError
from pipeline.kubeflow.cron import local_times, parse

NOW = datetime(2026, 11, 26, 18, 45, 30, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("text", "firings"),
    [
        ("0 0 3 * * *", ["2026-11-27 03:00:00", "2026-11-28 03:00:00", "2026-11-29 03:00:00"]),
        ("*/20 45 18 * * *", ["2026-11-26 18:45:40", "2026-11-27 18:45:00"]),
        ("0 30 2 ? * 1-5", ["2026-11-27 02:30:00", "2026-11-30 02:30:00"]),
        ("0 30 2 ? * MON,sat", ["2026-11-28 02:30:00", "2026-11-30 02:30:00"]),
        ("0 0 0 29 FEB *", ["2028-02-29 00:00:00"]),
        ("0 15/20 19 26 11 ?", ["2026-11-26 19:15:00", "2026-11-26 19:35:00"]),
        # Both fields of days restricted: one is enough. 1 December, and every Sunday.
        ("0 0 6 1 * SUN", ["2026-11-29 06:00:00", "2026-12-01 06:00:00", "2026-12-06 06:00:00"]),
        ("@weekly", ["2026-11-29 00:00:00", "2026-12-06 00:00:00"]),
        ("0 0 6 */10 * SUN", ["2027-01-31 06:00:00"]),
        # A star anywhere in a list of days restricts them by the other field.
        ("0 0 6 1,*/10 * SUN", ["2027-01-31 06:00:00"]),
        ("? ?/30 6 ? ? ?", ["2026-11-27 06:00:00", "2026-11-27 06:00:01"]),
        ("+5,, 0 0 1 JAN ?", ["2027-01-01 00:00:05"]),
        ("@yearly", ["2027-01-01 00:00:00"]),
        ("@every 1h30m", ["2026-11-26 20:15:30", "2026-11-26 21:45:30"]),
        ("@every 500ms", ["2026-11-26 18:45:31"]),
        ("0 0 0 29 2 ?", ["2028-02-29 00:00:00", "2032-02-29 00:00:00", "2036-02-29 00:00:00"]),
    ],
)
def test_the_next_firings(text: str, firings: list[str]) -> None:
    """In UTC."""
    found = parse(text).after(NOW, len(firings))
    assert [f"{f:%Y-%m-%d %H:%M:%S}" for f in found] == firings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 3 * * *", 'has 5 fields; expected six. Unix has five; .*"0 0 3 \\* \\* \\*"'),
        ("0 0 25 * * *", "hour '25': '25' is not one of 0 to 23"),
        ("0 0 3 * 13 *", "month '13': '13' is not one of 1 to 12 or JAN to DEC"),
        ("0 0 3 * * 7", "day of week '7': '7' is not one of 0 to 6 or SUN to SAT"),
        ("0 */0 3 * * *", "minute '\\*/0': the step '0' is not a positive number"),
        ("0 0 5-3 * * *", "hour '5-3': the range 5-3 ends before it begins"),
        ("0 0 3-4-5 * * *", "hour '3-4-5': the range 3-4-5 has more than one -"),
        ("0 0 3/4/5 * * *", "hour '3/4/5': there is more than one /"),
        ("@every day", "has 2 fields; expected six"),
        ("0 0 3 x * *", "day of month 'x'"),
    ],
)
def test_a_wrong_field_is_named(text: str, said: str) -> None:
    """And the six are explained."""
    with pytest.raises(ConfigError, match=said) as error:
        parse(text)
    assert "second minute hour day-of-month month day-of-week" in error.value.remedy


@pytest.mark.parametrize("text", ["0 0 3 31 2 ?", "0 0 3 , * *", ", * * * * *"])
def test_what_never_fires_is_refused(text: str) -> None:
    """31 February, and a field without a number, which the Go library takes."""
    with pytest.raises(ConfigError, match="never fires"):
        parse(text).after(NOW, 1)


def test_local_times_are_the_same_moments() -> None:
    """With weekday and zone, for people."""
    for text, moment in zip(
        local_times(parse("0 0 3 * * *"), NOW), parse("0 0 3 * * *").after(NOW, 3), strict=True
    ):
        assert text == f"{moment.astimezone():%A %Y-%m-%d %H:%M:%S %Z}"
