"""Go's ``fmt.Sprintf`` for the values that Rego's ``sprintf`` passes: integers, floats, strings.

>>> sprintf("%5.1f|%-4d|%q|%x|%v", [3.14159, 7, "a", "hi", 1000000.0])
'  3.1|7   |"a"|6869|1e+06'
>>> sprintf("%d %s", ["x"])
'%!d(string=x) %!s(MISSING)'
"""

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

_DIRECTIVE = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d*))?(?:\[(?P<index>\d+)\])?"
    r"(?P<verb>.)?",
    re.DOTALL,
)

WIDTH_MAX = 1_000_000
"""Go's own limit of width and precision."""


def sprintf(layout: str, arguments: Sequence[Any]) -> str:
    """Return *layout* with its verbs replaced by *arguments*: int, float or str each."""
    written: list[str] = []
    at = used = 0
    reordered = False
    while at < len(layout):
        if layout[at] != "%":
            end = layout.find("%", at)
            end = len(layout) if end < 0 else end
            written.append(layout[at:end])
            at = end
            continue
        match = _DIRECTIVE.match(layout, at)
        assert match is not None
        at = match.end()
        flags, verb = match["flags"], match["verb"]
        width, used = _count(match["width"], arguments, used)
        precision, used = _count(match["precision"], arguments, used)
        if width is not None and width < 0:
            flags, width = flags + "-", -width
        if match["index"] is not None:
            reordered = True
            used = int(match["index"]) - 1
        if verb is None:
            written.append("%!(NOVERB)")
        elif verb == "%":
            written.append("%")
        elif used < 0 or (match["index"] is not None and used >= len(arguments)):
            written.append(f"%!{verb}(BADINDEX)")
        elif used >= len(arguments):
            written.append(f"%!{verb}(MISSING)")
        else:
            written.append(_formatted(arguments[used], verb, flags, width, precision))
            used += 1
    if not reordered and used < len(arguments):
        extra = ", ".join(f"{_type(item)}={_plain(item)}" for item in arguments[used:])
        written.append(f"%!(EXTRA {extra})")
    return "".join(written)


def _count(given: str | None, arguments: Sequence[Any], used: int) -> tuple[int | None, int]:
    """Return a width or precision, and how many arguments are used up after it."""
    if given is None:
        return None, used
    if given == "*":
        value = arguments[used] if used < len(arguments) else None
        whole = value if isinstance(value, int) else None
        return whole, used + 1
    count = int(given or 0)
    if count > WIDTH_MAX:
        raise ValueError(f"width {count} is too large")
    return count, used


def _type(value: Any) -> str:
    if isinstance(value, int):
        return "int64" if -(2**63) <= value < 2**63 else "*big.Int"
    return "float64" if isinstance(value, float) else "string"


def _plain(value: Any) -> str:
    return shortest(value) if isinstance(value, float) else str(value)


def _formatted(value: Any, verb: str, flags: str, width: int | None, precision: int | None) -> str:
    if verb == "T":
        return _padded(_type(value), flags, width)
    if verb == "v" and isinstance(value, int):
        verb = "d"
    text: str | None
    if isinstance(value, int):
        text = _integer(value, verb, flags, precision)
    elif isinstance(value, float):
        text = _float(value, verb, flags, precision)
    else:
        text = _string(value, verb, flags, precision)
    if text is None:
        return f"%!{verb}({_type(value)}={_plain(value)})"
    numeric = not isinstance(value, str) and verb not in "cqU"
    zeros = "0" in flags and numeric and not (isinstance(value, int) and precision is not None)
    return _padded(text, flags if zeros else flags.replace("0", ""), width)


def _padded(text: str, flags: str, width: int | None) -> str:
    if width is None or len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags:
        sign = text[0] if text[:1] in "+- " and text else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _sign(negative: bool, flags: str) -> str:
    if negative:
        return "-"
    return "+" if "+" in flags else " " if " " in flags else ""


def _integer(value: int, verb: str, flags: str, precision: int | None) -> str | None:
    if verb == "s" and _type(value) == "*big.Int":
        verb = "d"
    if verb in "bodxX":
        digits = format(abs(value), verb)
        digits = digits.rjust(precision or 0, "0")
        prefix = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(verb, "") if "#" in flags else ""
        return _sign(value < 0, flags) + prefix + digits
    if verb == "O":
        return _sign(value < 0, flags) + "0o" + format(abs(value), "o")
    rune = chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "\ufffd"
    if verb == "c":
        return rune
    if verb == "q":
        return "'" + json.dumps(rune, ensure_ascii=False)[1:-1].replace('\\"', '"') + "'"
    if verb == "U":
        return f"U+{value:04X}" + (f" '{rune}'" if "#" in flags else "")
    return None


def _float(value: float, verb: str, flags: str, precision: int | None) -> str | None:
    if verb in "eEfF":
        text = f"{abs(value):.{6 if precision is None else precision}{verb.lower()}}"
        text = text.upper() if verb == "E" else text
    elif verb in "gGv":
        magnitude = abs(value)
        if precision is None:
            text = shortest(magnitude)
        else:
            text = f"{magnitude:.{max(precision, 1)}g}"
        text = text.upper() if verb == "G" else text
    elif verb in "xX" and precision is None:
        mantissa, power = abs(value).hex()[2:].split("p")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"0x{mantissa}p{power[0]}{int(power[1:]):02d}"
        text = text.upper() if verb == "X" else text
    else:
        return None
    return _sign(math.copysign(1, value) < 0, flags) + text


def shortest(value: float) -> str:
    """Return *value* as Go's ``%v`` writes a float: the fewest digits that give it back.

    >>> shortest(1.5), shortest(123456789.0), shortest(0.00001)
    ('1.5', '1.23456789e+08', '1e-05')
    """
    sign, figures, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, figures))
    point = len(digits) + exponent
    minus = "-" if sign else ""
    if value == 0:
        return minus + "0"
    if point - 1 < -4 or point - 1 >= 6:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        power = point - 1
        return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return minus + digits + "0" * (point - len(digits))
    return f"{minus}{digits[:point]}.{digits[point:]}"


def _string(value: str, verb: str, flags: str, precision: int | None) -> str | None:
    cut = value if precision is None else value[:precision]
    if verb in "sv":
        return cut
    if verb == "q":
        if "#" in flags and "`" not in cut:
            return f"`{cut}`"
        return json.dumps(cut, ensure_ascii="+" in flags)
    if verb in "xX":
        cut_bytes = value.encode("utf-8", "replace")[:precision]
        coded = cut_bytes.hex(" ") if " " in flags else cut_bytes.hex()
        return coded.upper() if verb == "X" else coded
    return None
