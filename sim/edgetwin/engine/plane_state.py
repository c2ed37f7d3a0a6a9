"""What the data plane holds between two changes of state: rules, pods, attempts under way.

Arrays over sites are shaped (sites,); those over services or classes as well come first by
service or class.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine import attempts, ledger
from edgetwin.engine.attempts import NO_SLOT, Attempts, Column
from edgetwin.engine.decisions import ALLOW, VERDICTS, Decisions
from edgetwin.engine.ledger import Ledger
from edgetwin.engine.queueing import NEVER_US, Rules
from edgetwin.engine.requests import Arrivals, Block, scaled
from edgetwin.engine.store import Store
from edgetwin.engine.tally import Tally
from edgetwin.model import Law

OUTCOME_OF = np.array(
    [ledger.OK, ledger.DENIED, ledger.ERROR, ledger.ERROR, ledger.OK], dtype=np.int64
)
LOW = np.uint64(0xFFFFFFFF)
TABLES_MAX = 256
"""Decision tables of one class: states of (active revision, current revision, offline)."""


@dataclass(frozen=True)
class ClassRules:
    """One class of requests at all sites of its kind."""

    name: str
    service: int
    budget_us: int
    timeout_us: int
    retries: int
    backoff_us: int
    law: Law
    write_class: int
    """Column of the store, -1 for a read."""
    keys: NDArray[np.float64] | int | None
    """Of a contended collection: how many keys, or their cumulative shares; None: not needed."""
    decisions: Decisions | None
    dark_without_power: bool
    sites: NDArray[np.int64]
    """Site of each stream, sorted."""
    arrivals: Arrivals


@dataclass(frozen=True)
class ServiceRules:
    """One Kubernetes Service and its pods, alike at every site."""

    name: str
    rules: Rules
    cold_us: NDArray[np.int64]
    """What a cold start of a scaled-to-zero instance takes, at even quantiles."""
    fallback: bool
    cloud_law: Law
    watch_memory: bool


@dataclass(frozen=True)
class Crossing:
    """Requests are about to change a state: `what` is kill or full."""

    site: int
    at_us: int
    what: str
    slot: int = NO_SLOT


@dataclass
class Links:
    """What the way to the cloud is like; arrays over sites."""

    offline: NDArray[np.bool_]
    latency_us: NDArray[np.int64]
    jitter_us: NDArray[np.int64]


@dataclass
class Part:
    """Attempts of one service that share a way: a pod of their site, or another place."""

    rows: Attempts
    inmate: NDArray[np.bool_] | None = None
    """Rows that were in a pod before: they count for the others, and are not committed again."""
    again: bool = False
    """Retries of rows of the same plan."""


@dataclass
class Plan:
    """What would become of one service's attempts; nothing is committed."""

    service: int
    streams: list[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]
    """(class, its stream rows, where their next requests begin, requests issued by each)."""
    parts: list[Part] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)


