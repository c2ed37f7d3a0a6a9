"""Operands of built-ins, checked: the wrong type is a ValueError, so undefined, as in OPA."""

from decimal import Decimal
from typing import Any

from edgetwin.policy.values import RegoSet, pairs_of, type_name

Number = int | float | Decimal


def wrong(value: Any, *wanted: str) -> ValueError:
    """Return the error for an operand that is none of the types *wanted*."""
    return ValueError(f"must be {' or '.join(wanted)} but got {type_name(value)}")


def text(value: Any) -> str:
    """Return *value* if it is a string."""
    if not isinstance(value, str):
        raise wrong(value, "string")
    return value


def raw(value: Any) -> bytes:
    """Return the UTF-8 of *value* if it is a string."""
    return text(value).encode("utf-8", "replace")


def number(value: Any) -> Number:
    """Return *value* if it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise wrong(value, "number")
    return value


def integer(value: Any) -> int:
    """Return *value* as an int if it is a whole number."""
    whole = number(value)
    if whole != int(whole):
        raise ValueError("must be integer number but got floating-point number")
    return int(whole)


def array(value: Any) -> list[Any]:
    """Return *value* if it is an array."""
    if not isinstance(value, list):
        raise wrong(value, "array")
    return value


def items(value: Any) -> list[Any]:
    """Return the elements of *value* if it is an array or a set."""
    if isinstance(value, RegoSet):
        return value.items
    if isinstance(value, list):
        return value
    raise wrong(value, "array", "set")


def mapping(value: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of *value* if it is an object."""
    pairs = pairs_of(value)
    if pairs is None:
        raise wrong(value, "object")
    return pairs


def record(value: Any) -> dict[str, Any]:
    """Return *value* if it is an object whose keys are strings."""
    if not isinstance(value, dict):
        raise wrong(value, "object")
    return value


def texts(value: Any) -> list[str]:
    """Return the strings that *value* is or holds, as one string, an array or a set of them."""
    if isinstance(value, str):
        return [value]
    return [text(item) for item in items(value)]
