"""Strategies that ship operations: registers, the operation-based counter, sets and maps."""

from typing import Any, Final

from edgetwin.engine.replicas_site import Ledger, Replica
from edgetwin.engine.replicas_strategy import WHOLE_VERBS, Strategy
from edgetwin.merge.collections import TagSet, fields_joined, shown_fields, tags_joined
from edgetwin.merge.counters import added
from edgetwin.merge.registers import Siblings, Stamp, Version, last_writer_wins, siblings_joined
from edgetwin.operations import Operation, Value


class LastWriterWins(Strategy):
    """The largest stamp wins; a delete is a tombstone write."""

    verbs = WHOLE_VERBS
    whole_value = True

    def stamp(self, operation: Operation) -> Stamp:
        """Return what orders *operation*: by the writer's clock, then its name, then its count."""
        by = operation.hybrid if self.hybrid else (operation.wall_us,)
        return (*by, operation.identity.encode(), operation.sequence)

    def version(self, operation: Operation) -> Version:
        deleted = operation.verb == "del"
        return Version(operation.id, operation.value, self.stamp(operation), deleted)

    def absorb(self, replica: Replica, operation: Operation) -> None:
        current = replica.states.get(operation.key)
        replica.states[operation.key] = last_writer_wins(current, self.version(operation))

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        version = replica.states.get(key)
        return (version.operation,) if version else ()

    def value(self, replica: Replica, key: str) -> Value:
        version = replica.states.get(key)
        return version.value if version else None

    def tombstone_us(self, replica: Replica, key: str) -> int | None:
        version = replica.states.get(key)
        return int(version.stamp[0]) if version and version.deleted else None


class HybridLastWriterWins(LastWriterWins):
    """As last-writer-wins, with hybrid stamps: a knowing overwrite always wins."""

    hybrid = True


class MultiValue(Strategy):
    """All versions that no known write or delete has seen stay, as siblings."""

    verbs = WHOLE_VERBS
    whole_value = True

    def absorb(self, replica: Replica, operation: Operation) -> None:
        context = self.ledger.context(operation.id) | {operation.id}
        versions = {} if operation.verb == "del" else {operation.id: operation.value}
        current = replica.states.get(operation.key, Siblings())
        replica.states[operation.key] = siblings_joined(current, Siblings(versions, context))

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        return tuple(replica.states.get(key, Siblings()).versions)

    def value(self, replica: Replica, key: str) -> Value:
        return replica.states.get(key, Siblings()).value

    def tombstone_us(self, replica: Replica, key: str) -> int | None:
        return None if self.shown(replica, key) else _latest_delete_us(replica, key)


def _latest_delete_us(replica: Replica, key: str) -> int | None:
    """Return the largest stamp of the deletes and removes of *key* that *replica* knows."""
    stamps = [
        operation.wall_us
        for operation in replica.known.values()
        if operation.key == key and operation.verb in ("del", "rem")
    ]
    return max(stamps, default=None)


class OperationCounter(Strategy):
    """The sum of all applied deliveries; a delivery that is applied twice counts twice."""

    verbs = frozenset({"inc"})

    def observed(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        return ()  # an increment replaces nothing

    def absorb(self, replica: Replica, operation: Operation) -> None:
        applied = replica.states.setdefault(operation.key, {})
        applied[operation.id] = applied.get(operation.id, 0) + 1

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        return tuple(sorted(replica.states.get(key, {})))

    def value(self, replica: Replica, key: str) -> Value:
        applied = replica.states.get(key)
        if not applied:
            return None
        total = 0
        for operation, times in applied.items():
            for _ in range(times):
                total = added(total, self.ledger.operations[operation].argument)
        return total

    def forget(self, replica: Replica, lost: frozenset[str]) -> None:
        for key in list(replica.states):
            kept = {name: n for name, n in replica.states[key].items() if name not in lost}
            replica.states[key] = kept


class ObservedRemoveSet(Strategy):
    """Every add is a tag; a remove takes exactly the tags of the element that it saw."""

    verbs = frozenset({"add", "rem", "del"})

    def observed(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        state = replica.states.get(operation.key, TagSet())
        if operation.verb == "rem":
            return tuple(state.tags_of(operation.argument))
        return state.live if operation.verb == "del" else ()

    def absorb(self, replica: Replica, operation: Operation) -> None:
        if operation.verb == "add":
            change = TagSet({operation.id: operation.argument})
        else:
            change = TagSet(removed=frozenset(operation.observed))
        current = replica.states.get(operation.key, TagSet())
        replica.states[operation.key] = tags_joined(current, change)

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        return tuple(replica.states.get(key, TagSet()).live)

    def value(self, replica: Replica, key: str) -> Value:
        return replica.states.get(key, TagSet()).value

    def tombstone_us(self, replica: Replica, key: str) -> int | None:
        return None if self.shown(replica, key) else _latest_delete_us(replica, key)


class RegisterMap(LastWriterWins):
    """Every field is a register of its own; a delete deletes the fields that it saw."""

    verbs = frozenset({"setf", "delf", "put", "del"})
    whole_value = False

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.hybrid = ledger.options.stamp == "hlc"

    def touched(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        if operation.field is not None:
            return (operation.field,)
        seen = set(shown_fields(replica.states.get(operation.key, {})))
        return tuple(sorted(seen | set(operation.argument or {})))

    def observed(self, replica: Replica, operation: Operation) -> tuple[str, ...]:
        fields = replica.states.get(operation.key, {})
        touched = self.touched(replica, operation)
        return tuple(sorted({fields[name].operation for name in touched if name in fields}))

    def absorb(self, replica: Replica, operation: Operation) -> None:
        stamp = self.stamp(operation)
        if operation.field is not None:
            values = {operation.field: operation.argument} if operation.verb == "setf" else {}
        else:
            values = operation.argument or {}
        change: dict[str, Version] = {
            name: Version(operation.id, values.get(name), stamp, name not in values)
            for name in operation.touched
        }
        fields = replica.states.get(operation.key, {})
        replica.states[operation.key] = fields_joined(fields, change)

    def shown(self, replica: Replica, key: str) -> tuple[str, ...]:
        fields = replica.states.get(key, {})
        return tuple(version.operation for version in fields.values())

    def fields(self, replica: Replica, key: str) -> tuple[str, ...]:
        return tuple(replica.states.get(key, {}))

    def value(self, replica: Replica, key: str) -> Value:
        return shown_fields(replica.states.get(key, {})) or None

    def tombstone_us(self, replica: Replica, key: str) -> int | None:
        fields: dict[str, Any] = replica.states.get(key, {})
        if not fields or not all(version.deleted for version in fields.values()):
            return None
        return max(int(version.stamp[0]) for version in fields.values())


SHIPPING: Final[dict[str, type[Strategy]]] = {
    "lww": LastWriterWins,
    "hlc": HybridLastWriterWins,
    "siblings": MultiValue,
    "mvregister": MultiValue,
    "counter-op": OperationCounter,
    "orset": ObservedRemoveSet,
    "lwwmap": RegisterMap,
}
