"""Built-ins over amounts with units, versions and ranges of numbers."""

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from edgetwin.policy.builtins import operands

EXPONENT_DIGITS_MAX = 6
"""OPA refuses an exponent of more digits, which would fill the memory."""

RANGE_MAX = 1_000_000
"""Numbers in one range. Chosen: OPA stops at its deadline; a million take some 0.2 s here."""

_DECIMAL = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


def _split(text: str) -> tuple[str, str]:
    """Return the number that *text* starts with, exponent included, and the unit behind it."""
    match = re.match(r"(?:[0-9.+\-]|[eE](?=[0-9+\-])[+\-]?([0-9]*))*", text)
    assert match is not None
    for exponent in re.findall(r"[eE][+\-]?([0-9]*)", match.group()):
        if len(exponent) > EXPONENT_DIGITS_MAX:
            raise ValueError("exponent too large")
    if not match.group():
        raise ValueError("no amount provided")
    return match.group(), text[match.end() :]


def _amount(number: str) -> Fraction:
    """Return the value of a plain or scientific decimal number, as Go reads one."""
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", number):
        raise ValueError("could not parse amount to a number")
    return Fraction(Decimal(number)) if abs(Decimal(number).adjusted()) < 10_000 else Fraction(0)


def _factor(unit: str) -> int:
    """Return what a unit without a ``b`` at its end stands for: ``k`` 1000, ``ki`` 1024."""
    if not unit:
        return 1
    power = _DECIMAL.get(unit[0].lower())
    if power is None or unit[1:] not in {"", "i"}:
        raise ValueError(f"unit {unit} not recognized")
    return int(1024**power if unit.endswith("i") else 1000**power)


def units_parse(text: Any) -> int | Decimal:
    """``units.parse``: SI amounts, where ``m`` is a thousandth and ``M`` a million."""
    plain = operands.text(text).replace('"', "")
    if " " in plain:
        raise ValueError("spaces not allowed in resource strings")
    number, unit = _split(plain)
    unit = unit[:1] + unit[1:].lower()
    # Go takes its 0.001 as a binary fraction, and rounds to ten places in the end.
    value = _amount(number) * (Fraction(0.001) if unit == "m" else _factor(unit))
    if value.denominator == 1:
        return value.numerator
    scaled = abs(value) * 10**10
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(whole if value > 0 else -whole).scaleb(-10)


def units_parse_bytes(text: Any) -> int:
    """``units.parse_bytes``: whole bytes, upper and lower case alike."""
    plain = operands.text(text).lower().replace('"', "")
    if " " in plain:
        raise ValueError("spaces not allowed in resource strings")
    number, unit = _split(plain)
    factor = _factor(unit[:-1] if len(unit) > 1 and unit.endswith("b") else unit)
    return int(_rounded(_rounded(_amount(number)) * factor))


def _rounded(value: Fraction) -> Fraction:
    """Return *value* with 64 binary digits, which is what OPA reckons bytes with."""
    if not value:
        return value
    shift = 64 - (abs(value.numerator).bit_length() - value.denominator.bit_length())
    scale = Fraction(2) ** shift
    rounded = Fraction(round(value * scale)) / scale
    while abs(rounded * scale) >= 2**64:
        scale /= 2
        rounded = Fraction(round(value * scale)) / scale
    return rounded


_VERSION = re.compile(
    r"v?([+-]?\d+)\.([+-]?\d+)\.([+-]?\d+)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)?"
)


def _version(text: Any) -> tuple[tuple[int, ...], str]:
    match = _VERSION.fullmatch(operands.text(text))
    if match is None or any(abs(int(match[place])) >= 2**63 for place in (1, 2, 3)):
        raise ValueError(f"{text!r} is not a valid SemVer")
    return tuple(int(match[place]) for place in (1, 2, 3)), match[4] or ""


def semver_is_valid(text: Any) -> bool:
    """``semver.is_valid``."""
    try:
        _version(text)
    except ValueError:
        return False
    return True


def semver_compare(one: Any, other: Any) -> int:
    """``semver.compare``: -1, 0 or 1, by the precedence rules of semver.org."""
    (numbers, before), (other_numbers, other_before) = _version(one), _version(other)
    ranks = [
        (n, not b, [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
                    for part in b.split(".") if part])
        for n, b in ((numbers, before), (other_numbers, other_before))
    ]  # fmt: skip
    if before == other_before:
        return (numbers > other_numbers) - (numbers < other_numbers)
    return (ranks[0] > ranks[1]) - (ranks[0] < ranks[1])


def range_step(first: Any, last: Any, step: Any) -> list[int]:
    """``numbers.range_step``: from *first* to *last*, up or down."""
    start, end, stride = map(operands.integer, (first, last, step))
    if stride <= 0:
        raise ValueError("step must be a positive integer")
    if abs(end - start) // stride >= RANGE_MAX:
        raise ValueError(f"a range of more than {RANGE_MAX} numbers")
    if start <= end:
        return list(range(start, end + 1, stride))
    return list(range(start, end - 1, -stride))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "units.parse": units_parse,
    "units.parse_bytes": units_parse_bytes,
    "semver.is_valid": semver_is_valid,
    "semver.compare": semver_compare,
    "numbers.range_step": range_step,
}
