"""`strptime`: layouts run over texts, in zones, with and without the current year.  Expected values are Go's."""

from __future__ import annotations

import random
import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail import _core, _core_testing
from nativemtail.compiler import timelayout
from nativemtail.compiler.abi import LAYOUT_HEADER, LAYOUT_STEP
from nativemtail.programs import zones

NOW = 1_795_295_851  # 2026-11-21T21:17:31Z
MIN, MAX = -(2**63), 2**63 - 1
ZONES = {
    name: _core.TimeZone(zones.load(name))
    for name in ["UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Sydney"]
}


def parse(layout, text, zone="UTC", patch_year=False, now=NOW):
    raw = text if isinstance(text, bytes) else text.encode()
    result = _core_testing._test_time(timelayout.compile_layout(layout), raw, ZONES[zone], patch_year, now)
    return result.decode() if isinstance(result, bytes) else result


def seconds(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp())


PARSED = [
    ("2006-01-02 15:04:05", "2020-02-29 23:59:59", "UTC", seconds(2020, 2, 29, 23, 59, 59), 0),
    ("2006-01-02T15:04:05Z07:00", "2021-05-06T07:08:09Z", "Europe/Berlin", seconds(2021, 5, 6, 7, 8, 9), 0),
    ("2006-01-02T15:04:05Z07:00", "2021-05-06T07:08:09-02:30", "UTC", seconds(2021, 5, 6, 9, 38, 9), 0),
    ("02/Jan/2006:15:04:05 -0700", "06/MAY/2021:07:08:09 +0200", "UTC", seconds(2021, 5, 6, 5, 8, 9), 0),
    ("2006-01-02 15:04:05", "2021-07-01 12:00:00", "Europe/Berlin", seconds(2021, 7, 1, 10), 0),
    ("2006-01-02 15:04:05", "2021-01-01 12:00:00", "Europe/Berlin", seconds(2021, 1, 1, 11), 0),
    ("2006-01-02 15:04:05", "2021-03-28 02:30:00", "Europe/Berlin", 1616895000, 0),
    ("2006-01-02 15:04:05", "2021-10-31 02:30:00", "Europe/Berlin", 1635643800, 0),
    ("2006-01-02 15:04:05", "2021-03-28 01:30:00", "Europe/London", 1616895000, 0),
    ("2006-01-02 15:04:05", "2900-07-01 12:00:00", "Europe/Berlin", seconds(2900, 7, 1, 10), 0),
    ("2006-01-02 15:04:05", "2900-01-01 12:00:00", "Australia/Sydney", seconds(2900, 1, 1, 1), 0),
    ("2006-01-02 MST", "2021-07-01 EDT", "America/New_York", seconds(2021, 7, 1, 4), 0),
    ("2006 MST", "2020 EDT", "America/New_York", 1577851200, 0),
    ("2006-01-02 MST", "2021-07-01 EDT", "UTC", seconds(2021, 7, 1), 0),
    ("2006-01-02 MST", "2021-07-01 UTC", "America/New_York", seconds(2021, 7, 1), 0),
    ("2006 MST", "2020 GMT+5", "America/New_York", seconds(2020, 1, 1), 0),
    ("2006 MST", "2020 +03", "America/New_York", seconds(2020, 1, 1), 0),
    ("2006 -07:00:00", "2020 -00:00:01", "America/New_York", seconds(2020, 1, 1, 5), 0),
    ("2006 -07", "2020 +99", "UTC", seconds(2020, 1, 1) - 99 * 3600, 0),
    ("05", "07.5", "UTC", -62167219193, 500_000_000),
    ("05", "07,123456789123", "UTC", -62167219193, 123_456_789),
    ("05.000", "07.123", "UTC", -62167219193, 123_000_000),
    ("05.999", "07", "UTC", -62167219193, 0),
    ("05.9", "07.123456789", "UTC", -62167219193, 123_456_789),
    ("2006 002", "2020 060", "UTC", seconds(2020, 2, 29), 0),
    ("2006 __2", "2021   9", "UTC", seconds(2021, 1, 9), 0),
    ("2006 Jan 002", "2021 Mar 060", "UTC", seconds(2021, 3, 1), 0),
    ("06-1-2", "69-3-4", "UTC", seconds(1969, 3, 4), 0),
    ("06-1-2", "68-12-31", "UTC", seconds(2068, 12, 31), 0),
    ("2006 3PM", "2021 12AM", "UTC", seconds(2021, 1, 1), 0),
    ("2006 3pm", "2021 12pm", "UTC", seconds(2021, 1, 1, 12), 0),
    ("2006 03PM", "2021 11PM", "UTC", seconds(2021, 1, 1, 23), 0),
    ("Monday, January 2 2006", "SUNDAY,   may   3 2021", "UTC", seconds(2021, 5, 3), 0),
    ("2006 Jan _2", "2021 Jan  2", "UTC", seconds(2021, 1, 2), 0),
    ("_2006", "_2020", "UTC", seconds(2020, 1, 1), 0),
    ("2006 ", "2020", "UTC", seconds(2020, 1, 1), 0),
    ("", "", "UTC", -62167219200, 0),
]


