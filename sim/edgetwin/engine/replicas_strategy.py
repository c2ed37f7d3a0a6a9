"""What a conflict strategy must say to the replica world; the plain shipping of operations."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from edgetwin.engine.replicas_site import Ledger, Replica
from edgetwin.errors import UsageError
from edgetwin.merge.clocks import hybrid_learned
from edgetwin.operations import Forgotten, Operation, Shown, Value


@dataclass(frozen=True)
class Selection:
    """How much of what waits a push may carry."""

    max_ops: int | None = None
    only: tuple[str, ...] | None = None
    """Exactly these, in this order."""


@dataclass(frozen=True)
class Payload:
    """What a push carries; fixed when it is sent."""

    operations: tuple[Operation, ...]
    states: Mapping[str, Any] = field(default_factory=dict)
    """Key to its state, for strategies that ship states."""
    refused: frozenset[str] = frozenset()
    """Operations that the sender, a hub, refused for good."""


@dataclass(frozen=True)
class Answer:
    """What the receiver of a push acknowledges."""

    received: tuple[str, ...]
    refused: tuple[str, ...] = ()
    """Of the received, those it refused for good."""


class Strategy(ABC):
    """Stores, ships and resolves the keys of one collection.

    The methods here ship operations: a push carries what the peer is not known to have.
    """

    verbs: ClassVar[frozenset[str]]
    whole_value: ClassVar[bool] = False
    """Whether a write replaces the whole value, so that a change of a part reads first."""
    hybrid: bool = False
    """Whether stamps come from the hybrid clock."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @abstractmethod
    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        """Return the operations that *replica* shows for *key*."""

    @abstractmethod
    def value(self, replica: Replica, key: str) -> Value:
        """Return what a read of *key* at *replica* gives."""

    @abstractmethod
    def absorb(self, replica: Replica, operation: Operation) -> None:
        """Put *operation* into the state of its key."""

    def observed(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        """Return what the client behind *operation* has seen and replaces."""
        return self.shown(replica, operation.key)

    def touched(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        """Return the fields that *operation* writes; none where keys have no fields."""
        return ()

    def fields(self, replica: Replica, key: str) -> tuple[str, ...]:
        """Return the field that each of ``shown`` shows in; none where keys have no fields."""
        return ()

    def tombstone_us(self, replica: Replica, key: str) -> int | None:
        """Return the stamp of the tombstone that *key* is, None if it is none."""
        return None

    def admit(self, replica: Replica) -> bool:
        """Return whether there is room for one more write; False refuses it."""
        return True

    def wrote(self, replica: Replica, operation: Operation) -> None:
        """Apply a local write."""
        self.absorb(replica, operation)
        self.refresh(replica, operation.key)

    def payload(self, sender: Replica, receiver: Replica, selection: Selection) -> Payload:
        """Return what *sender* would send to *receiver* now."""
        return Payload(self.waiting(sender, receiver, selection, sender.known.values()))

    def waiting(
        self, sender: Replica, receiver: Replica, selection: Selection, candidates: Any
    ) -> tuple[Operation, ...]:
        """Return those of *candidates* that *receiver* is not known to have, as selected."""
        if selection.only is not None:
            waiting = [sender.known[name] for name in selection.only if name in sender.known]
        elif self.ledger.options.sync_mode == "full":
            waiting = list(candidates)
        else:
            has = sender.peer_has(receiver.name)
            waiting = [operation for operation in candidates if operation.id not in has]
        ledger = self.ledger
        passing = [one for one in waiting if not ledger.withheld(sender, receiver, one)]
        return tuple(passing[: selection.max_ops])

    def deliver(self, receiver: Replica, sender: Replica, payload: Payload) -> Answer:
        """Apply *payload* and return what is acknowledged."""
        received = [one.id for one in payload.operations if self._take(receiver, sender, one)]
        return Answer(tuple(received))

    def _take(self, receiver: Replica, sender: Replica, operation: Operation) -> bool:
        ledger, options = self.ledger, self.ledger.options
        duplicate = operation.id in receiver.known or operation.id in receiver.watermark
        if not duplicate and self.hybrid and not self._learn_stamp(receiver, operation):
            return False
        receiver.peer_has(sender.name).add(operation.id)
        if duplicate and options.dedupe:
            ledger.counts["duplicates_suppressed"] += 1
            return True
        if duplicate:
            ledger.counts["duplicates_applied"] += 1
        ledger.delivered(receiver, sender, operation, repeated=duplicate)
        self.absorb(receiver, operation)
        self.refresh(receiver, operation.key)
        return True

    def _learn_stamp(self, receiver: Replica, operation: Operation) -> bool:
        """Advance the receiver's hybrid clock; False if the stamp is too far ahead."""
        wall_us = receiver.clock.at(self.ledger.time_us)
        limit = self.ledger.options.max_drift_us
        if limit is not None and operation.hybrid[0] - wall_us > limit:
            self.ledger.counts["clock_rejected"] += 1
            return False
        receiver.hybrid = hybrid_learned(receiver.hybrid, operation.hybrid, wall_us)
        return True

    def acknowledge(self, sender: Replica, receiver: Replica, answer: Answer) -> None:
        """Tell *sender* what *receiver* took."""
        sender.peer_has(receiver.name).update(answer.received)

    def forget(self, replica: Replica, lost: frozenset[str]) -> None:
        """Rebuild the states after *lost* went from ``replica.known``."""
        replica.states.clear()
        for operation in list(replica.known.values()):
            self.absorb(replica, operation)

    def refresh(self, replica: Replica, key: str) -> None:
        """Record what *replica* shows for *key* if that changed."""
        operations, fields = self.shown(replica, key), self.fields(replica, key)
        value = self.value(replica, key)
        now = Shown(self.ledger.time_us, replica.name, key, operations, value, fields)
        self.ledger.show(replica, now)

    def tombstones(self, replica: Replica, before_us: int) -> list[str]:
        """Return the keys that are tombstones stamped before *before_us*."""
        stamps = {key: self.tombstone_us(replica, key) for key in sorted(replica.states)}
        return [key for key, stamp in stamps.items() if stamp is not None and stamp < before_us]

    def collect(self, replica: Replica, key: str) -> None:
        """Drop the tombstone *key* with all that it superseded."""
        ledger = self.ledger
        ledger.counts["tombstones_collected"] += 1
        gone = tuple(one.id for one in replica.known.values() if one.key == key)
        for operation in gone:
            del replica.known[operation]
        if ledger.options.keep_watermark:
            replica.watermark.update(gone)
        self.drop(replica, key)
        ledger.events.append(Forgotten(ledger.time_us, replica.name, gone, "collected"))
        self.refresh(replica, key)

    def drop(self, replica: Replica, key: str) -> None:
        """Drop the state of *key*."""
        del replica.states[key]


def whole(current: Value, operation: Operation) -> Value:
    """Return the whole value after a client who read *current* changed what *operation* says."""
    verb, argument = operation.verb, operation.argument
    if verb == "put":
        return argument
    if verb == "del":
        return None
    parts = _parts(current)
    if verb == "inc":
        return sum(part for part in parts if isinstance(part, int | float)) + argument
    if verb in ("add", "rem"):
        elements = [one for part in parts if _is(part, "set") for one in part["set"]]
        kept = [one for one in elements if one != argument]
        return {"set": sorted([*kept, argument] if verb == "add" else kept, key=str)}
    fields = {
        name: value for part in parts if isinstance(part, dict) for name, value in part.items()
    }
    fields.pop(operation.field, None)
    if verb == "setf":
        fields[operation.field] = argument
    return dict(sorted(fields.items())) or None


def _parts(value: Value) -> Sequence[Value]:
    return value["siblings"] if _is(value, "siblings") else [value]


def _is(value: Value, name: str) -> bool:
    return isinstance(value, dict) and list(value) == [name]


WHOLE_VERBS = frozenset({"put", "del", "inc", "add", "rem", "setf", "delf"})


def check_verb(strategy: str, verbs: frozenset[str], verb: str) -> None:
    """Raise UsageError if *strategy* has no meaning for *verb*."""
    if verb not in verbs:
        raise UsageError(f"{strategy} has no {verb!r}; it has {', '.join(sorted(verbs))}")


StrategyMaker = Callable[[Ledger], Strategy]
