"""Strategies that ship states: counters with a slot per identity, and registers under a policy."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from edgetwin.engine.replicas_site import Ledger, Replica
from edgetwin.engine.replicas_strategy import (
    WHOLE_VERBS,
    Answer,
    Payload,
    Selection,
    Strategy,
)
from edgetwin.errors import UsageError
from edgetwin.merge.by_policy import Candidate, MergePolicy, Register, merged, policy_input
from edgetwin.merge.clocks import Order, compared, ticked
from edgetwin.merge.counters import counted, slots_joined, total
from edgetwin.operations import Operation, Value


class StateShipping(Strategy):
    """Every push carries the whole state of every key, and with it all operations it stands for."""

    @abstractmethod
    def join(self, replica: Replica, key: str, state: Any) -> None:
        """Merge the *state* of *key* that arrived."""

    def payload(self, sender: Replica, receiver: Replica, selection: Selection) -> Payload:
        withheld = {
            one.key for one in sender.known.values() if self.ledger.withheld(sender, receiver, one)
        }
        told = [one for one in sender.known.values() if one.key not in withheld]
        states = {key: one for key, one in sender.states.items() if key not in withheld}
        return Payload(tuple(told), states)

    def deliver(self, receiver: Replica, sender: Replica, payload: Payload) -> Answer:
        for operation in payload.operations:
            receiver.peer_has(sender.name).add(operation.id)
            if operation.id not in receiver.known and operation.id not in receiver.watermark:
                self.ledger.delivered(receiver, sender, operation)
        for key, state in payload.states.items():
            self.join(receiver, key, state)
            self.refresh(receiver, key)
        return Answer(tuple(operation.id for operation in payload.operations))


class SlotCounter(StateShipping):
    """One slot per replica identity, merged by maximum; a PN-counter may also go down."""

    verbs = frozenset({"inc"})
    goes_down = True

    def observed(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        return ()

    def absorb(self, replica: Replica, operation: Operation) -> None:
        if operation.argument < 0 and not self.goes_down:
            raise UsageError(f"gcounter has no decrement, but {operation.id!r} adds a negative")
        slots = replica.states.get(operation.key, {})
        replica.states[operation.key] = counted(slots, operation.identity, operation.argument)

    def join(self, replica: Replica, key: str, state: Any) -> None:
        replica.states[key] = slots_joined(replica.states.get(key, {}), state)

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        if key not in replica.states:
            return ()
        return tuple(sorted(one.id for one in replica.known.values() if one.key == key))

    def value(self, replica: Replica, key: str) -> Value:
        slots = replica.states.get(key)
        return total(slots) if slots else None

    def forget(self, replica: Replica, lost: frozenset[str]) -> None:
        # What a crash takes are the replica's own increments since it last told anybody.
        for name in sorted(lost):
            operation = self.ledger.operations[name]
            slots = dict(replica.states.get(operation.key, {}))
            if operation.identity in slots:
                up, down = slots[operation.identity]
                up -= max(operation.argument, 0)
                down -= max(-operation.argument, 0)
                slots[operation.identity] = (up, down)
                replica.states[operation.key] = slots
        held = {one.key for one in replica.known.values()}
        for key in [key for key in replica.states if key not in held]:
            del replica.states[key]


class GrowingCounter(SlotCounter):
    """A counter that only goes up."""

    goes_down = False


class PolicyRegister(StateShipping):
    """A value with a version vector; a policy is asked about concurrent ones.

    A replica's state of a key is its register. The registers that led to it are kept beside, so
    that a crash can take the writes that were not yet on disk and leave the rest.
    """

    verbs = WHOLE_VERBS
    whole_value = True

    def __init__(self, ledger: Ledger, policies: Mapping[str, MergePolicy]) -> None:
        super().__init__(ledger)
        self._policies = policies
        self._led_to: dict[tuple[str, str], list[Register]] = {}
        self._diverged = False
        """Whether the push under way met equal vectors with different values."""

    def absorb(self, replica: Replica, operation: Operation) -> None:
        register = replica.states.get(operation.key)
        vector = ticked(register.vector if register else {}, replica.identity)
        written = Candidate(operation.value, operation.wall_us, operation.replica, (operation.id,))
        self._set(replica, operation.key, Register((written,), vector))

    def _set(self, replica: Replica, key: str, register: Register) -> None:
        replica.states[key] = register
        self._led_to.setdefault((replica.name, key), []).append(register)

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        register = replica.states.get(key)
        return register.operations if register else ()

    def value(self, replica: Replica, key: str) -> Value:
        register = replica.states.get(key)
        return register.value if register else None

    def tombstone_us(self, replica: Replica, key: str) -> int | None:
        register = replica.states.get(key)
        if register is None or register.value is not None:
            return None
        return max(int(candidate.wall_us) for candidate in register.candidates)

    def deliver(self, receiver: Replica, sender: Replica, payload: Payload) -> Answer:
        self._diverged = False
        answer = super().deliver(receiver, sender, payload)
        self.ledger.counts["silent_divergence"] += self._diverged
        return answer

    def join(self, replica: Replica, key: str, state: Any) -> None:
        mine = replica.states.get(key)
        if mine is None:
            self._set(replica, key, state)
            return
        order = compared(mine.vector, state.vector)
        if order is Order.EQUAL and _plain(mine.value) != _plain(state.value):
            self._diverged = True
        if order is Order.BEFORE:
            self._set(replica, key, state)
        if order is Order.CONCURRENT:
            self._resolve(replica, key, mine, state)

    def _resolve(self, replica: Replica, key: str, mine: Register, theirs: Register) -> None:
        ledger = self.ledger
        central = ledger.options.resolver == "cloud"
        if central and replica.name != ledger.authority:
            return
        ledger.counts["conflicts"] += 1
        ledger.met += [*mine.candidates, *theirs.candidates]
        policy = self._policies[replica.policy or ""]
        asked = policy_input(key, ledger.classes.get(key), replica.name, mine, theirs)
        register, defined = merged(mine, theirs, policy(asked))
        ledger.counts["policy_undefined"] += not defined
        if central:
            register = Register(register.candidates, ticked(register.vector, replica.identity))
        self._set(replica, key, register)

    def forget(self, replica: Replica, lost: frozenset[str]) -> None:
        for (name, key), led_to in list(self._led_to.items()):
            if name != replica.name:
                continue
            kept = [one for one in led_to if not lost.intersection(one.operations)]
            self._led_to[name, key] = kept
            if kept:
                replica.states[key] = kept[-1]
            else:
                replica.states.pop(key, None)

    def drop(self, replica: Replica, key: str) -> None:
        super().drop(replica, key)
        self._led_to.pop((replica.name, key), None)


def _plain(value: Value) -> Value:
    """Return siblings in one order, so that two replicas' are compared as sets."""
    if isinstance(value, dict) and list(value) == ["siblings"]:
        return {"siblings": sorted(value["siblings"], key=repr)}
    return value


STATES: Final[dict[str, type[SlotCounter]]] = {
    "gcounter": GrowingCounter,
    "pncounter": SlotCounter,
}
