"""What one replica holds, and what all replicas of a world share: clock, counts and the record."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgetwin.merge.by_policy import Candidate
from edgetwin.operations import Delivery, Event, Operation, Shown, Value


@dataclass(frozen=True)
class ReplicaOptions:
    """How replicas store and exchange operations; the words of ``conflicts.yaml``."""

    dedupe: bool = True
    """Recognise an operation that was received before, by its id."""
    sync_mode: Literal["cursor", "full"] = "cursor"
    """cursor: send what is not acknowledged. full: send everything (anti-entropy)."""
    filter: Literal["boundary", "origin", "none"] = "boundary"
    """Who withholds sensitive keys from zone cloud: every edge, only the writer, nobody."""
    keep_watermark: bool = False
    """After garbage collection, remember the collected ids as received."""
    buffer_ops: int | None = None
    """Bound of an edge's outbox of emits that are not acknowledged."""
    overflow: Literal["drop_oldest", "drop_newest", "reject_write"] = "drop_oldest"
    retention_us: int | None = None
    """Age at which a tombstone is collected; None: never."""
    max_drift_us: int | None = None
    """Largest lead of a hybrid stamp over the receiver's wall clock; None: any."""
    hlc_persisted: bool = True
    stamp: Literal["hlc", "wall"] = "hlc"
    """Stamps of an lwwmap."""
    resolver: Literal["every", "cloud"] = "every"
    """Who resolves a conflict under a merge policy: whoever meets it, or only the authority."""
    policy: str | None = None
    restart_as: Literal["same", "new-id"] = "same"


@dataclass
class WallClock:
    """A replica's own clock: ``t + offset + floor(drift * t)``, in steps of its resolution."""

    offset_us: int = 0
    drift_ppm: float = 0
    resolution_us: int = 1

    def at(self, time_us: int) -> int:
        """Return what the clock shows at true time *time_us*; may be negative."""
        ticks = time_us // self.resolution_us
        ahead = int(self.drift_ppm * ticks // 1_000_000)
        return (ticks + ahead) * self.resolution_us + self.offset_us


@dataclass
class Replica:
    """One replica: what is on its disk, and what it believes of its peers."""

    name: str
    zone: str
    clock: WallClock
    policy: str | None = None
    up: bool = True
    incarnation: int = 1
    sequence: int = 0
    hybrid: tuple[int, int] = (0, 0)
    known: dict[str, Operation] = field(default_factory=dict)
    """Operations by id, in the order in which they were learned."""
    watermark: set[str] = field(default_factory=set)
    """Ids of collected operations that count as received."""
    acknowledged: dict[str, set[str]] = field(default_factory=dict)
    """Peer to the operations that this replica knows the peer to have."""
    refused: set[str] = field(default_factory=set)
    """Operations that this replica, a hub, refused for good."""
    dead_letters: list[str] = field(default_factory=list)
    states: dict[str, Any] = field(default_factory=dict)
    """Key to what the strategy keeps for it."""

    @property
    def identity(self) -> str:
        """The name in stamps and counters: ``edge1``, after a new identity ``edge1#2``."""
        return self.name if self.incarnation == 1 else f"{self.name}#{self.incarnation}"

    def peer_has(self, peer: str) -> set[str]:
        """Return the operations that *peer* is known to have."""
        return self.acknowledged.setdefault(peer, set())

    def wipe(self) -> None:
        """Empty the disk; the replica's name, clock and count of operations stay."""
        self.hybrid = (0, 0)
        self.dead_letters.clear()
        for held in (self.watermark, self.refused):
            held.clear()
        for kept in (self.known, self.acknowledged, self.states):
            kept.clear()


@dataclass
class Ledger:
    """What the replicas of one world share: the instant, the record, and who saw what."""

    options: ReplicaOptions
    authority: str
    sensitive: frozenset[str]
    classes: Mapping[str, str]
    time_us: int = 0
    events: list[Event] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    operations: dict[str, Operation] = field(default_factory=dict)
    met: list[Candidate] = field(default_factory=list)
    """Values that a merge policy had to decide between, in order."""
    _before: dict[str, int] = field(default_factory=dict)
    """Operation to a bit set of the operations that precede it."""
    _bit: dict[str, int] = field(default_factory=dict)
    _shown: dict[tuple[str, str], tuple[tuple[str, ...], Value, tuple[str, ...]]] = field(
        default_factory=dict
    )

    def written(self, operation: Operation) -> None:
        """Record a new operation, whose client had seen ``operation.observed``."""
        assert operation.id not in self._bit, f"two operations are called {operation.id!r}"
        self.events.append(operation)
        self.operations[operation.id] = operation
        self._bit[operation.id] = 1 << len(self._bit)
        before = 0
        for seen in operation.observed:
            before |= self._bit[seen] | self._before[seen]
        self._before[operation.id] = before

    def precedes(self, one: str, other: str) -> bool:
        """Return whether the client behind *other* had seen *one*, or what replaced it."""
        return bool(self._before[other] & self._bit[one])

    def context(self, operation: str) -> frozenset[str]:
        """Return all operations that precede *operation*."""
        before = self._before[operation]
        return frozenset(name for name, bit in self._bit.items() if before & bit)

    def delivered(
        self, receiver: Replica, sender: Replica, operation: Operation, **how: bool
    ) -> None:
        """Record that *receiver* got *operation*; it now knows it, unless it did before."""
        receiver.known.setdefault(operation.id, operation)
        self.events.append(Delivery(self.time_us, operation.id, receiver.name, sender.name, **how))

    def show(self, replica: Replica, shown: Shown) -> None:
        """Record what *replica* shows for a key, if that changed."""
        last = self._shown.get((replica.name, shown.key))
        now = (shown.operations, shown.value, shown.fields)
        if now != (((), None, ()) if last is None else last):
            self._shown[replica.name, shown.key] = now
            self.events.append(shown)

    def withheld(self, sender: Replica, receiver: Replica, operation: Operation) -> bool:
        """Return whether the boundary filter keeps *operation* from crossing."""
        if operation.key not in self.sensitive or receiver.zone != "cloud":
            return False
        if self.options.filter == "origin":
            return operation.replica == sender.name
        return self.options.filter == "boundary" and sender.zone == "edge"
