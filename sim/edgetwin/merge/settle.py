"""What two sides that meet agree on, for all keys at once.

An edge site and its cloud wrote the same collection while they could not see one another. Each
side is one array of acknowledged writes; every write knowingly replaces what its own side showed
for that key. ``settle`` gives, per key written on both sides, who stays and which acknowledged
writes nobody will ever see again. It is arithmetic over arrays: a million writes on a hundred
thousand keys take a fraction of a second, and a key that only one side wrote costs one sort.

The definitions are those of facts/verification.md, 2.6 and 2.7. The slow replica world
(``engine/replica.py``) settles the same histories operation by operation; tests hold the two
against each other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgetwin.merge.clocks import hybrid_stamps
from edgetwin.merge.settlement import (
    BOTH,
    CLOUD,
    EDGE,
    NEITHER,
    UNDECIDED,
    Integers,
    Settlement,
    Writes,
)

_NONE: Final[Integers] = np.empty(0, dtype=np.int64)


def settle(
    strategy: str,
    edge: Writes,
    cloud: Writes,
    *,
    edge_id: str,
    cloud_id: str,
    base: Writes | None = None,
    edge_clock: tuple[int, int] | None = None,
    cloud_clock: tuple[int, int] | None = None,
) -> Settlement:
    """Return what *edge* and *cloud* agree on under *strategy* after both have sent everything.

    *base*: what both held when they parted, at most one row a key; matters to ``lww`` only, where
    a base stamped in the future stays (it loses ties). *edge_clock*, *cloud_clock*: the hybrid
    clocks (l in microseconds, c) at parting; matter to ``hlc`` and ``lwwmap``. Replica ids break
    ties, compared as bytes. Raises ValueError for an unknown strategy.
    """
    if strategy not in _RULES:
        raise ValueError(f"{strategy!r} is no strategy; known: {', '.join(sorted(_RULES))}")
    assert edge_id != cloud_id, f"both sides are called {edge_id!r}"
    meeting = _Meeting(
        strategy, edge, cloud, edge_id.encode() > cloud_id.encode(), base, edge_clock, cloud_clock
    )
    return _RULES[strategy](meeting)


@dataclass(frozen=True)
class _Meeting:
    strategy: str
    edge: Writes
    cloud: Writes
    edge_wins_ties: bool
    base: Writes | None
    edge_clock: tuple[int, int] | None
    cloud_clock: tuple[int, int] | None


@dataclass(frozen=True)
class _Side:
    """One side's writes grouped by key: *order* sorts them by (key, index)."""

    keys: Integers
    order: Integers
    starts: Integers
    """Where each key's group starts in *order*."""
    last: Integers
    """Index of each key's last write."""


def _grouped(writes: Writes) -> _Side:
    count = len(writes)
    if not count:
        return _Side(_NONE, _NONE, _NONE, _NONE)
    largest = int(writes.key.max())
    if largest < (2**63 - count) // count:
        # One plain sort of (key, index) packed in a word is several times faster than argsort.
        packed = writes.key * count + np.arange(count, dtype=np.int64)
        packed.sort()
        by_key, order = np.divmod(packed, count)
    else:
        order = np.argsort(writes.key, kind="stable")
        by_key = writes.key[order]
    starts = np.flatnonzero(np.concatenate(([True], by_key[1:] != by_key[:-1])))
    ends = np.append(starts[1:], count) - 1
    return _Side(by_key[starts], order, starts, order[ends])


def _both(edge: _Side, cloud: _Side) -> tuple[Integers, Integers, Integers]:
    """Return the keys of both sides and their positions in ``edge.keys`` and ``cloud.keys``."""
    return np.intersect1d(edge.keys, cloud.keys, assume_unique=True, return_indices=True)


def _settled(
    meeting: _Meeting, keys: Integers, winner: NDArray[np.int8], edge: Integers, cloud: Integers,
    **columns: Integers,
) -> Settlement:  # fmt: skip
    empty = dict.fromkeys(
        ("edge_lost", "cloud_lost", "edge_revoked", "siblings", "wrong_winner", "edge_late",
         "cloud_late"), _NONE,
    )  # fmt: skip
    return Settlement(meeting.strategy, keys, winner, edge, cloud, **(empty | columns))


