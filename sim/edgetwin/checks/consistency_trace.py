"""The account that all key-level checks read from: who wrote, knew and showed what, and when.

It is derived from an ``OperationHistory`` alone. Sets of operations are integers, one bit each, so
that "knew everything that" is one machine instruction for sixty operations.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, Verdict
from edgetwin.operations import (
    DeadLetter,
    Delivery,
    Event,
    Forgotten,
    LinkChange,
    Operation,
    OperationHistory,
    Read,
    ReplicaChange,
    Revoked,
    Shown,
    Value,
)


@dataclass
class Knowledge:
    """What one replica holds of the operations, as bit sets."""

    now: int = 0
    collected: int = 0
    """Held once, and dropped knowingly: by garbage collection."""

    @property
    def accounted(self) -> int:
        """What counts as known: held, or held until it was collected."""
        return self.now | self.collected


@dataclass
class Trace:
    """One pass over a history."""

    history: OperationHistory
    operations: dict[str, Operation] = field(default_factory=dict)
    """All that happened, or may have: outcomes ok and info."""
    bit: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    """Operation to all that precede it: what its client had seen, and what these preceded."""
    knew: dict[str, int] = field(default_factory=dict)
    """Operation to all that its replica held when it was written."""
    knowledge: dict[str, Knowledge] = field(default_factory=dict)
    """Replica to what it holds at the end."""
    read_at: dict[int, int] = field(default_factory=dict)
    """Number of a read's event to all that its replica accounted for."""
    missing_at: dict[int, int] = field(default_factory=dict)
    """Number of a delivery's event to all that its writer knew and its receiver did not."""
    shown: dict[tuple[str, str], Shown] = field(default_factory=dict)
    """(replica, key) to what is shown at the end."""
    dropped: int = 0
    """Operations that their writer dropped from a full outbox."""
    dead_letters: dict[str, str] = field(default_factory=dict)
    """Operation to the writer that holds it aside at the end."""
    down: set[tuple[str, str]] = field(default_factory=set)
    live: set[str] = field(default_factory=set)

    # --- questions ---------------------------------------------------------------------------

    def precedes(self, one: str, other: str) -> bool:
        """Return whether the client behind *other* had seen *one*, or what replaced it."""
        return bool(self.before.get(other, 0) & self.bit.get(one, 0))

    def acknowledged(self) -> Iterator[Operation]:
        """Yield the operations whose client was told that they hold, in order."""
        return (one for one in self.operations.values() if one.outcome == "ok")

    def judge(self, operation: Operation) -> str:
        """Return the replica at which *operation* is judged: its own if it may not leave."""
        sensitive = operation.key in self.history.sensitive
        return operation.replica if sensitive else self.history.authority

    def deletes(self, operation: Operation) -> bool:
        """Return whether *operation* takes something away, not merely writes a smaller value."""
        if operation.verb == "rem":
            return self.history.strategy == "orset"
        return operation.verb == "del" or (operation.verb == "delf" and bool(operation.touched))

    def holds(self, replica: str, operation: Operation) -> bool:
        """Return whether *replica* knows *operation* at the end, or did until it collected it."""
        return bool(self.knowledge[replica].accounted & self.bit[operation.id])

    def holders(self, operation: Operation) -> list[str]:
        """Return the replicas that hold *operation* at the end."""
        bit = self.bit[operation.id]
        return [name for name, known in self.knowledge.items() if known.now & bit]

    def waits_behind_a_cut(self, operation: Operation) -> bool:
        """Return whether replicas hold *operation*, none of which can reach its judge."""
        holders, judge = self.holders(operation), self.judge(operation)
        return bool(holders) and not any(judge in self.reachable(name) for name in holders)

    def visible(self, replica: str, key: str) -> tuple[str, ...]:
        """Return the operations that *replica* shows for *key* at the end."""
        shown = self.shown.get((replica, key))
        return shown.operations if shown else ()

    def value(self, replica: str, key: str) -> Value:
        """Return what *replica* shows for *key* at the end; None: absent."""
        shown = self.shown.get((replica, key))
        return shown.value if shown else None

    def reachable(self, replica: str) -> set[str]:
        """Return the live replicas, itself too, that *replica* can send to at the end."""
        if replica not in self.live:
            return set()
        found, waiting = {replica}, deque([replica])
        while waiting:
            here = waiting.popleft()
            for there in sorted(self.live - found):
                linked = frozenset((here, there)) not in self.history.no_link
                if linked and (here, there) not in self.down:
                    found.add(there)
                    waiting.append(there)
        return found

    # --- evidence ----------------------------------------------------------------------------

    def verdict(
        self,
        name: str,
        result: Result,
        reason: str,
        *,
        witness: Sequence[str] | Mapping[str, Any] = (),
        about: Iterable[str] = (),
        at: Iterable[str] = (),
        keys: Iterable[str] = (),
        **details: Any,
    ) -> Verdict:
        """Return a verdict whose evidence is the events about some operations and reads.

        *witness*: what proves a failure. *about*: the operations and reads to show, in the order
        of the history; *at*: the replicas at which, all if none is named. *keys*: keys of which to
        show what these replicas have in the end.
        """
        places = frozenset(at) or frozenset(self.knowledge)
        ends = list(self._ends(keys, places))
        told = list(self._told(frozenset(about), places))
        evidence = [*told[: EVIDENCE_ROWS_MAX - len(ends)], *ends]
        shown = dict(witness) if isinstance(witness, Mapping) else list(witness)
        return Verdict(
            name=name,
            result=result,
            reason=reason,
            evidence=tuple(evidence[:EVIDENCE_ROWS_MAX]),
            details={"witness": shown, **details},
        )

    def _told(self, about: frozenset[str], places: frozenset[str]) -> Iterator[Evidence]:
        for number, event in enumerate(self.history.events):
            told = _told(event, about)
            replica = getattr(event, "replica", "")
            if told and replica in places:
                yield Evidence(what=told, number=number, site=replica, start_us=event.time_us)

    def _ends(self, keys: Iterable[str], places: frozenset[str]) -> Iterator[Evidence]:
        last = len(self.history.events)
        end_us = self.history.events[-1].time_us if last else 0
        for key in keys:
            for name in sorted(self.live & places):
                what = f"in the end shows {key} = {_text(self.value(name, key))}"
                yield Evidence(what=what, number=last, site=name, start_us=end_us)