@pytest.mark.parametrize(("layout", "text", "zone", "sec", "nsec"), PARSED)
def test_parsed(layout, text, zone, sec, nsec):
    assert parse(layout, text, zone) == (sec, nsec)


def bad(value, layout, rest, element):
    return f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{element}"'


REFUSED = [
    ("Jan _2 15:04:05", "Foo", bad("Foo", "Jan _2 15:04:05", "Foo", "Jan")),
    ("Jan _2 15:04:05", "Jan", bad("Jan", "Jan _2 15:04:05", "", "_2")),
    ("abc  15", "abd", bad("abd", "abc  15", "d", "abc  ")),
    ("2006 Z07:00:00", "2020 Z", bad("2020 Z", "2006 Z07:00:00", "Z", "Z07:00:00")),
    ("05 .000", "12.5 .120", bad("12.5 .120", "05 .000", ".5 .120", " ")),
    ("2006", "2A05", bad("2A05", "2006", "", "2006")),
    ("3PM", "3AX", bad("3AX", "3PM", "", "PM")),
    ("MST", "ABCD", bad("ABCD", "MST", "ABCD", "MST")),
    ("MST", "GMT+25", 'parsing time "GMT+25": extra text: "+25"'),
    (
        "Jan 2",
        'Jan 3x\0é"\\\x7f',
        'parsing time "Jan 3x\\x00\\xc3\\xa9\\"\\\\\x7f": extra text: "x\\x00\\xc3\\xa9\\"\\\\\x7f"',
    ),
    ("Jan 2", "Feb 30", 'parsing time "Feb 30": day out of range'),
    ("2006 Jan 2", "2021 Feb 29", 'parsing time "2021 Feb 29": day out of range'),
    ("2", "0", 'parsing time "0": day out of range'),
    ("01", "13", 'parsing time "13": month out of range'),
    ("15", "24", 'parsing time "24": hour out of range'),
    ("3", "13", 'parsing time "13": hour out of range'),
    ("04", "60", 'parsing time "60": minute out of range'),
    ("05", "60", 'parsing time "60": second out of range'),
    ("05.000", "12.-12", 'parsing time "12.-12": fractional second out of range'),
    ("2006 002", "2019 366", 'parsing time "2019 366": day-of-year out of range'),
    ("Jan 002", "Feb 001", 'parsing time "Feb 001": day-of-year does not match month'),
    ("2 002", "2 001", 'parsing time "2 001": day-of-year does not match day'),
]


@pytest.mark.parametrize(("layout", "text", "message"), REFUSED)
def test_refused(layout, text, message):
    assert parse(layout, text) == message


@pytest.mark.parametrize(
    ("text", "zone", "now", "expected"),
    [
        ("Nov 21 21:17:31", "UTC", NOW, NOW),
        ("Dec 31 23:00:00", "UTC", NOW, seconds(2026, 12, 31, 23)),
        ("Jul  1 12:00:00", "Europe/Berlin", NOW, seconds(2026, 7, 1, 10)),
        ("Feb 29 12:00:00", "UTC", NOW, seconds(2026, 3, 1, 12)),
        ("Feb 29 12:00:00", "UTC", seconds(2028, 1, 1), seconds(2028, 2, 29, 12)),
        ("Mar  1 12:00:00", "UTC", seconds(2028, 1, 1), seconds(2028, 3, 1, 12)),
        ("Dec 31 12:00:00", "UTC", seconds(2027, 1, 1), seconds(2027, 12, 31, 12)),
        ("Jan  1 00:00:00", "UTC", seconds(2026, 12, 31, 23, 59, 59), seconds(2026, 1, 1)),
        ("Jan  1 00:00:00", "Europe/Berlin", seconds(2026, 12, 31, 23, 59, 59), seconds(2026, 12, 31, 23)),
    ],
)
def test_the_current_year(text, zone, now, expected):
    assert parse("Jan _2 15:04:05", text, zone, patch_year=True, now=now) == (expected, 0)


@pytest.mark.parametrize(
    ("text", "zone", "newest", "expected"),
    [
        ("Nov 21 21:17:31", "UTC", seconds(2026, 11, 21, 21, 17, 31), seconds(2026, 11, 21, 21, 17, 31)),
        ("Nov 21 21:17:32", "UTC", seconds(2026, 11, 21, 21, 17, 31), seconds(2025, 11, 21, 21, 17, 32)),
        ("Dec 31 23:00:00", "UTC", seconds(2026, 1, 1), seconds(2025, 12, 31, 23)),
        ("Jan  1 00:00:00", "Europe/Berlin", seconds(2026, 12, 31, 23, 30), seconds(2026, 12, 31, 23)),
        ("Dec 31 20:00:00", "America/New_York", seconds(2027, 1, 1, 1, 30), seconds(2027, 1, 1, 1)),
        ("Feb 29 12:00:00", "UTC", seconds(2027, 6, 1), seconds(2024, 2, 29, 12)),
        ("Feb 29 12:00:00", "UTC", seconds(1903, 6, 1), seconds(1896, 2, 29, 12)),
        ("Mar  1 12:00:00", "UTC", seconds(2025, 3, 2), seconds(2025, 3, 1, 12)),
        ("Mar  1 12:00:00", "UTC", seconds(2024, 3, 2), seconds(2024, 3, 1, 12)),
    ],
)
def test_the_latest_year_that_an_instant_allows(text, zone, newest, expected):
    assert parse("Jan _2 15:04:05", text, zone, patch_year=2, now=newest) == (expected, 0)


