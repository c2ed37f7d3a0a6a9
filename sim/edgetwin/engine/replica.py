"""A world of replicas at key level: clients write and read, replicas exchange operations.

Every step happens at a given instant and is done at once; cuts, lost requests and lost
acknowledgements are said step by step, so that a history of a few operations proves a point. The
semantics are the header of the vector file ``conflicts.yaml``; what happened is recorded in an
``OperationHistory``, which the checks judge without this module.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from edgetwin.engine.replicas_hub import HUB
from edgetwin.engine.replicas_shipping import SHIPPING
from edgetwin.engine.replicas_site import Ledger, Replica, ReplicaOptions, WallClock
from edgetwin.engine.replicas_state import STATES, PolicyRegister
from edgetwin.engine.replicas_strategy import (
    Answer,
    Payload,
    Selection,
    Strategy,
    check_verb,
    whole,
)
from edgetwin.errors import UsageError
from edgetwin.merge.by_policy import Candidate, MergePolicy
from edgetwin.merge.clocks import hybrid_local
from edgetwin.operations import (
    Forgotten,
    LinkChange,
    Operation,
    OperationHistory,
    Read,
    ReplicaChange,
    Value,
    Verb,
)

Lost = Literal["none", "request", "ack"]
"""What of a push gets lost: nothing; the request, so nothing arrives; or the acknowledgement."""

STRATEGIES: Final = tuple(sorted([*SHIPPING, *HUB, *STATES, "rego"]))


@dataclass(frozen=True)
class ReplicaPlace:
    """Where a replica stands and how its clock runs."""

    zone: Literal["cloud", "edge"]
    offset_us: int = 0
    drift_ppm: float = 0


class ReplicaWorld:
    """Replicas of one collection under one strategy. Steps must come in order of time."""

    def __init__(
        self,
        places: Mapping[str, ReplicaPlace],
        strategy: str,
        *,
        authority: str = "cloud",
        no_link: Sequence[tuple[str, str]] = (),
        classes: Mapping[str, str] | None = None,
        options: ReplicaOptions | None = None,
        policies: Mapping[str, MergePolicy] | None = None,
        clock_resolution_us: int = 1,
    ) -> None:
        """Place the replicas; every pair is connected except those in *no_link*.

        *classes*: key to its class; ``sensitive`` keys stay out of zone cloud. *policies*: merge
        policies by name, for strategy ``rego``. Raises UsageError for what cannot be.
        """
        options = options or ReplicaOptions()
        if authority not in places:
            raise UsageError(f"authority {authority!r} is none of {', '.join(sorted(places))}")
        self._strategy_name = strategy
        sensitive = {key for key, name in (classes or {}).items() if name == "sensitive"}
        self.ledger = Ledger(options, authority, frozenset(sensitive), dict(classes or {}))
        self.replicas = {
            name: Replica(
                name,
                place.zone,
                WallClock(place.offset_us, place.drift_ppm, clock_resolution_us),
                options.policy,
            )
            for name, place in sorted(places.items())
        }
        self._policies = dict(policies or {})
        self._strategy = self._made(strategy)
        self._no_link = frozenset(frozenset(pair) for pair in no_link)
        self._down: set[tuple[str, str]] = set()

    def _made(self, name: str) -> Strategy:
        if name == "rego":
            self._policy(self.ledger.options.policy)
            return PolicyRegister(self.ledger, self._policies)
        makers: dict[str, type[Strategy]] = {**SHIPPING, **HUB, **STATES}
        if name not in makers:
            raise UsageError(f"{name!r} is no strategy; known: {', '.join(STRATEGIES)}")
        return makers[name](self.ledger)

    def _policy(self, name: str | None) -> str:
        if name is None or name not in self._policies:
            known = ", ".join(sorted(self._policies)) or "none"
            raise UsageError(f"merge policy {name!r} is unknown; known: {known}")
        return name

    def _at(self, time_us: int, name: str) -> Replica:
        assert time_us >= self.ledger.time_us, f"{time_us} us is before {self.ledger.time_us} us"
        self.ledger.time_us = time_us
        if name not in self.replicas:
            raise UsageError(f"replica {name!r} is none of {', '.join(self.replicas)}")
        return self.replicas[name]

    # --- clients -----------------------------------------------------------------------------

    def write(
        self,
        time_us: int,
        at: str,
        verb: Verb,
        key: str,
        argument: Value = None,
        *,
        name: str,
        field: str | None = None,
        session: str | None = None,
        blind: bool = False,
    ) -> Operation:
        """Let a client write at replica *at*, and return the operation, called *name*.

        It fails, and then did not happen, at a crashed replica and at a full outbox that rejects.
        """
        replica, strategy = self._at(time_us, at), self._strategy
        check_verb(self._strategy_name, strategy.verbs, verb)
        draft = Operation(
            time_us, name, at, key, verb, argument, field, session=session,
            identity=replica.identity, sequence=replica.sequence + 1,
            wall_us=replica.clock.at(time_us),
        )  # fmt: skip
        if not replica.up or not strategy.admit(replica):
            failed = replace(draft, outcome="fail")
            self.ledger.events.append(failed)
            return failed
        replica.sequence += 1
        replica.hybrid = hybrid_local(replica.hybrid, draft.wall_us)
        operation = replace(
            draft,
            hybrid=replica.hybrid,
            observed=() if blind else strategy.observed(replica, draft),
            touched=strategy.touched(replica, draft),
            value=whole(strategy.value(replica, key), draft) if strategy.whole_value else None,
        )
        self.ledger.written(operation)
        replica.known[name] = operation
        strategy.wrote(replica, operation)
        return operation

    def read(
        self, time_us: int, at: str, key: str, *, name: str, session: str | None = None
    ) -> Value:
        """Let a client read *key* at replica *at*; a crashed replica answers nothing."""
        replica = self._at(time_us, at)
        if not replica.up:
            return None
        strategy = self._strategy
        shown, fields = strategy.shown(replica, key), strategy.fields(replica, key)
        value = strategy.value(replica, key)
        self.ledger.events.append(Read(time_us, name, at, key, shown, value, session, fields))
        return value

    # --- replication -------------------------------------------------------------------------

    def push(
        self,
        time_us: int,
        sender: str,
        receiver: str,
        *,
        lose: Lost = "none",
        max_ops: int | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        """Transfer what *receiver* is not known to have, one way."""
        selection = Selection(max_ops, None if only is None else tuple(only))
        one, other = self._at(time_us, sender), self._at(time_us, receiver)
        self._carry(one, other, self._strategy.payload(one, other, selection), lose)

    def sync(self, time_us: int, one: str, other: str, *, lose: Lost = "none") -> None:
        """Push *one* to *other*, then back."""
        self.push(time_us, one, other, lose=lose)
        self.push(time_us, other, one, lose=lose)

    def exchange(self, time_us: int, one: str, other: str, *, lose: Lost = "none") -> None:
        """Let both payloads cross in flight: both are fixed before either is applied."""
        first, second = self._at(time_us, one), self._at(time_us, other)
        there = self._strategy.payload(first, second, Selection())
        back = self._strategy.payload(second, first, Selection())
        # Crossing messages arrive before either acknowledgement can have come back.
        answers = [
            (first, second, self._deliver(first, second, there, lose)),
            (second, first, self._deliver(second, first, back, lose)),
        ]
        for sender, receiver, answer in answers:
            self._acknowledge(sender, receiver, answer, lose)

    def _carry(self, sender: Replica, receiver: Replica, payload: Payload, lose: Lost) -> None:
        answer = self._deliver(sender, receiver, payload, lose)
        self._acknowledge(sender, receiver, answer, lose)

    def _deliver(
        self, sender: Replica, receiver: Replica, payload: Payload, lose: Lost
    ) -> Answer | None:
        """Bring *payload* to *receiver*; None if it does not arrive."""
        passes = self._passes((sender.name, receiver.name)) and sender.up and receiver.up
        if lose == "request" or not passes:
            self.ledger.counts["failed_pushes"] += 1
            return None
        return self._strategy.deliver(receiver, sender, payload)

    def _acknowledge(
        self, sender: Replica, receiver: Replica, answer: Answer | None, lose: Lost
    ) -> None:
        """Bring *answer* back to *sender*, unless it gets lost."""
        if answer is None:
            return
        if lose == "ack" or not self._passes((receiver.name, sender.name)):
            self.ledger.counts["lost_acks"] += 1
            return
        self._strategy.acknowledge(sender, receiver, answer)

    def _passes(self, way: tuple[str, str]) -> bool:
        return way not in self._down and frozenset(way) not in self._no_link

    # --- faults and maintenance --------------------------------------------------------------

    def cut(self, time_us: int, one: str, other: str) -> None:
        """Cut the link both ways."""
        self._link(time_us, [(one, other), (other, one)], up=False)

    def cut_oneway(self, time_us: int, sender: str, receiver: str) -> None:
        """Cut the link from *sender* to *receiver* only."""
        self._link(time_us, [(sender, receiver)], up=False)

    def heal(self, time_us: int, one: str, other: str) -> None:
        """Heal the link both ways, however it was cut."""
        self._link(time_us, [(one, other), (other, one)], up=True)

    def _link(self, time_us: int, ways: Sequence[tuple[str, str]], *, up: bool) -> None:
        for way in ways:
            self._at(time_us, way[0])
            self._at(time_us, way[1])
            if up == (way in self._down):
                (self._down.discard if up else self._down.add)(way)
                self.ledger.events.append(LinkChange(time_us, *way, up))

    def set_clock(self, time_us: int, name: str, offset_us: int) -> None:
        """Replace the clock's offset from now on."""
        self._at(time_us, name).clock.offset_us = offset_us

    def set_policy(self, time_us: int, name: str, policy: str) -> None:
        """Switch the replica to another version of the merge policy."""
        self._at(time_us, name).policy = self._policy(policy)

    def crash(
        self, time_us: int, name: str, *, lose: Literal["none", "unsynced", "all"] = "none"
    ) -> None:
        """Stop the replica: nothing is lost, or what no peer is known to have, or the disk."""
        replica = self._at(time_us, name)
        replica.up = False
        self.ledger.events.append(ReplicaChange(time_us, name, up=False))
        if lose == "unsynced":
            told = {one for has in replica.acknowledged.values() for one in has}
            self._forget(replica, tuple(one for one in replica.known if one not in told))
        if lose == "all":
            self._forget(replica, tuple(replica.known))
            replica.wipe()
            for peer in self.replicas.values():
                peer.peer_has(name).clear()

    def _forget(self, replica: Replica, lost: tuple[str, ...]) -> None:
        if lost:
            for operation in lost:
                del replica.known[operation]
            self._strategy.forget(replica, frozenset(lost))
            gone = Forgotten(self.ledger.time_us, replica.name, lost, "crash")
            self.ledger.events.append(gone)

    def restart(
        self, time_us: int, name: str, *, identity: Literal["same", "new-id"] | None = None
    ) -> None:
        """Start the replica again, as the same or under a fresh identity (``edge1#2``)."""
        replica = self._at(time_us, name)
        replica.up = True
        if (identity or self.ledger.options.restart_as) == "new-id":
            replica.incarnation += 1
        if not self.ledger.options.hlc_persisted:
            replica.hybrid = (0, 0)
        self.ledger.events.append(ReplicaChange(time_us, name, up=True))
        for key in sorted({operation.key for operation in self.ledger.operations.values()}):
            self._strategy.refresh(replica, key)

    def collect(self, time_us: int, name: str) -> None:
        """Drop every key that is a tombstone past its retention, with what it superseded."""
        replica, options = self._at(time_us, name), self.ledger.options
        if options.retention_us is None:
            return
        before_us = replica.clock.at(time_us) - options.retention_us
        for key in self._strategy.tombstones(replica, before_us):
            self._strategy.collect(replica, key)

    # --- what came of it ---------------------------------------------------------------------

    def value(self, name: str, key: str) -> Value:
        """Return what replica *name* holds for *key* now."""
        return self._strategy.value(self.replicas[name], key)

    @property
    def met(self) -> tuple[Candidate, ...]:
        """The distinct values that a merge policy had to decide between, for its law check."""
        distinct = {
            (json.dumps(one.value), one.wall_us, one.origin): one for one in self.ledger.met
        }
        return tuple(distinct.values())

    def history(self) -> OperationHistory:
        """Return what happened so far."""
        return OperationHistory(
            strategy=self._strategy_name,
            zones={name: replica.zone for name, replica in self.replicas.items()},
            authority=self.ledger.authority,
            events=tuple(self.ledger.events),
            sensitive=self.ledger.sensitive,
            no_link=self._no_link,
        )
