"""Go's time layouts: how ``time.format`` and ``time.parse_ns`` spell a date.

A layout shows how Go's reference time, Mon Jan 2 15:04:05 MST 2006, would be written.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

NAMED = {
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RubyDate": "Mon Jan 02 15:04:05 -0700 2006",
    "RFC822": "02 Jan 06 15:04 MST",
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
}
"""Layouts that have a name in Go and in Rego."""

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_CHUNK = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|_2006|__2|_2|002|01|02|03|04|05|06|15|PM|pm"
    r"|[-Z]07:00:00|[-Z]070000|[-Z]07:00|[-Z]0700|[-Z]07|[.,]0+(?![0-9])|[.,]9+(?![0-9])|1|2|3|4|5"
)


def chunks(layout: str) -> list[tuple[bool, str]]:
    """Return *layout* as (is it a part of the date, its spelling), in order."""
    parts: list[tuple[bool, str]] = []
    at = 0
    for match in _CHUNK.finditer(layout):
        chunk = match.group()
        start = match.start()
        if chunk == "_2006":
            start, chunk = start + 1, "2006"
        if start > at:
            parts.append((False, layout[at:start]))
        parts.append((True, chunk))
        at = match.end()
    if at < len(layout):
        parts.append((False, layout[at:]))
    return parts


def format_time(moment: datetime, nanosecond: int, layout: str) -> str:
    """Return *moment*, whose fraction of a second is *nanosecond*, written as *layout* shows."""
    return "".join(
        _written(moment, nanosecond, chunk) if dated else chunk for dated, chunk in chunks(layout)
    )


def _written(moment: datetime, nanosecond: int, chunk: str) -> str:
    hour12 = moment.hour % 12 or 12
    simple = {
        "January": MONTHS[moment.month - 1], "Jan": MONTHS[moment.month - 1][:3],
        "Monday": DAYS[moment.weekday()], "Mon": DAYS[moment.weekday()][:3],
        "2006": f"{moment.year:04d}", "06": f"{moment.year % 100:02d}",
        "01": f"{moment.month:02d}", "1": str(moment.month),
        "02": f"{moment.day:02d}", "_2": f"{moment.day:2d}", "2": str(moment.day),
        "002": f"{moment.timetuple().tm_yday:03d}", "__2": f"{moment.timetuple().tm_yday:3d}",
        "15": f"{moment.hour:02d}", "03": f"{hour12:02d}", "3": str(hour12),
        "04": f"{moment.minute:02d}", "4": str(moment.minute),
        "05": f"{moment.second:02d}", "5": str(moment.second),
        "PM": "PM" if moment.hour >= 12 else "AM", "pm": "pm" if moment.hour >= 12 else "am",
    }  # fmt: skip
    if chunk in simple:
        return simple[chunk]
    if chunk == "MST":
        name = moment.tzname() or "UTC"
        return name if not name.startswith("UTC") or name == "UTC" else _offset(moment, "-07")
    if chunk[0] in ".,":
        digits = f"{nanosecond:09d}"[: len(chunk) - 1]
        digits = digits.rstrip("0") if chunk[1] == "9" else digits
        return chunk[0] + digits if digits else ""
    return _offset(moment, chunk)


def _offset(moment: datetime, chunk: str) -> str:
    seconds = round((moment.utcoffset() or timedelta()).total_seconds())
    if chunk[0] == "Z" and not seconds:
        return "Z"
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    parts = [f"{seconds // 3600:02d}", f"{seconds // 60 % 60:02d}", f"{seconds % 60:02d}"]
    colon = ":" if ":" in chunk else ""
    return sign + colon.join(parts[: len(chunk.replace(":", "")) // 2])


@dataclass
class _Fields:
    """What was read so far."""

    year: int = 0
    month: int = 1
    day: int = 1
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    afternoon: bool | None = None
    yearday: int | None = None
    zone: tzinfo | None = None


_OFFSETS = {
    "07": re.compile(r"([+-])(\d\d)"),
    "0700": re.compile(r"([+-])(\d\d)(\d\d)"),
    "07:00": re.compile(r"([+-])(\d\d):(\d\d)"),
    "070000": re.compile(r"([+-])(\d\d)(\d\d)(\d\d)"),
    "07:00:00": re.compile(r"([+-])(\d\d):(\d\d):(\d\d)"),
}
_ZONE = re.compile(r"[A-Z]{3,5}|GMT[+-]\d{1,2}|[+-]\d{2}")


def parse_time(layout: str, text: str) -> tuple[datetime, int]:
    """Return the moment that *text* gives by *layout*, in whole seconds, and its nanoseconds.

    Raises ValueError if it does not fit, or is no date.
    """
    fields = _Fields()
    parts = chunks(layout)
    at = 0
    for place, (dated, chunk) in enumerate(parts):
        if not dated:
            if not text.startswith(chunk, at):
                raise ValueError(f"{text!r} does not fit {layout!r} at {chunk!r}")
            at += len(chunk)
            continue
        at = _read(fields, chunk, text, at)
        following = parts[place + 1][1] if place + 1 < len(parts) else ""
        fraction = re.compile(r"[.,](\d+)").match(text, at)
        # A fraction behind the seconds is read even where the layout shows none.
        if chunk in {"05", "5"} and fraction and following[:1] not in {".", ","}:
            fields.nanosecond = int(fraction[1][:9].ljust(9, "0"))
            at = fraction.end()
    if at != len(text):
        raise ValueError(f"{text!r} has more than {layout!r}")
    return _moment(fields), fields.nanosecond


def _moment(fields: _Fields) -> datetime:
    hour = fields.hour
    if fields.afternoon is not None:
        hour = hour % 12 + (12 if fields.afternoon else 0)
    month, day = fields.month, fields.day
    if fields.yearday is not None:
        date = datetime(fields.year, 1, 1) + timedelta(days=fields.yearday - 1)
        month, day = date.month, date.day
    zone = fields.zone or UTC
    return datetime(fields.year, month, day, hour, fields.minute, fields.second, tzinfo=zone)


_NUMBERS = {
    "2006": ("year", 4, 4), "01": ("month", 2, 2), "1": ("month", 1, 2), "02": ("day", 2, 2),
    "2": ("day", 1, 2), "15": ("hour", 1, 2), "03": ("hour", 2, 2), "3": ("hour", 1, 2),
    "04": ("minute", 2, 2), "4": ("minute", 1, 2), "05": ("second", 2, 2), "5": ("second", 1, 2),
    "002": ("yearday", 3, 3),
}  # fmt: skip


def _read(fields: _Fields, chunk: str, text: str, at: int) -> int:
    """Read one *chunk* of a layout from *text* into *fields*; return where it ended."""
    if chunk in {"_2", "__2"}:
        at += len(text[at : at + len(chunk) - 1]) - len(text[at : at + len(chunk) - 1].lstrip())
        chunk = "2" if chunk == "_2" else "002"
        if chunk == "002":
            match = re.compile(r"\d{1,3}").match(text, at)
            if not match:
                raise ValueError("no day of the year")
            fields.yearday = int(match.group())
            return match.end()
    if chunk in _NUMBERS:
        name, least, most = _NUMBERS[chunk]
        match = re.compile(rf"\d{{{least},{most}}}").match(text, at)
        if not match:
            raise ValueError(f"no {name} at {text[at:]!r}")
        setattr(fields, name, int(match.group()))
        return match.end()
    if chunk == "06":
        match = re.compile(r"\d\d").match(text, at)
        if not match:
            raise ValueError("no year")
        fields.year = int(match.group()) + (1900 if int(match.group()) >= 69 else 2000)
        return match.end()
    if chunk in {"January", "Jan", "Monday", "Mon"}:
        return _read_name(fields, chunk, text, at)
    if chunk in {"PM", "pm"}:
        half = text[at : at + 2]
        if half not in ({"AM", "PM"} if chunk == "PM" else {"am", "pm"}):
            raise ValueError("neither AM nor PM")
        fields.afternoon = half.lower() == "pm"
        return at + 2
    if chunk[0] in ".,":
        return _read_fraction(fields, chunk, text, at)
    return _read_zone(fields, chunk, text, at)


def _read_name(fields: _Fields, chunk: str, text: str, at: int) -> int:
    names = MONTHS if chunk.startswith("Jan") else DAYS
    for place, full in enumerate(names):
        name = full if len(chunk) > 3 else full[:3]
        if text[at : at + len(name)].lower() == name.lower():
            if names is MONTHS:
                fields.month = place + 1
            return at + len(name)
    raise ValueError(f"no name at {text[at:]!r}")


def _read_fraction(fields: _Fields, chunk: str, text: str, at: int) -> int:
    match = re.compile(r"[.,](\d+)").match(text, at)
    if chunk[1] == "9" and not match:
        return at
    if not match or (chunk[1] == "0" and len(match[1]) != len(chunk) - 1):
        raise ValueError("no fraction of a second")
    fields.nanosecond = int(match[1][:9].ljust(9, "0"))
    return match.end()


def _read_zone(fields: _Fields, chunk: str, text: str, at: int) -> int:
    if chunk == "MST":
        match = _ZONE.match(text, at)
        if not match:
            raise ValueError("no time zone")
        # Go knows no offset for an abbreviation that is not the machine's own, and takes UTC.
        fields.zone = UTC
        return match.end()
    if chunk[0] == "Z" and text.startswith("Z", at):
        fields.zone = UTC
        return at + 1
    match = _OFFSETS[chunk[1:]].match(text, at)
    if not match:
        raise ValueError("no offset")
    hours, minutes, seconds = ([int(part) for part in match.groups()[1:]] + [0, 0])[:3]
    if hours > 24 or minutes > 60 or seconds > 60:
        raise ValueError("no offset")
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    fields.zone = timezone(-offset if match[1] == "-" else offset)
    return match.end()
