"""Counters: increments made apart add up.

`slots_joined` (G- and PN-counter) is commutative, associative and idempotent, so that a redelivery
changes nothing. `added` (operation-based) is not idempotent: each delivery counts, which is why
it needs deduplication (facts/verification.md, 2.6).
"""

from collections.abc import Mapping

Slots = Mapping[str, tuple[int, int]]
"""Replica identity to (sum of increments, sum of decrements as a positive number)."""


def counted(slots: Slots, identity: str, amount: int) -> Slots:
    """Return *slots* after *identity* added *amount*, which may be negative in a PN-counter."""
    up, down = slots.get(identity, (0, 0))
    mine = (up + max(amount, 0), down + max(-amount, 0))
    return dict(sorted({**slots, identity: mine}.items()))


def slots_joined(one: Slots, other: Slots) -> Slots:
    """Return the larger of both in every slot.

    >>> slots_joined({"edge1": (5, 0)}, {"edge1": (3, 0), "edge2": (1, 2)})
    {'edge1': (5, 0), 'edge2': (1, 2)}
    """
    joined = {}
    for identity in sorted({*one, *other}):
        (up, down), (their_up, their_down) = (side.get(identity, (0, 0)) for side in (one, other))
        joined[identity] = (max(up, their_up), max(down, their_down))
    return joined


def total(slots: Slots) -> int:
    """Return the counter's value: all increments less all decrements."""
    return sum(up - down for up, down in slots.values())


def added(value: int, amount: int) -> int:
    """Return the operation-based counter's *value* after one delivery of *amount*."""
    return value + amount