def test_a_year_that_is_there_stays():
    assert parse("2006-01-02", "2001-02-03", patch_year=True) == (seconds(2001, 2, 3), 0)
    assert parse("Jan 2", "Feb 29") == (-62167219200 + 59 * 86400, 0)


@given(st.datetimes(min_value=datetime(1, 1, 1)), st.integers(-18 * 60, 18 * 60))
def test_offsets_as_python(moment, minutes):
    sign = "-" if minutes < 0 else "+"
    text = f"{moment:%Y-%m-%dT%H:%M:%S}".zfill(19) + f".{moment.microsecond:06}"
    text += f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    since = moment - datetime(1970, 1, 1) - timedelta(minutes=minutes)
    assert parse("2006-01-02T15:04:05Z07:00", text) == (since.days * 86400 + since.seconds, since.microseconds * 1000)


@given(st.binary(max_size=40), st.text(alphabet="0123456_Z-.,: JanMonPMST7", max_size=30))
def test_any_bytes_end_in_a_time_or_a_message(text, layout):
    result = parse(layout, text, "America/New_York", patch_year=True)
    assert isinstance(result, tuple) or result.startswith('parsing time "')


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\0" * 8, timelayout.compile_layout("15:04")[:-1], timelayout.compile_layout("15:04") + b"x",
     b"\x63" + timelayout.compile_layout("15:04")[1:], LAYOUT_HEADER.pack(1, 0) + LAYOUT_STEP.pack(99, 0, 0, 0, 0),
     LAYOUT_HEADER.pack(1, 2) + LAYOUT_STEP.pack(0, 0, 0, 3, 0) + b"ab"],
)  # fmt: skip
def test_damaged_layouts_are_found(damaged):
    assert not _core_testing._test_layout_check(damaged)


SAMPLE = [
    "Africa/Casablanca",
    "America/Nuuk",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    *random.Random(3).sample(sorted(zoneinfo.available_timezones() - {"localtime"}), 40),
]


@pytest.mark.parametrize("name", SAMPLE)
def test_zones_as_python(name):
    zone = zones.load(name)
    native = _core.TimeZone(zone)
    python = zoneinfo.ZoneInfo(name)
    choice = random.Random(name)
    instants = [choice.randrange(-(2**31), 7 * 2**30 * 30) for _ in range(300)]
    instants += [start + delta for start in zone.starts[:300] if start > -(2**35) for delta in (-1, 0, 1)]
    for instant in instants:
        local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant)).astimezone(python)
        offset, label = _core_testing._test_offset(native, instant)
        assert (offset, label.decode()) == (local.utcoffset().total_seconds(), local.tzname()), instant


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Foo/Bar", "unknown time zone Foo/Bar"),
        ("utc", "unknown time zone utc"),
        ("../x", "time: invalid location name"),
        ("/etc/passwd", "time: invalid location name"),
        ("Europe", "is a directory"),
    ],
)
def test_unknown_zones(name, reason):
    with pytest.raises(LookupError) as caught:
        zones.load(name)
    assert caught.value.args == (f'Couldn\'t parse timezone "{name}": {reason}',)


def test_names_for_utc_and_local(monkeypatch):
    assert zones.load("") == zones.load("UTC")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert zones.load("Local").starts == zones.load("Europe/Berlin").starts
    assert zones.load("Local").name == "Local"
    for name in ("No/Where", "/dev/zero", ":/proc/self/pagemap", "/"):
        monkeypatch.setenv("TZ", name)
        assert zones.load("Local") == zones.load("UTC")


@pytest.mark.parametrize(
    ("sec", "nsec", "expected"),
    [
        (0, 0, 0),
        (-1, 999_999_999, -1),
        (-1, 0, -1_000_000_000),
        (9_223_372_036, 854_775_807, MAX),
        (9_223_372_036, 854_775_808, MAX),
        (9_223_372_037, 0, MAX),
        (-9_223_372_037, 145_224_192, MIN),
        (-9_223_372_037, 145_224_191, MIN),
        (-9_223_372_037, 145_224_193, MIN + 1),
        (-62_167_219_200, 0, MIN),
        (MAX, 999_999_999, MAX),
        (MIN, 0, MIN),
    ],
)
def test_nanoseconds_are_held_at_the_limits(sec, nsec, expected):
    assert _core_testing._test_nanoseconds(sec, nsec) == expected
