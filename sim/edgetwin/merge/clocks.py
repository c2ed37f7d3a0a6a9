"""Clocks that order writes: hybrid logical clocks and version vectors.

The rules are those of the vector file (``conflicts.yaml``, strategies ``hlc`` and ``rego``); hybrid
logical clocks after Kulkarni et al. 2014 (facts/verification.md, 1.4).
"""

from collections.abc import Mapping
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Hybrid = tuple[int, int]
"""A hybrid logical clock: (l in microseconds, c)."""


def hybrid_local(clock: Hybrid, wall_us: int) -> Hybrid:
    """Return the clock after a local write at *wall_us*; it strictly increases.

    >>> hybrid_local((100, 2), 90), hybrid_local((100, 2), 110)
    ((100, 3), (110, 0))
    """
    latest, counter = clock
    return (latest, counter + 1) if wall_us <= latest else (wall_us, 0)


def hybrid_learned(clock: Hybrid, stamp: Hybrid, wall_us: int) -> Hybrid:
    """Return the clock after learning of a write stamped *stamp*; it exceeds both.

    >>> hybrid_learned((100, 2), (100, 7), 90), hybrid_learned((100, 2), (120, 7), 90)
    ((100, 8), (120, 8))
    """
    (latest, counter), (theirs, their_counter) = clock, stamp
    after = max(latest, theirs, wall_us)
    if after == latest == theirs:
        return after, max(counter, their_counter) + 1
    if after == latest:
        return after, counter + 1
    return (after, their_counter + 1) if after == theirs else (after, 0)


def hybrid_stamps(wall_us: Integers, start: Hybrid | None = None) -> tuple[Integers, Integers]:
    """Return the hybrid stamps (l, c) of one replica's writes, made in this order.

    *wall_us*, shape (writes,): its wall clock at each write, which may run back. *start*: the
    stamp its clock showed before. Both results have shape (writes,); (l, c) strictly increases.
    """
    if not wall_us.size:
        return wall_us.copy(), wall_us.copy()
    latest = np.maximum.accumulate(wall_us)
    if start is not None:
        latest = np.maximum(latest, start[0])
    at = np.arange(latest.size, dtype=np.int64)
    rises = np.append(True, latest[1:] != latest[:-1])
    counter = at - np.maximum.accumulate(np.where(rises, at, 0))
    if start is not None:
        counter[latest == start[0]] += start[1] + 1
    return latest, counter


Vector = Mapping[str, int]
"""Replica identity to the number of its writes; identities with none are left out."""


class Order(Enum):
    """How one version vector stands to another."""

    EQUAL = "equal"
    BEFORE = "before"
    AFTER = "after"
    CONCURRENT = "concurrent"


def compared(one: Vector, other: Vector) -> Order:
    """Return how *one* stands to *other*.

    >>> compared({"edge1": 1}, {"edge1": 1, "cloud": 2}).value
    'before'
    """
    identities = one.keys() | other.keys()
    behind = any(one.get(name, 0) < other.get(name, 0) for name in identities)
    ahead = any(one.get(name, 0) > other.get(name, 0) for name in identities)
    if behind and ahead:
        return Order.CONCURRENT
    if behind or ahead:
        return Order.BEFORE if behind else Order.AFTER
    return Order.EQUAL


def joined(one: Vector, other: Vector) -> Vector:
    """Return the least vector that is after both."""
    names = sorted(one.keys() | other.keys())
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in names}


def ticked(vector: Vector, identity: str) -> Vector:
    """Return *vector* after one more write of *identity*."""
    return dict(sorted({**vector, identity: vector.get(identity, 0) + 1}.items()))
