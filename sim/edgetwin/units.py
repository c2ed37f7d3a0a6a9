"""The quantities that people write, as the whole numbers that the package reckons with.

Durations become integer microseconds, sizes integer bytes, processors float cores, rates integer
bits a second. Nothing else in the package knows how they are spelt.
"""

import re
from decimal import Decimal

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

_DURATION_US = {
    "us": 1, "ms": 1_000, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US,
    "w": 7 * DAY_US,
}  # fmt: skip
_SIZE = {
    "": 1, "B": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_RATE = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION_PART = re.compile(_NUMBER + r"(us|ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_SIZE_FORM = re.compile(_NUMBER + r"\s*([A-Za-z]*)")
_RATE_FORM = re.compile(_NUMBER + r"\s*([kMG]?bit/s)")


DURATION_US_MAX = 100 * 365 * DAY_US
SIZE_BYTES_MAX = 2**50
CORES_MAX = 1_000_000
BITS_PER_S_MAX = 10**15
"""Bounds of what is read. Chosen: beyond all that stands at an edge, and sums stay in 64 bits."""


def _at_most(value: float, most: float, text: str, bound: str) -> float:
    """Return *value*; raises ValueError, quoting *text*, if it is more than *most*."""
    if value > most:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise ValueError(f"{shown!r} is more than {bound}; write less")
    return value


def duration_us(text: str) -> int:
    """Return the duration *text*, such as ``50ms``, ``60s`` or ``1h30m``, in microseconds.

    >>> duration_us("60s"), duration_us("7d"), duration_us("1h30m"), duration_us("1.5ms")
    (60000000, 604800000000, 5400000000, 1500)

    Raises ValueError, quoting *text*, if it has no unit or is no duration.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write for example '50ms', '60s', '7d'")
    us = sum(float(n) * _DURATION_US[u] for n, u in _DURATION_PART.findall(text))
    return round(_at_most(us, DURATION_US_MAX, text, "100 years"))


def size_bytes(text: str) -> int:
    """Return the size *text*, such as ``128Mi`` or ``10G``, in bytes (Ki is 1024, k is 1000).

    >>> size_bytes("128Mi"), size_bytes("10Gi"), size_bytes("2MB"), size_bytes("512")
    (134217728, 10737418240, 2000000, 512)

    Raises ValueError, quoting *text*, if it is no size.
    """
    match = _SIZE_FORM.fullmatch(text)
    if not match or match[2] not in _SIZE:
        raise ValueError(f"{text!r} is not a size; write for example '128Mi', '10Gi', '400'")
    return round(_at_most(float(match[1]) * _SIZE[match[2]], SIZE_BYTES_MAX, text, "1024 Ti"))


def cores(text: str) -> float:
    """Return the CPU quantity *text*, such as ``500m`` or ``2``, in cores.

    >>> cores("500m"), cores("2")
    (0.5, 2.0)

    Raises ValueError, quoting *text*, if it is neither a decimal nor a number of millicores.
    """
    number = text.removesuffix("m")
    if not number.replace(".", "", 1).isdecimal():
        raise ValueError(f"{text!r} is not a CPU quantity; write for example '500m' or '2'")
    value = float(number) / 1000 if text.endswith("m") else float(number)
    return _at_most(value, CORES_MAX, text, f"{CORES_MAX:,} cores")


def bits_per_s(text: str) -> int:
    """Return the bandwidth *text*, such as ``10Mbit/s``, in bits a second.

    >>> bits_per_s("10Mbit/s"), bits_per_s("512kbit/s")
    (10000000, 512000)

    Raises ValueError, quoting *text*, if it is no bandwidth.
    """
    match = _RATE_FORM.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a bandwidth; write for example '10Mbit/s'")
    return round(_at_most(float(match[1]) * _RATE[match[2]], BITS_PER_S_MAX, text, "1 Pbit/s"))


def share(text: str) -> float:
    """Return the share *text*, such as ``99%`` or ``0.99``, as a number in 0..1.

    >>> share("99%"), share("0.25")
    (0.99, 0.25)

    Raises ValueError, quoting *text*, if it is no share or not within 0..1.
    """
    number = text.removesuffix("%").strip()
    if not re.fullmatch(r"\d+(\.\d+)?([eE]-?\d+)?", number):
        raise ValueError(f"{text!r} is not a share; write for example '99%' or '0.99'")
    value = float(number) / 100 if text.endswith("%") else float(number)
    if value > 1:
        raise ValueError(f"{text!r} is more than everything; a share lies in 0..1 or 0%..100%")
    return value


def duration_text(us: int) -> str:
    """Return *us* microseconds as a person writes it, in at most two units.

    >>> duration_text(5_400_000_000), duration_text(1_500), duration_text(0), duration_text(1)
    ('1h30m', '1.5ms', '0s', '1us')
    """
    if us < 0:
        return "-" + duration_text(-us)
    if us < 1_000:
        return f"{us}us" if us else "0s"
    if us < SECOND_US:
        return f"{us / 1_000:.3g}ms"
    if us < MINUTE_US:
        return f"{us / SECOND_US:.3g}s"
    rest, parts = round(us / SECOND_US), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return "".join(parts[:2])


def size_text(size: float) -> str:
    """Return *size* bytes as a person writes it.

    >>> size_text(10_737_418_240), size_text(400)
    ('10.0Gi', '400B')
    """
    for unit in ("B", "Ki", "Mi", "Gi", "Ti"):
        if abs(size) < 1024 or unit == "Ti":
            return f"{size:.0f}{unit}" if unit == "B" else f"{size:.1f}{unit}"
        size /= 1024
    raise AssertionError(size)


_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,2})?")
_QUANTITY_SUFFIX = {
    "": "1", "n": "1e-9", "u": "1e-6", "m": "1e-3",
    "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12", "P": "1e15", "E": "1e18",
    "Ki": str(2**10), "Mi": str(2**20), "Gi": str(2**30), "Ti": str(2**40), "Pi": str(2**50),
    "Ei": str(2**60),
}  # fmt: skip


def quantity(text: str) -> float:
    """Return the Kubernetes quantity *text* as a number: bytes, cores, or whatever it counts.

    >>> quantity("100m"), quantity("128Mi"), quantity("1e3"), quantity("10G")
    (0.1, 134217728.0, 1000.0, 10000000000.0)

    Raises ValueError, quoting *text*, for what the Kubernetes API refuses, and below zero.
    """
    match = _QUANTITY.fullmatch(text)
    if not match or len(text) > 40:
        bytes_meant = text[:1].isdigit() and text[-1:] in "bBK"
        remedy = "'128Mi' or '128M', without a B" if bytes_meant else "'500m', '128Mi' or '10G'"
        raise ValueError(f"{text[:40]!r} is not a Kubernetes quantity; write for example {remedy}")
    number, suffix = match[1], match[2] or ""
    exponent = suffix not in _QUANTITY_SUFFIX
    factor = Decimal(f"1{suffix}" if exponent else _QUANTITY_SUFFIX[suffix])
    value = float(Decimal(number) * factor)
    if value < 0:
        raise ValueError(f"{text!r} is less than nothing; write a positive quantity")
    return _at_most(value, SIZE_BYTES_MAX, text, "1024 Ti")
