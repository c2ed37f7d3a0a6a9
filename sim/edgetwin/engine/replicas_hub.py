"""Strategies with a hub: cloud-wins, edge-wins, and streams that edges queue for the authority."""

from typing import Final

from edgetwin.engine.replicas_site import Replica
from edgetwin.engine.replicas_strategy import (
    WHOLE_VERBS,
    Answer,
    Payload,
    Selection,
    Strategy,
)
from edgetwin.merge.registers import hub_accepts
from edgetwin.operations import DeadLetter, Forgotten, Operation, Revoked, Value


class Hub(Strategy):
    """Edges send their own writes to the authority; it sends back its version of every key.

    A replica's state of a key is the versions it held, oldest first: the last one shows, the
    earlier ones are what is left when a crash takes the last.
    """

    verbs = WHOLE_VERBS
    whole_value = True
    edge_wins = False

    def absorb(self, replica: Replica, operation: Operation) -> None:
        held = replica.states.setdefault(operation.key, [])
        if not held or held[-1].id != operation.id:
            held.append(operation)

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        current = _current(replica, key)
        return (current.id,) if current else ()

    def value(self, replica: Replica, key: str) -> Value:
        current = _current(replica, key)
        return current.value if current else None

    def tombstone_us(self, replica: Replica, key: str) -> int | None:
        current = _current(replica, key)
        return current.wall_us if current and current.verb == "del" else None

    def forget(self, replica: Replica, lost: frozenset[str]) -> None:
        for key, held in list(replica.states.items()):
            replica.states[key] = [version for version in held if version.id not in lost]

    def payload(self, sender: Replica, receiver: Replica, selection: Selection) -> Payload:
        if receiver.name == self.ledger.authority:
            own = [one for one in sender.known.values() if one.replica == sender.name]
            return Payload(self.waiting(sender, receiver, selection, own))
        if sender.name != self.ledger.authority:
            return Payload(())  # a hub's spokes do not talk to one another
        return self._hub_payload(sender, receiver, selection)

    def _hub_payload(self, hub: Replica, edge: Replica, selection: Selection) -> Payload:
        withheld = self.ledger.withheld
        current = [version for key in hub.states if (version := _current(hub, key))]
        passing = {one.id: one for one in current if not withheld(hub, edge, one)}
        told = [one for one in hub.known.values() if not withheld(hub, edge, one)]
        if selection.only is not None:
            passing = {name: passing[name] for name in selection.only if name in passing}
            told = list(passing.values())
        elif selection.max_ops is not None:
            first = sorted(passing.values(), key=lambda one: list(hub.known).index(one.id))
            passing = {one.id: one for one in first[: selection.max_ops]}
            told = list(passing.values())
        states = {one.key: one for one in passing.values()}
        return Payload(tuple(told), states, frozenset(hub.refused))

    def deliver(self, receiver: Replica, sender: Replica, payload: Payload) -> Answer:
        if receiver.name == self.ledger.authority:
            return self._arrive(receiver, sender, payload)
        carried = {version.id for version in payload.states.values()}
        for operation in payload.operations:
            if operation.id not in receiver.known and operation.id not in receiver.watermark:
                # What the hub merely tells of is known from now on, but replaced or refused there.
                applied = operation.id in carried
                self.ledger.delivered(receiver, sender, operation, applied=applied)
            receiver.peer_has(sender.name).add(operation.id)
            if operation.replica == receiver.name and operation.id in payload.refused:
                self._dead_letter(receiver, operation.id)
        for version in payload.states.values():
            if self._edge_takes(receiver, sender, version):
                self.absorb(receiver, version)
            self.refresh(receiver, version.key)
        return Answer(tuple(operation.id for operation in payload.operations))

    def _arrive(self, hub: Replica, edge: Replica, payload: Payload) -> Answer:
        ledger = self.ledger
        refused: list[str] = []
        for operation in payload.operations:
            hub.peer_has(edge.name).add(operation.id)
            duplicate = operation.id in hub.known or operation.id in hub.watermark
            if duplicate and ledger.options.dedupe:
                ledger.counts["duplicates_suppressed"] += 1
            else:
                ledger.counts["duplicates_applied"] += duplicate
                self._settle(hub, edge, operation, duplicate)
            if operation.id in hub.refused:
                refused.append(operation.id)
        return Answer(tuple(one.id for one in payload.operations), tuple(refused))

    def _settle(self, hub: Replica, edge: Replica, operation: Operation, duplicate: bool) -> None:
        """Let *operation*, which arrived at the hub, meet the hub's version."""
        ledger = self.ledger
        current = _current(hub, operation.key)
        accepted = hub_accepts(current.id if current else None, operation.id, ledger.precedes)
        ledger.counts["conflicts"] += not accepted
        applied = accepted or self.edge_wins
        ledger.delivered(hub, edge, operation, applied=applied, repeated=duplicate)
        if applied:
            self.absorb(hub, operation)
        elif operation.id not in hub.refused:
            hub.refused.add(operation.id)
            ledger.events.append(Revoked(ledger.time_us, operation.id, hub.name))
        self.refresh(hub, operation.key)

    def _edge_takes(self, edge: Replica, hub: Replica, version: Operation) -> bool:
        """Return whether *edge* takes the hub's *version* of a key."""
        has = edge.peer_has(hub.name)
        unsent = [
            one
            for one in edge.known.values()
            if one.replica == edge.name and one.key == version.key and one.id not in has
        ]
        if not unsent:
            return True
        if self.edge_wins:
            return self.ledger.precedes(unsent[-1].id, version.id)
        return not self.ledger.precedes(version.id, unsent[-1].id)

    def acknowledge(self, sender: Replica, receiver: Replica, answer: Answer) -> None:
        super().acknowledge(sender, receiver, answer)
        for operation in answer.refused:
            self._dead_letter(sender, operation)

    def _dead_letter(self, writer: Replica, operation: str) -> None:
        if operation not in writer.dead_letters and operation in writer.known:
            writer.dead_letters.append(operation)
            self.ledger.events.append(DeadLetter(self.ledger.time_us, operation, writer.name))