class PlaneState:
    """The state of all sites' requests; what judges and commits them builds on it."""

    def __init__(
        self, sites: int, classes: Sequence[ClassRules], services: Sequence[ServiceRules],
        store: Store, books: Ledger, component: NDArray[np.int64], *, keep_requests: bool,
    ) -> None:  # fmt: skip
        self.classes = classes
        self.services = services
        self.store = store
        self.books = books
        self.component = component
        self.time_us = np.zeros(sites, dtype=np.int64)
        self.links = Links(
            np.zeros(sites, dtype=np.bool_),
            np.zeros(sites, dtype=np.int64),
            np.zeros(sites, dtype=np.int64),
        )
        self.powered = np.ones(sites, dtype=np.bool_)
        self.ready = np.zeros((len(services), sites), dtype=np.int64)
        self.slots = np.full((len(services), sites, 1), NO_SLOT, dtype=np.int64)
        self.free_us = np.zeros(64, dtype=np.int64)
        """When each slot's only worker is free; several workers: when the slot became ready."""
        self.service_of_slot: list[int] = []
        self.table = np.zeros((len(classes), sites), dtype=np.int64)
        self.cloud_table = np.zeros((len(classes), sites), dtype=np.int64)
        self.in_pod_max = np.zeros((len(services), sites), dtype=np.int64)
        self.busy_us = np.zeros((len(services), sites), dtype=np.int64)
        self.carried = [attempts.empty() for _ in services]
        self.waiting = [attempts.empty() for _ in services]
        """Retries that clients will issue, by service."""
        self.kept: list[dict[str, Column]] | None = [] if keep_requests else None
        self.asked = np.zeros(len(classes) * TABLES_MAX * VERDICTS, dtype=np.int64)
        self.tally = Tally(sites=sites, classes=len(classes), tables=TABLES_MAX)
        self._row_of_site = np.full((len(classes), sites), -1, dtype=np.int64)
        for number, one in enumerate(classes):
            self._row_of_site[number, one.sites] = np.arange(one.sites.size)
        self._of_service = [
            [number for number, one in enumerate(classes) if one.service == service]
            for service in range(len(services))
        ]
        self._reads_only = [
            all(classes[number].write_class < 0 for number in numbers)
            for numbers in self._of_service
        ]
        self._budget_us = np.array([one.budget_us for one in classes], dtype=np.int64)
        self._timeout_us = np.array([one.timeout_us for one in classes], dtype=np.int64)
        self._budget_us_min, self._timeout_us_min = (
            [int(limit_us[numbers].min(initial=NEVER_US)) for numbers in self._of_service]
            for limit_us in (self._budget_us, self._timeout_us)
        )
        self._retries = np.array([one.retries for one in classes], dtype=np.int64)
        self._backoff_us = np.array([one.backoff_us for one in classes], dtype=np.int64)
        self._write_class = np.array([one.write_class for one in classes], dtype=np.int64)
        self._keyed = [number for number, one in enumerate(classes) if one.keys is not None]
        self._until_us = np.zeros(sites, dtype=np.int64)
        self._blocks: list[Block] = []
        self._position: list[NDArray[np.int64]] = []
        self._window_us = (0, 0)
        self._roomy = np.zeros(sites, dtype=np.bool_)
        """Sites whose volume holds whatever this window may write."""

    def open_window(self, until_us: int) -> None:
        """Draw the requests that arrive before *until_us*."""
        self._blocks = [one.arrivals.block(until_us) for one in self.classes]
        self._position = [block.first[:-1].copy() for block in self._blocks]
        self._window_us = (self._window_us[1], until_us)

    def new_slot(self, service: int, at_us: int) -> int:
        """Return a slot for a pod of *service* that becomes ready now."""
        slot = len(self.service_of_slot)
        if slot == self.free_us.size:
            self.free_us = np.concatenate((self.free_us, np.zeros_like(self.free_us)))
        self.free_us[slot] = at_us
        self.service_of_slot.append(service)
        return slot

    def set_endpoints(self, service: int, site: int, slots: Sequence[int]) -> None:
        """From now on requests at *site* to *service* go to the pods in *slots*."""
        if len(slots) > self.slots.shape[2]:
            grown = np.full((*self.slots.shape[:2], len(slots)), NO_SLOT, dtype=np.int64)
            grown[:, :, : self.slots.shape[2]] = self.slots
            self.slots = grown
        self.slots[service, site, : len(slots)] = slots
        self.ready[service, site] = len(slots)

    def asked_by_table(self, number: int) -> NDArray[np.int64]:
        """Return how often a class's tables gave each verdict, shape (tables, VERDICTS)."""
        asked: NDArray[np.int64] = self.asked.reshape(-1, TABLES_MAX, VERDICTS)[number]
        return asked

    def _kept(
        self, rows: Attempts, which: NDArray[np.int64] | NDArray[np.bool_] | slice
    ) -> dict[str, Column]:
        """Return *which* rows with every kept column."""
        kept: dict[str, Column] = {}
        size = rows["site"][which].size
        for name, kind in attempts.COLUMNS.items():
            if name == "span":
                kept[name] = self._span(rows)[which]
            elif name == "first_us":
                kept[name] = self._first(rows)[which]
            elif name in rows:
                kept[name] = rows[name][which]
            else:
                kept[name] = np.zeros(size, dtype=kind)
        return kept

    def _carry(self, service: int, rows: dict[str, Column]) -> None:
        if rows["site"].size:
            self.carried[service] = attempts.joined([self.carried[service], rows])

    def _per_class(
        self, table: NDArray[np.int64], service: int, rows: Attempts
    ) -> NDArray[np.int64] | np.int64:
        """Return the class's entry of *table* for each row; one number if there is one class."""
        classes = self._of_service[service]
        return table[classes[0]] if len(classes) == 1 else table[rows["request_class"]]

    def _span(self, rows: Attempts) -> NDArray[np.int64]:
        return rows["span"] if "span" in rows else self.books.span[rows["site"]]

    def _first(self, rows: Attempts) -> NDArray[np.int64]:
        return rows["first_us"] if "first_us" in rows else rows["arrival_us"]

    def _attempt(self, rows: Attempts) -> NDArray[np.int16]:
        if "attempt" in rows:
            return rows["attempt"]
        return np.zeros(rows.size, dtype=np.int16)

    def _among(self, rows: dict[str, Column], sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._chosen(rows["site"], sites)

    def _chosen(self, site: NDArray[np.integer], sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        if sites.size == self.component.size:
            return np.ones(site.shape, dtype=np.bool_)
        chosen = np.zeros(self.component.size, dtype=np.bool_)
        chosen[sites] = True
        among: NDArray[np.bool_] = chosen[site]
        return among

    def _is_due(self, rows: dict[str, Column], sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        due = self._among(rows, sites)
        due &= rows["arrival_us"] < self._until_us[rows["site"]]
        return due

    def _due(self, rows: dict[str, Column], sites: NDArray[np.int64]) -> dict[str, Column]:
        if not rows["site"].size:
            return rows
        return attempts.picked(rows, self._is_due(rows, sites))


def served(verdict: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which requests are allowed, rightly (0) or wrongly (4)."""
    served: NDArray[np.bool_] = (verdict & 3) == ALLOW
    return served


def chosen_keys(words: NDArray[np.uint64], keys: NDArray[np.float64] | int) -> NDArray[np.int64]:
    """Return the key that each request's draw (the high half of *words*) stands for.

    *keys* is their number, for a uniform law, or the cumulative shares of all keys.
    """
    if isinstance(keys, int):
        return scaled(words >> np.uint64(32), keys)
    unit = (words >> np.uint64(32)).astype(np.float64) * 2.0**-32
    return np.searchsorted(keys, unit, side="right")