def _told(event: Event, about: frozenset[str]) -> str:
    """Return *event* in words if it is about one of the operations or reads, else nothing."""
    match event:
        case Operation(id=name) if name in about:
            told = {"ok": "acknowledged", "fail": "failed", "info": "outcome unknown"}
            place = event.key if event.field is None else f"{event.key}.{event.field}"
            argument = "" if event.argument is None else f" {_text(event.argument)}"
            return f"{name}: {event.verb} {place}{argument}, {told[event.outcome]}"
        case Delivery(operation=name) if name in about:
            how = "again" if event.repeated else "and refused it" if not event.applied else ""
            return f"received {name} from {event.sender} {how}".rstrip()
        case Shown(operations=names) if about.intersection(names):
            return f"shows {event.key} = {_text(event.value)} by {', '.join(names)}"
        case Read(id=name) if name in about:
            by = f" by {', '.join(event.operations)}" if event.operations else ""
            return f"{name}: read {event.key} = {_text(event.value)}{by}"
        case Forgotten(operations=names) if about.intersection(names):
            return f"lost {', '.join(sorted(about.intersection(names)))} ({event.cause})"
        case Revoked(operation=name) if name in about:
            return f"revoked {name}"
        case DeadLetter(operation=name) if name in about:
            return f"put {name} among the dead letters"
    return ""


def _text(value: Value) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def canonical(value: Value) -> str:
    """Return *value* as text that is the same for the same siblings or set in another order."""
    if isinstance(value, dict) and list(value) in (["siblings"], ["set"]):
        (word,) = value
        return f"{word} {sorted(canonical(one) for one in value[word])}"
    return json.dumps(value, sort_keys=True)


def traced(history: OperationHistory) -> Trace:
    """Return the account of *history*. What refers to an operation nobody wrote is left out."""
    trace = Trace(history, live=set(history.zones))
    trace.knowledge = {name: Knowledge() for name in sorted(history.zones)}
    for number, event in enumerate(history.events):
        match event:
            case Operation():
                _written(trace, event)
            case Delivery() if event.operation in trace.bit and event.replica in trace.knowledge:
                known = trace.knowledge[event.replica]
                trace.missing_at[number] = trace.knew[event.operation] & ~known.accounted
                known.now |= trace.bit[event.operation]
            case Shown():
                trace.shown[event.replica, event.key] = event
            case Read() if event.replica in trace.knowledge:
                trace.read_at[number] = trace.knowledge[event.replica].accounted
            case Forgotten() if event.replica in trace.knowledge:
                _forgotten(trace, event)
            case DeadLetter():
                trace.dead_letters[event.operation] = event.replica
            case LinkChange(sender=sender, receiver=receiver):
                (trace.down.discard if event.up else trace.down.add)((sender, receiver))
            case ReplicaChange():
                (trace.live.add if event.up else trace.live.discard)(event.replica)
    return trace


def _written(trace: Trace, operation: Operation) -> None:
    if operation.outcome == "fail" or operation.id in trace.bit:
        return
    trace.operations[operation.id] = operation
    trace.bit[operation.id] = 1 << len(trace.bit)
    before = 0
    for seen in operation.observed:
        before |= trace.bit.get(seen, 0) | trace.before.get(seen, 0)
    trace.before[operation.id] = before
    known = trace.knowledge.setdefault(operation.replica, Knowledge())
    trace.knew[operation.id] = known.now
    known.now |= trace.bit[operation.id]


def _forgotten(trace: Trace, event: Forgotten) -> None:
    gone = 0
    for name in event.operations:
        gone |= trace.bit.get(name, 0)
        if event.cause == "crash" and trace.dead_letters.get(name) == event.replica:
            del trace.dead_letters[name]
    known = trace.knowledge[event.replica]
    known.now &= ~gone
    if event.cause == "collected":
        known.collected |= gone
    if event.cause == "overflow":
        trace.dropped |= gone


def named(trace: Trace, bits: int) -> list[str]:
    """Return the operations of a bit set, in the order in which they were written."""
    return [name for name, bit in trace.bit.items() if bits & bit]