def _current(replica: Replica, key: str) -> Operation | None:
    held: list[Operation] = replica.states.get(key, [])
    return held[-1] if held else None


class EdgeWins(Hub):
    """What arrives replaces the hub's version, however old it is."""

    edge_wins = True


class Stream(Strategy):
    """An append-only outbox per edge, delivered to the authority at least once, in order.

    The authority's state of a key is the list of deliveries; an edge keeps none but its outbox,
    which is what it emitted and the authority has not acknowledged.
    """

    verbs = frozenset({"emit"})

    def observed(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        return ()

    def outbox(self, replica: Replica) -> list[Operation]:
        """Return the emits that *replica* still has to deliver, oldest first."""
        has = replica.peer_has(self.ledger.authority)
        return [
            one
            for one in replica.known.values()
            if one.replica == replica.name and one.id not in has
        ]

    def admit(self, replica: Replica) -> bool:
        options = self.ledger.options
        if self._full(replica) and options.overflow == "reject_write":
            self.ledger.counts["rejected_writes"] += 1
            return False
        return True

    def _full(self, replica: Replica) -> bool:
        bound = self.ledger.options.buffer_ops
        if bound is None or replica.name == self.ledger.authority:
            return False
        return len(self.outbox(replica)) >= bound

    def wrote(self, replica: Replica, operation: Operation) -> None:
        if replica.name == self.ledger.authority:
            super().wrote(replica, operation)
            return
        # The operation itself is in the outbox already, hence "more than" the bound.
        waiting = self.outbox(replica)
        bound = self.ledger.options.buffer_ops
        if bound is not None and len(waiting) > bound:
            oldest = self.ledger.options.overflow == "drop_oldest"
            self._drop(replica, waiting[0] if oldest else operation)

    def _drop(self, replica: Replica, operation: Operation) -> None:
        self.ledger.counts["dropped"] += 1
        replica.known.pop(operation.id)
        gone = Forgotten(self.ledger.time_us, replica.name, (operation.id,), "overflow")
        self.ledger.events.append(gone)

    def absorb(self, replica: Replica, operation: Operation) -> None:
        replica.states.setdefault(operation.key, []).append(operation)

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        return tuple(operation.id for operation in replica.states.get(key, ()))

    def value(self, replica: Replica, key: str) -> Value:
        delivered = replica.states.get(key)
        return [operation.argument for operation in delivered] if delivered else None

    def payload(self, sender: Replica, receiver: Replica, selection: Selection) -> Payload:
        if receiver.name != self.ledger.authority:
            return Payload(())
        own = [one for one in sender.known.values() if one.replica == sender.name]
        return Payload(self.waiting(sender, receiver, selection, own))

    def forget(self, replica: Replica, lost: frozenset[str]) -> None:
        for key, delivered in list(replica.states.items()):
            replica.states[key] = [one for one in delivered if one.id not in lost]


HUB: Final[dict[str, type[Strategy]]] = {
    "cloud-wins": Hub,
    "edge-wins": EdgeWins,
    "stream": Stream,
}
