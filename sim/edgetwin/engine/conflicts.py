"""Where two sides wrote the same keys before they met: found, settled, counted.

A site and the cloud meet at every sync session that completes. Two writes of one key, one on each
side, that lie between the same two meetings knew nothing of each other. While a site syncs without
trouble its meetings are the ticks of its interval, and nothing is done at a tick: once a window
all writes are given the number of the meeting that brought them together, and one settlement over
(site, meeting, key) finds every conflict of every site.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine.plane import chosen_keys
from edgetwin.engine.requests import Arrivals, scaled
from edgetwin.engine.store import KeyedWrites
from edgetwin.history import Recorder
from edgetwin.merge import (
    BOTH,
    CLOUD,
    EDGE,
    NEITHER,
    UNDECIDED,
    Settlement,
    Writes,
    decided,
    settle,
)
from edgetwin.model import Collection

STRATEGIES = {
    "last-writer-wins": "lww",
    "hybrid-logical-clock": "hlc",
    "cloud-wins": "cloud-wins",
    "edge-wins": "edge-wins",
    "version-vector": "siblings",
    "mv-register": "mvregister",
    "g-counter": "gcounter",
    "pn-counter": "pncounter",
    "or-set": "orset",
    "lww-map": "lwwmap",
    "policy": "rego",
}
"""Names in a topology to those of the merge rules."""

ROWS_MAX = 200_000
"""Conflicts that a history keeps one by one; all are counted. Chosen: 12 MB."""


_CELLS_A_ROW = 16
"""A table of more cells than this a row costs more than sorting the rows. Chosen."""


@dataclass
class Meetings:
    """When a site and its cloud met: `ticks` while all is well, sessions one by one otherwise."""

    phase_us: int
    interval_us: int
    steady_from_us: int | None = 0
    """Since when every tick is a meeting; None: sessions are counted one by one."""
    past: list[tuple[int, int]] = field(default_factory=list)
    """Closed stretches (from, to) in which every tick was a meeting."""
    sessions: list[int] = field(default_factory=list)

    def steady(self, at_us: int) -> None:
        """From *at_us* on every tick is a meeting."""
        if self.steady_from_us is None:
            self.steady_from_us = at_us

    def one_by_one(self, at_us: int) -> None:
        """From *at_us* on only sessions that complete are meetings."""
        if self.steady_from_us is not None:
            self.past.append((self.steady_from_us, at_us))
            self.steady_from_us = None

    def until(self, until_us: int) -> NDArray[np.int64]:
        """Return the meetings before *until_us* that are still needed, sorted; forget them."""
        stretches = list(self.past)
        if self.steady_from_us is not None and self.steady_from_us < until_us:
            stretches.append((self.steady_from_us, until_us))
            self.steady_from_us = until_us
        ticks = [self._ticks(start, end) for start, end in stretches]
        self.past = []
        sessions, self.sessions = self.sessions, []
        if not sessions and len(ticks) <= 1:
            return ticks[0] if ticks else np.empty(0, dtype=np.int64)
        return np.unique(np.concatenate([*ticks, np.array(sessions, dtype=np.int64)]))

    def _ticks(self, start_us: int, end_us: int) -> NDArray[np.int64]:
        first = -(-(start_us - self.phase_us) // self.interval_us)
        last = -(-(end_us - self.phase_us) // self.interval_us)
        ticks = np.arange(first, last, dtype=np.int64)
        ticks *= self.interval_us
        ticks += self.phase_us
        return ticks


@dataclass(frozen=True)
class Clocks:
    """Wall clocks of the sites, shape (sites,): offset in us, drift in parts per million."""

    offset_us: NDArray[np.int64]
    drift_ppm: NDArray[np.float64]

    def wall_us(self, site: NDArray[np.integer], time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what the sites' clocks show at true times *time_us*."""
        wall: NDArray[np.int64] = np.floor(self.drift_ppm[site] * time_us / 1e6).astype(np.int64)
        wall += time_us
        wall += self.offset_us[site]
        return wall


