"""Registers: one value per key, or several where nobody knew of the other.

Merges are pure; *absent* is ``None``. `last_writer_wins` and `siblings_joined` are commutative,
associative and idempotent. `hub_accepts` is none of these: the order of arrival decides, and
that is what the strategy means (facts/verification.md, 2.6).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = Any
"""Whatever JSON can hold; None is an absent key."""

Stamp = tuple[int | bytes, ...]
"""Ends in (replica identity as bytes, sequence), so that two writes never tie."""


@dataclass(frozen=True)
class Version:
    """A value and the write that set it; a delete is a version whose value is None."""

    operation: str
    value: Value
    stamp: Stamp
    deleted: bool = False


def last_writer_wins(one: Version | None, other: Version | None) -> Version | None:
    """Return the version with the largest stamp."""
    if one is None or other is None:
        return other if one is None else one
    return one if one.stamp >= other.stamp else other


@dataclass(frozen=True)
class Siblings:
    """A multi-value register: the maximal versions, and every write that is accounted for."""

    versions: Mapping[str, Value] = field(default_factory=dict)
    """Operation to value; no operation in it precedes another."""
    context: frozenset[str] = frozenset()
    """All operations that this state has seen or superseded, those of `versions` included."""

    @property
    def value(self) -> Value:
        """None, the one value, or ``{"siblings": [...]}`` with the distinct values."""
        distinct: list[Value] = []
        for operation in sorted(self.versions):
            if self.versions[operation] not in distinct:
                distinct.append(self.versions[operation])
        if len(distinct) > 1:
            return {"siblings": distinct}
        return distinct[0] if distinct else None


def siblings_joined(one: Siblings, other: Siblings) -> Siblings:
    """Return what stays of both: a version goes only if the other side has seen and replaced it."""
    kept = {
        operation: value
        for mine, theirs in ((one, other), (other, one))
        for operation, value in mine.versions.items()
        if operation in theirs.versions or operation not in theirs.context
    }
    return Siblings(dict(sorted(kept.items())), one.context | other.context)


def hub_accepts(current: str | None, incoming: str, precedes: Callable[[str, str], bool]) -> bool:
    """Return whether *incoming* replaces the hub's *current* operation without a conflict."""
    return current is None or current == incoming or precedes(current, incoming)