def _last_writer_wins(meeting: _Meeting) -> Settlement:
    """The largest (wall clock, replica id, sequence) wins; a stamp that is behind is dead."""
    edge, cloud = _grouped(meeting.edge), _grouped(meeting.cloud)
    edge_shown, edge_dead = _shown(meeting.edge, edge, meeting.base)
    cloud_shown, cloud_dead = _shown(meeting.cloud, cloud, meeting.base)
    keys, at_edge, at_cloud = _both(edge, cloud)
    edge_last, cloud_last = edge_shown[at_edge], cloud_shown[at_cloud]
    edge_wall = np.where(edge_last < 0, _LEAST, meeting.edge.wall_us[edge_last])
    cloud_wall = np.where(cloud_last < 0, _LEAST, meeting.cloud.wall_us[cloud_last])
    tie = meeting.edge_wins_ties
    edge_wins = (edge_wall >= cloud_wall) if tie else (edge_wall > cloud_wall)
    neither = (edge_last < 0) & (cloud_last < 0)
    winner = np.where(neither, NEITHER, np.where(edge_wins, EDGE, CLOUD)).astype(np.int8)
    # A write that was dead on arrival had seen what showed, which is then overwritten knowingly.
    edge_beaten = edge_last[(winner == CLOUD) & (edge_last == edge.last[at_edge])]
    cloud_beaten = cloud_last[(winner == EDGE) & (cloud_last == cloud.last[at_cloud])]
    settlement = _settled(
        meeting, keys, winner, edge_last, cloud_last,
        edge_lost=np.sort(np.concatenate((edge_dead, edge_beaten))),
        cloud_lost=np.sort(np.concatenate((cloud_dead, cloud_beaten))),
    )  # fmt: skip
    return _with_wrong_winners(meeting, settlement, edge, cloud, edge_shown, cloud_shown)


_LEAST: Final = np.iinfo(np.int64).min


def _shown(writes: Writes, side: _Side, base: Writes | None) -> tuple[Integers, Integers]:
    """Return per key the index of the write a side shows (-1: the base), and the dead writes.

    A write is dead on arrival if its stamp is below the largest that its key already had.
    """
    if not len(writes):
        return _NONE, _NONE
    floor = _floors(side.keys, base)
    wall = writes.wall_us[side.order]
    falls = wall[1:] < wall[:-1]
    falls[side.starts[1:] - 1] = False
    if not falls.any() and not (wall[side.starts] < floor).any():
        return side.last, _NONE
    group = np.repeat(np.arange(side.keys.size), np.diff(np.append(side.starts, len(writes))))
    # Ranks are small, so that (group, rank) fits a word and one running maximum serves all keys.
    ranks = np.unique(np.concatenate((wall, floor)), return_inverse=True)[1]
    span = int(ranks.max()) + 1
    rank, floor_rank = ranks[: wall.size], ranks[wall.size :]
    highest = np.maximum.accumulate(group * span + np.maximum(rank, floor_rank[group]))
    alive = group * span + rank == highest
    shown = np.full(side.keys.size, -1, dtype=np.int64)
    shown[group[alive]] = side.order[alive]  # the last assignment of a group stays
    return shown, np.sort(side.order[~alive])


def _floors(keys: Integers, base: Writes | None) -> Integers:
    """Return the base's stamp for each of *keys*, or the least integer where it has none."""
    floor = np.full(keys.size, _LEAST, dtype=np.int64)
    if base is None or not len(base):
        return floor
    order = np.argsort(base.key, kind="stable")
    at = np.minimum(np.searchsorted(base.key[order], keys), len(base) - 1)
    found = base.key[order][at] == keys
    floor[found] = base.wall_us[order][at][found]
    return floor


def _with_wrong_winners(
    meeting: _Meeting, settlement: Settlement, edge: _Side, cloud: _Side,
    edge_shown: Integers, cloud_shown: Integers,
) -> Settlement:  # fmt: skip
    """Return *settlement* with the keys whose winner is not the latest that nobody overwrote."""
    edge_at, cloud_at = settlement.edge_lost, settlement.cloud_lost
    lost_key = np.concatenate((meeting.edge.key[edge_at], meeting.cloud.key[cloud_at]))
    if not lost_key.size:
        return settlement
    lost_time = np.concatenate((meeting.edge.time_us[edge_at], meeting.cloud.time_us[cloud_at]))
    lost_at = np.concatenate((edge_at, cloud_at))
    from_cloud = np.arange(lost_key.size) >= edge_at.size
    # The latest loser of each key; of two at one instant the cloud's, then the later sequence.
    order = np.lexsort((lost_at, from_cloud, lost_time, lost_key))
    latest = order[np.append(lost_key[order][1:] != lost_key[order][:-1], True)]
    keys = lost_key[latest]
    won = np.maximum(
        _shown_time(keys, meeting.edge, edge, edge_shown, settlement, EDGE),
        _shown_time(keys, meeting.cloud, cloud, cloud_shown, settlement, CLOUD),
    )
    late = lost_time[latest] > won
    culprit = latest[late]
    return replace(
        settlement,
        wrong_winner=keys[late],
        edge_late=np.sort(lost_at[culprit[~from_cloud[culprit]]]),
        cloud_late=np.sort(lost_at[culprit[from_cloud[culprit]]]),
    )