_FILTER = 1 << 16
"""Cells of the table that sorts out writes to keys that the other side left alone. Chosen: it stays
in the nearest cache, and some thousand writes of the cloud in one window fill little of it."""


class Contention:
    """One collection that the sites and the cloud both write."""

    def __init__(
        self, name: str, collection: Collection, sites: Sequence[str], edge: KeyedWrites,
        cloud: Arrivals, cloud_sites: NDArray[np.int64], keys: NDArray[np.float64] | int,
        clocks: Clocks, decide: Callable[[Sequence[object]], Sequence[object]] | None,
    ) -> None:  # fmt: skip
        """*decide* answers inputs of the merge policy, for strategy policy."""
        self.name = name
        self.collection = collection
        self.undefined = 0
        """Conflicts for which the merge policy had no answer: both stay."""
        self.conflicts = 0
        self.cloud_writes = 0
        self._sites = sites
        self._edge = edge
        self._cloud = cloud
        self._cloud_sites = cloud_sites
        self._keys = keys
        # Cumulative shares leave out the last key's, which is 1.
        self._count = keys if isinstance(keys, int) else int(keys.size) + 1
        self._clocks = clocks
        self._decide = decide
        self._pending = KeyedWrites()

    def settle(
        self, until_us: int, meetings: Sequence[NDArray[np.int64]], recorder: Recorder
    ) -> None:
        """Settle all that met before *until_us*; *meetings* holds each site's, sorted."""
        block = self._cloud.block(until_us)
        self.cloud_writes += block.arrival_us.size
        self._pending.site.append(self._cloud_sites[block.stream].astype(np.int32))
        self._pending.time_us.append(block.arrival_us)
        self._pending.key.append(chosen_keys(block.key_word, self._keys))
        self._pending.word.append(block.key_word)
        first = np.concatenate(([0], np.cumsum([times.size for times in meetings])))
        times = np.concatenate([*meetings, np.empty(0, dtype=np.int64)])
        theirs = _taken(self._pending, first, times)
        ours = _taken(self._edge, first, times)
        ours = ours.picked(self._perhaps_shared(ours, theirs))
        edge, cloud = (self._met(rows, first, times) for rows in (ours, theirs))
        in_cloud = _members(edge.place, cloud.place)
        if not in_cloud.any():
            return
        one = edge.picked(in_cloud)
        two = cloud.picked(_members(cloud.place, one.place))
        shared = np.unique(one.place)
        edge_writes = self._writes(one, shared, edge=True)
        cloud_writes = self._writes(two, shared, edge=False)
        settled = settle(
            STRATEGIES[self.collection.strategy],
            edge_writes,
            cloud_writes,
            edge_id="edge",
            cloud_id="cloud",
        )
        if self._decide is not None:
            settled = self._decided(settled, shared, edge_writes, cloud_writes, first)
        self._record(settled, shared, edge_writes, cloud_writes, times, recorder, first)

    def _perhaps_shared(self, ours: "_Taken", theirs: "_Taken") -> NDArray[np.int64]:
        """Return rows of *ours* whose site and key *theirs* may have too: all such, few others.

        The cloud writes much less than the sites do, so most writes need no further look.
        """
        table = np.zeros(_FILTER, dtype=np.bool_)
        table[self._bucket(theirs)] = True
        return np.flatnonzero(table[self._bucket(ours)])

    def _bucket(self, rows: "_Taken") -> NDArray[np.int64]:
        at = rows.site * np.int64(self._count)
        at += rows.key
        at &= _FILTER - 1
        return at

    def _met(self, rows: "_Taken", first: NDArray[np.int64], times: NDArray[np.int64]) -> "_Met":
        """Return writes with the number of the meeting that brought the two sides together."""
        place = _next_meeting(rows.site, rows.time_us, first, times) * self._count
        place += rows.key
        return _Met(rows.site, rows.time_us, place, rows.word)

    def _writes(self, rows: "_Met", shared: NDArray[np.int64], *, edge: bool) -> Writes:
        order = np.lexsort((rows.site, rows.time_us))
        site, time_us = rows.site[order], rows.time_us[order]
        wall = self._clocks.wall_us(site, time_us) if edge else time_us
        low, high = self.collection.values
        value = scaled(rows.word[order] & np.uint64(0xFFFFFFFF), high - low + 1) + low
        return Writes(np.searchsorted(shared, rows.place[order]), wall, time_us, value)

    def _decided(
        self, settled: Settlement, shared: NDArray[np.int64], edge: Writes, cloud: Writes,
        first: NDArray[np.int64],
    ) -> Settlement:  # fmt: skip
        """Let the merge policy decide each key at the cloud, which is where the two sides meet."""
        assert self._decide is not None
        assert edge.value is not None
        assert cloud.value is not None
        meeting, key = np.divmod(shared[settled.keys], self._count)
        site = np.searchsorted(first, meeting, side="right") - 1
        asked = [
            {
                "key": f"{self.name}/{number}",
                "class": self.collection.data_class,
                "replica": "cloud",
                "local": _version(cloud, theirs, "cloud"),
                "remote": _version(edge, ours, self._sites[where]),
            }
            for number, where, ours, theirs in zip(
                key.tolist(), site.tolist(), settled.edge_last.tolist(),
                settled.cloud_last.tolist(), strict=True,
            )
        ]  # fmt: skip
        winner = np.array([_winner(answer) for answer in self._decide(asked)], dtype=np.int8)
        self.undefined += int((winner == UNDECIDED).sum())
        return decided(settled, np.where(winner == UNDECIDED, BOTH, winner).astype(np.int8))

    def _record(
        self, settled: Settlement, shared: NDArray[np.int64], edge: Writes, cloud: Writes,
        times: NDArray[np.int64], recorder: Recorder, first: NDArray[np.int64],
    ) -> None:  # fmt: skip
        size = shared.size
        lost = np.bincount(edge.key[settled.edge_lost], minlength=size)
        lost += np.bincount(cloud.key[settled.cloud_lost], minlength=size)
        keep = slice(0, max(0, ROWS_MAX - self.conflicts))
        self.conflicts += size
        meeting, key = np.divmod(shared[settled.keys], self._count)
        codes = {
            name: recorder.code("winner", name) for name in ("edge", "cloud", "both", "merged")
        }
        winner = np.where(settled.winner_side == EDGE, codes["edge"], codes["cloud"])
        winner = np.where(settled.winner_side == BOTH, codes["both"], winner)
        winner = np.where(settled.winner_side == NEITHER, codes["merged"], winner)
        site = np.searchsorted(first, meeting, side="right") - 1
        site_codes = np.array([recorder.code("site", name) for name in self._sites])
        recorder.block(
            "conflicts",
            {
                "time_us": times[meeting][keep],
                "site": site_codes[site][keep],
                "collection": np.full(size, recorder.code("collection", self.name))[keep],
                "key": key[keep],
                "strategy": np.full(size, recorder.code("strategy", self.collection.strategy))[
                    keep
                ],
                "winner": winner[keep],
                "edge_time_us": edge.time_us[settled.edge_last][keep],
                "cloud_time_us": cloud.time_us[settled.cloud_last][keep],
                "lost_updates": lost[settled.keys][keep],
                "wrong_winner": np.isin(settled.keys, settled.wrong_winner)[keep],
            },
        )


