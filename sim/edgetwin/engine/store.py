"""What sites have on disk: how many writes of which class, how many bytes, what was pruned when.

Writes are counted, not kept. Pruning runs at marks that are `prune_every` apart and removes whole
slots between marks once they are older than the retention, so a ring of slot counts is enough,
whatever the run's length. Only collections with a second writer keep the keys of their writes,
and only until the two sides have met.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine.queueing import NEVER_US


@dataclass(frozen=True)
class WriteClass:
    """A class of requests that writes to one collection."""

    request_class: int
    collection: int
    disk_bytes: int
    """What one write adds to the volume, index overhead included."""
    wire_bytes: int
    """What one write is on the uplink."""
    retention_us: int
    synced: bool
    """Leaves the site: neither sensitive nor refused by its egress policy."""
    contended: bool
    """Others write the same keys in the cloud."""


@dataclass
class KeyedWrites:
    """Acknowledged writes of a contended collection whose two sides have not met yet."""

    site: list[NDArray[np.int32]] = field(default_factory=list)
    time_us: list[NDArray[np.int64]] = field(default_factory=list)
    key: list[NDArray[np.int64]] = field(default_factory=list)
    word: list[NDArray[np.uint64]] = field(default_factory=list)
    """The draw behind each key; its low half draws the value, where one is needed."""
    waiting: int = 0
    """How many of the first chunks the two sides were already asked about."""


class Store:
    """The volumes of all *sites*; arrays are (sites,) or (sites, write classes)."""

    def __init__(
        self, sites: int, classes: Sequence[WriteClass], limit_bytes: NDArray[np.int64],
        prune_us: int, window_us: int,
    ) -> None:  # fmt: skip
        self.classes = classes
        self.limit_bytes = limit_bytes
        self.full = np.zeros(sites, dtype=np.bool_)
        self.full_us = np.zeros(sites, dtype=np.int64)
        self.stored = np.zeros((sites, len(classes)), dtype=np.int64)
        self.info = np.zeros_like(self.stored)
        self.direct = np.zeros_like(self.stored)
        """Writes that went to the cloud at once, from requests that were forwarded there."""
        self.pruned = np.zeros_like(self.stored)
        self.delivered = np.zeros_like(self.stored)
        self.lost = np.zeros_like(self.stored)
        """Writes that were pruned before they were delivered."""
        self.used_bytes = np.zeros(sites, dtype=np.int64)
        self.used_bytes_max = np.zeros(sites, dtype=np.int64)
        self.keyed: dict[int, KeyedWrites] = {
            one.collection: KeyedWrites() for one in classes if one.contended
        }
        self._disk_bytes = np.array([one.disk_bytes for one in classes], dtype=np.int64)
        self._prune_us = prune_us
        self._mark = np.zeros(sites, dtype=np.int64)
        self._slots = [-(-one.retention_us // prune_us) for one in classes]
        self._ring = max(self._slots, default=0) + window_us // prune_us + 3
        self._written = np.zeros(sites * len(classes) * self._ring, dtype=np.int64)

    def add(
        self, site: NDArray[np.integer], write_class: NDArray[np.integer],
        finish_us: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Store one write a row; the caller has made sure that there is room."""
        at = site * np.int64(len(self.classes))
        at += write_class
        counts = np.bincount(at, minlength=self.stored.size).reshape(self.stored.shape)
        self.stored += counts
        self.used_bytes += counts @ self._disk_bytes
        if not finish_us.size:
            return
        low, high = int(finish_us.min()) // self._prune_us, int(finish_us.max()) // self._prune_us
        if low == high:
            self._written.reshape(-1, self._ring)[:, low % self._ring] += counts.reshape(-1)
            return
        at *= self._ring
        at += self._slot(finish_us, low, high) % self._ring
        np.add.at(self._written, at, 1)

    def _slot(self, time_us: NDArray[np.int64], low: int, high: int) -> NDArray[np.int64]:
        """Return the number, low..high, of the slot between marks that holds each instant."""
        if high - low > 8:
            return time_us // self._prune_us
        slot = np.full(time_us.shape, low, dtype=np.int64)
        for mark in range(low + 1, high + 1):
            slot += time_us >= mark * self._prune_us
        return slot

    def keep(
        self, write_class: int, site: NDArray[np.integer], time_us: NDArray[np.int64],
        key: NDArray[np.int64], word: NDArray[np.uint64],
    ) -> None:  # fmt: skip
        """Keep the keys of writes to a contended collection until the two sides meet."""
        keyed = self.keyed[self.classes[write_class].collection]
        keyed.site.append(site.astype(np.int32))
        keyed.time_us.append(time_us)
        keyed.key.append(key)
        keyed.word.append(word)

    def advance(self, sites: NDArray[np.int64], until_us: NDArray[np.int64]) -> None:
        """Prune at every mark up to and at *until_us* of each of *sites*."""
        mark, last = self._mark[sites], until_us // self._prune_us
        # What lies in slots that a mark had not seen yet was not there when it pruned.
        later = np.zeros(sites.size, dtype=np.int64)
        for ahead in range(1, int((last - mark).max(initial=0)) + 1):
            later += np.where(mark + ahead <= last, self._slot_bytes(sites, mark + ahead), 0)
        while True:
            peak = self.used_bytes[sites] - later
            self.used_bytes_max[sites] = np.maximum(self.used_bytes_max[sites], peak)
            due = self._mark[sites] < last
            if not due.any():
                return
            sites, last, later = sites[due], last[due], later[due]
            self._mark[sites] += 1
            mark = self._mark[sites]
            later -= self._slot_bytes(sites, mark)
            for column in range(len(self.classes)):
                gone = self._gone(sites, column, mark)
                self.pruned[sites, column] += gone
                self.used_bytes[sites] -= gone * self._disk_bytes[column]
                slot = mark - self._slots[column] - 1
                at = (sites * len(self.classes) + column) * self._ring + slot % self._ring
                self._written[at] = np.where(slot >= 0, 0, self._written[at])

    def _slot_bytes(self, sites: NDArray[np.int64], slot: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what was written in a slot between marks, of each of *sites*."""
        found = np.zeros(sites.size, dtype=np.int64)
        for column in range(len(self.classes)):
            at = (sites * len(self.classes) + column) * self._ring + slot % self._ring
            found += self._written[at] * self._disk_bytes[column]
        return found

    def _gone(
        self, sites: NDArray[np.int64], column: int, mark: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return how many writes of a class the mark removes, of each of *sites*."""
        slot = mark - self._slots[column] - 1
        at = (sites * len(self.classes) + column) * self._ring + slot % self._ring
        return np.where(slot >= 0, self._written[at], 0)

    def count_losses(self, site: int) -> None:
        """Count what was pruned at *site* and will never be delivered: its oldest writes."""
        gone = self.delivered[site] + self.lost[site]
        self.lost[site] += np.maximum(self.pruned[site] - gone, 0)

    def crossing(
        self, site: int, write_class: NDArray[np.integer], finish_us: NDArray[np.int64]
    ) -> int:
        """Return when the site's volume would overflow, NEVER_US if these writes fit.

        The rows are all writes that finish until then. Writes of one microsecond are admitted
        together or not at all.
        """
        order = np.argsort(finish_us, kind="stable")
        at, column = finish_us[order], write_class[order]
        bytes_each = self._disk_bytes[column]
        used = int(self.used_bytes[site]) + np.cumsum(bytes_each)
        goes = at // self._prune_us + np.array(self._slots, dtype=np.int64)[column] + 1
        freed = np.zeros(at.shape, dtype=np.int64)
        mark = int(self._mark[site]) + 1
        while at.size and mark * self._prune_us <= at[-1]:
            row = np.searchsorted(at, mark * self._prune_us)
            freed[row:] += self._freed_bytes(site, mark) + int(bytes_each[goes == mark].sum())
            mark += 1
        over = np.flatnonzero(used - freed > self.limit_bytes[site])
        return int(at[over[0]]) if over.size else NEVER_US

    def _freed_bytes(self, site: int, mark: int) -> int:
        one, when = np.array([site]), np.array([mark])
        return sum(
            int(self._gone(one, column, when)[0]) * int(self._disk_bytes[column])
            for column in range(len(self.classes))
        )

    def next_room_us(self, site: int) -> int:
        """Return the next mark that frees anything, NEVER_US if none will."""
        mark = int(self._mark[site]) + 1
        for ahead in range(mark, mark + self._ring):
            if self._freed_bytes(site, ahead) > 0:
                return ahead * self._prune_us
        return NEVER_US

    def bytes_of(self, write_class: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return what one write of each class adds to the volume."""
        if not self.classes:
            return np.zeros(write_class.shape, dtype=np.int64)
        each: NDArray[np.int64] = self._disk_bytes[write_class]
        return each