def _shown_time(
    keys: Integers, writes: Writes, side: _Side, shown: Integers, settlement: Settlement, name: int
) -> Integers:
    """Return the true time of what *side* shows for each of *keys*, if it is what stays."""
    time = np.full(keys.size, _LEAST, dtype=np.int64)
    if not side.keys.size:
        return time
    at = np.minimum(np.searchsorted(side.keys, keys), side.keys.size - 1)
    stays = (side.keys[at] == keys) & (shown[at] >= 0)
    if settlement.keys.size:
        both = np.minimum(np.searchsorted(settlement.keys, keys), settlement.keys.size - 1)
        contended = settlement.keys[both] == keys
        stays &= ~contended | (settlement.winner_side[both] == name)
    time[stays] = writes.time_us[shown[at[stays]]]
    return time


def _hybrid(meeting: _Meeting) -> Settlement:
    """The largest (l, c, replica id) wins; a side's last write always beats its earlier ones."""
    edge, cloud = _grouped(meeting.edge), _grouped(meeting.cloud)
    keys, at_edge, at_cloud = _both(edge, cloud)
    edge_last, cloud_last = edge.last[at_edge], cloud.last[at_cloud]
    edge_l, edge_c = hybrid_stamps(meeting.edge.wall_us, meeting.edge_clock)
    cloud_l, cloud_c = hybrid_stamps(meeting.cloud.wall_us, meeting.cloud_clock)
    l_ahead = edge_l[edge_last] - cloud_l[cloud_last]
    c_ahead = edge_c[edge_last] - cloud_c[cloud_last]
    tied = (l_ahead == 0) & (c_ahead == 0)
    edge_wins = (l_ahead > 0) | ((l_ahead == 0) & (c_ahead > 0)) | (tied & meeting.edge_wins_ties)
    settlement = _settled(
        meeting, keys, np.where(edge_wins, EDGE, CLOUD).astype(np.int8), edge_last, cloud_last,
        edge_lost=np.sort(edge_last[~edge_wins]), cloud_lost=np.sort(cloud_last[edge_wins]),
    )  # fmt: skip
    return _with_wrong_winners(meeting, settlement, edge, cloud, edge.last, cloud.last)


def _cloud_wins(meeting: _Meeting) -> Settlement:
    """The hub keeps its version: every edge write of a contended key becomes a dead letter."""
    edge, cloud = _grouped(meeting.edge), _grouped(meeting.cloud)
    keys, at_edge, at_cloud = _both(edge, cloud)
    sizes = np.diff(np.append(edge.starts, len(meeting.edge)))
    contended = np.zeros(edge.keys.size, dtype=bool)
    contended[at_edge] = True
    return _settled(
        meeting, keys, np.full(keys.size, CLOUD, dtype=np.int8),
        edge.last[at_edge], cloud.last[at_cloud],
        edge_revoked=np.sort(edge.order[np.repeat(contended, sizes)]),
    )  # fmt: skip


def _edge_wins(meeting: _Meeting) -> Settlement:
    """What arrives replaces the hub's version: the cloud's last write of the key is lost."""
    edge, cloud = _grouped(meeting.edge), _grouped(meeting.cloud)
    keys, at_edge, at_cloud = _both(edge, cloud)
    cloud_last = cloud.last[at_cloud]
    return _settled(
        meeting, keys, np.full(keys.size, EDGE, dtype=np.int8),
        edge.last[at_edge], cloud_last, cloud_lost=np.sort(cloud_last),
    )  # fmt: skip


def _kept(meeting: _Meeting) -> Settlement:
    """Both sides' last writes stay; a key shows siblings unless the two values are the same."""
    edge, cloud = _grouped(meeting.edge), _grouped(meeting.cloud)
    keys, at_edge, at_cloud = _both(edge, cloud)
    edge_last, cloud_last = edge.last[at_edge], cloud.last[at_cloud]
    differ = np.ones(keys.size, dtype=bool)
    if meeting.edge.value is not None and meeting.cloud.value is not None:
        differ = meeting.edge.value[edge_last] != meeting.cloud.value[cloud_last]
    return _settled(
        meeting, keys, np.full(keys.size, BOTH, dtype=np.int8), edge_last, cloud_last,
        siblings=keys[differ],
    )  # fmt: skip


def _added_up(meeting: _Meeting) -> Settlement:
    """Both sides' operations count: nothing conflicts, nothing is lost, one value remains."""
    return replace(_kept(meeting), siblings=_NONE)


def _asked(meeting: _Meeting) -> Settlement:
    """A policy decides each key; until then nothing is known but who meets."""
    kept = _kept(meeting)
    winner = np.full(kept.keys.size, UNDECIDED, dtype=np.int8)
    return replace(kept, winner_side=winner, siblings=_NONE)


_RULES: Final[dict[str, Callable[[_Meeting], Settlement]]] = {
    "lww": _last_writer_wins,
    "hlc": _hybrid,
    "cloud-wins": _cloud_wins,
    "edge-wins": _edge_wins,
    "siblings": _kept,
    "mvregister": _kept,
    "gcounter": _added_up,
    "pncounter": _added_up,
    "counter-op": _added_up,
    "orset": _added_up,
    "lwwmap": _hybrid,
    "rego": _asked,
}
SETTLED_STRATEGIES: Final = tuple(sorted(_RULES))