@dataclass(frozen=True)
class _Taken:
    """Writes of one side that have met the other, shapes (n,)."""

    site: NDArray[np.int32]
    time_us: NDArray[np.int64]
    key: NDArray[np.int64]
    word: NDArray[np.uint64]

    def picked(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "_Taken":
        return _Taken(self.site[which], self.time_us[which], self.key[which], self.word[which])


def _taken(writes: KeyedWrites, first: NDArray[np.int64], times: NDArray[np.int64]) -> _Taken:
    """Take out the writes that have met the other side: a meeting of their site came after.

    What waited before and waits on is left where it is: a long cut's writes are not copied again
    and again.
    """
    last_us = np.full(first.size - 1, -1, dtype=np.int64)
    some = np.flatnonzero(first[1:] > first[:-1])
    last_us[some] = times[first[1:][some] - 1]
    chunks = [
        _Taken(*columns)
        for columns in zip(writes.site, writes.time_us, writes.key, writes.word, strict=True)
    ]
    waited, fresh = chunks[: writes.waiting], _joined(chunks[writes.waiting :])
    met, waiting = [], []
    for chunk in [*waited, fresh]:
        have = chunk.time_us < last_us[chunk.site]
        if have.any():
            met.append(chunk.picked(np.flatnonzero(have)))
            chunk = chunk.picked(np.flatnonzero(~have))
        if chunk.site.size:
            waiting.append(chunk)
    writes.site, writes.time_us = [one.site for one in waiting], [one.time_us for one in waiting]
    writes.key, writes.word = [one.key for one in waiting], [one.word for one in waiting]
    writes.waiting = len(waiting)
    return _joined(met)


def _joined(chunks: Sequence[_Taken]) -> _Taken:
    if len(chunks) == 1:
        return chunks[0]
    return _Taken(
        np.concatenate([*(one.site for one in chunks), np.empty(0, dtype=np.int32)]),
        np.concatenate([*(one.time_us for one in chunks), np.empty(0, dtype=np.int64)]),
        np.concatenate([*(one.key for one in chunks), np.empty(0, dtype=np.int64)]),
        np.concatenate([*(one.word for one in chunks), np.empty(0, dtype=np.uint64)]),
    )


@dataclass(frozen=True)
class _Met:
    """Writes of one side that have met the other."""

    site: NDArray[np.int32]
    time_us: NDArray[np.int64]
    place: NDArray[np.int64]
    """(meeting, key) as one number."""
    word: NDArray[np.uint64]

    def picked(self, which: NDArray[np.bool_]) -> "_Met":
        return _Met(self.site[which], self.time_us[which], self.place[which], self.word[which])


def _version(writes: Writes, row: int, origin: str) -> dict[str, object]:
    assert writes.value is not None
    return {
        "value": int(writes.value[row]),
        "ts": int(writes.wall_us[row]) // 1000,
        "origin": origin,
    }


def _winner(answer: object) -> int:
    """Return what a merge policy's answer says; UNDECIDED if it says nothing that is known."""
    word = answer.get("decision") if isinstance(answer, Mapping) else None
    if word == "merge" and isinstance(answer, Mapping) and "value" in answer:
        return NEITHER
    return {"local": CLOUD, "remote": EDGE, "siblings": BOTH}.get(str(word), UNDECIDED)


def _members(of: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which of *of* are *among*."""
    if not of.size or not among.size:
        return np.zeros(of.shape, dtype=np.bool_)
    low = int(min(of.min(), among.min()))
    span = int(max(of.max(), among.max())) - low + 1
    if span > _CELLS_A_ROW * (of.size + among.size):
        return np.isin(of, among, kind="sort")
    table = np.zeros(span, dtype=np.bool_)
    table[among - low] = True
    return table[of - low]


def _next_meeting(
    site: NDArray[np.int32], time_us: NDArray[np.int64], first: NDArray[np.int64],
    times: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """Return, for each write, the number of its site's first meeting after it.

    Meetings of site *s* are numbered first[s]..first[s+1]-1; past them means: not yet.
    """
    if not times.size:
        return first[site + 1]
    span = int(max(times.max(), time_us.max(initial=0))) + 2
    owner = np.repeat(np.arange(first.size - 1, dtype=np.int64), np.diff(first))
    at = np.searchsorted(owner * span + times, site * np.int64(span) + time_us, side="right")
    return np.maximum(at, first[site])
