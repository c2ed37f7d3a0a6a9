"""What became of acknowledged writes: durable, effective, not revoked, not undone."""

from edgetwin.checks.consistency_trace import Trace, canonical
from edgetwin.checks.verdict import Result, Verdict
from edgetwin.operations import Delivery, Operation, Read, Revoked, Shown

REMOVING = frozenset({"siblings", "mvregister", "orset"})
"""Strategies whose delete takes what it saw; elsewhere a delete is a write that can lose."""

CLOCKED = frozenset({"lww", "hlc"})
"""Strategies whose one winner is chosen by a clock."""


def convergence(trace: Trace) -> Verdict:
    """In the end all live replicas show the same for every key that may be everywhere.

    Outboxes (verb emit) have no value but at the authority and are left out.
    """
    name = "convergence"
    everywhere = {one.key for one in trace.operations.values() if one.verb != "emit"}
    keys = sorted(everywhere - trace.history.sensitive)
    if not keys:
        return trace.verdict(name, Result.UNKNOWN, "no key was written that all replicas may hold")
    live = sorted(trace.live)
    differing = [key for key in keys if len({canonical(trace.value(one, key)) for one in live}) > 1]
    if not differing:
        reason = f"{len(live)} live replicas show the same for {len(keys)} keys"
        return trace.verdict(name, Result.PASS, reason)
    apart = [one for one in live if trace.reachable(one) != set(live)]
    if apart:
        reason = f"{', '.join(differing)} differ, but {apart[0]} cannot reach every live replica"
        return trace.verdict(name, Result.UNKNOWN, reason, witness=differing, keys=differing)
    reason = f"{len(differing)} of {len(keys)} keys differ between replicas that can all be reached"
    return trace.verdict(name, Result.FAIL, reason, witness=differing, keys=differing)


def no_lost_acked_writes(trace: Trace) -> Verdict:
    """Every acknowledged operation is known where it is judged, or a dead letter at its writer."""
    name = "no_lost_acked_writes"
    acknowledged = list(trace.acknowledged())
    missing = [one for one in acknowledged if not _safe(trace, one)]
    waiting = [one.id for one in missing if trace.waits_behind_a_cut(one)]
    lost = [one.id for one in missing if one.id not in waiting]
    counted = f"of {len(acknowledged)} acknowledged operations"
    if lost:
        judge = trace.judge(trace.operations[lost[0]])
        reason = f"{len(lost)} {counted} are unknown at {judge} and no dead letters"
        return trace.verdict(name, Result.FAIL, reason, witness=lost, about=lost[:3])
    if waiting:
        reason = f"{len(waiting)} {counted} still wait behind a cut"
        return trace.verdict(name, Result.UNKNOWN, reason, witness=waiting, about=waiting[:3])
    if not acknowledged:
        return trace.verdict(name, Result.UNKNOWN, "no operation was acknowledged")
    return trace.verdict(name, Result.PASS, f"0 {counted} are lost")


def _safe(trace: Trace, operation: Operation) -> bool:
    return trace.holds(trace.judge(operation), operation) or _set_aside(trace, operation)


def _set_aside(trace: Trace, operation: Operation) -> bool:
    return trace.dead_letters.get(operation.id) == operation.replica


def no_lost_updates(trace: Trace) -> Verdict:
    """No acknowledged operation is invisible that nobody overwrote knowingly."""
    name = "no_lost_updates"
    acknowledged = list(trace.acknowledged())
    overwritten = _overwritten(trace)
    invisible = [one for one in acknowledged if not _effective(trace, one, overwritten)]
    waiting = [one.id for one in invisible if _waits(trace, one)]
    lost = [one.id for one in invisible if one.id not in waiting]
    counted = f"of {len(acknowledged)} acknowledged operations"
    if lost:
        reason = f"{len(lost)} {counted} vanished though nobody overwrote them knowingly"
        return trace.verdict(
            name, Result.FAIL, reason, witness=lost, **_how_it_was_beaten(trace, lost[0])
        )
    if waiting:
        reason = f"{len(waiting)} {counted} still wait behind a cut"
        return trace.verdict(name, Result.UNKNOWN, reason, witness=waiting, about=waiting)
    if not acknowledged:
        return trace.verdict(name, Result.UNKNOWN, "no operation was acknowledged")
    return trace.verdict(name, Result.PASS, f"each {counted} shows or was overwritten knowingly")


def _how_it_was_beaten(trace: Trace, lost: str) -> dict[str, list[str]]:
    """Return what to show of one lost operation: it and what shows instead, where they met."""
    operation = trace.operations[lost]
    judge = trace.judge(operation)
    winners = trace.visible(judge, operation.key)
    writers = [trace.operations[one].replica for one in winners if one in trace.operations]
    return {
        "about": [lost, *winners],
        "at": [operation.replica, judge, *writers],
        "keys": [operation.key],
    }


def _waits(trace: Trace, operation: Operation) -> bool:
    held = trace.holds(trace.judge(operation), operation)
    return not held and trace.waits_behind_a_cut(operation)


def _overwritten(trace: Trace) -> set[str]:
    """Return the operations that one on the same key, or on one of the same fields, followed."""
    followed: dict[tuple[str, str | None], int] = {}
    places = {one.id: _places(one) for one in trace.operations.values()}
    for name, where in places.items():
        for place in where:
            followed[place] = followed.get(place, 0) | trace.before[name]
    return {
        name
        for name, where in places.items()
        if any(followed[place] & trace.bit[name] for place in where)
    }


def _places(operation: Operation) -> list[tuple[str, str | None]]:
    """Return what *operation* writes: its key, or its fields of it."""
    return [(operation.key, name) for name in operation.touched or (None,)]


def _effective(trace: Trace, operation: Operation, overwritten: set[str]) -> bool:
    """Return whether *operation* shows where it is judged, or has had its effect."""
    judge = trace.judge(operation)
    visible = trace.visible(judge, operation.key)
    if operation.id in visible or operation.id in overwritten or _set_aside(trace, operation):
        return True
    if not trace.deletes(operation):
        return False
    if trace.history.strategy in REMOVING:
        return not set(operation.observed) & set(visible)
    collected = any(known.collected & trace.bit[operation.id] for known in trace.knowledge.values())
    return collected and trace.value(judge, operation.key) is None


def no_revoked_acks(trace: Trace) -> Verdict:
    """No acknowledged operation was refused later."""
    name = "no_revoked_acks"
    acknowledged = {one.id for one in trace.acknowledged()}
    revoked = [one.operation for one in trace.history.of(Revoked) if one.operation in acknowledged]
    if revoked:
        reason = f"{len(revoked)} of {len(acknowledged)} acknowledged operations were refused later"
        return trace.verdict(name, Result.FAIL, reason, witness=revoked, about=revoked[:2])
    if not acknowledged:
        return trace.verdict(name, Result.UNKNOWN, "no operation was acknowledged")
    return trace.verdict(name, Result.PASS, f"none of {len(acknowledged)} was refused later")


def no_resurrected_deletes(trace: Trace) -> Verdict:
    """No replica that had applied a delete later shows something the delete had observed.

    What a replica shows is judged at the end of each instant, because one push may bring a delete
    and what it deletes.
    """
    name = "no_resurrected_deletes"
    shown: dict[tuple[str, str], Shown] = {}
    applied: dict[tuple[str, str], list[Operation]] = {}
    changed: set[tuple[str, str]] = set()
    zombies: dict[str, str] = {}
    instant_us = 0
    for event in trace.history.events:
        if event.time_us != instant_us:
            _note_zombies(trace, shown, applied, changed, zombies)
            instant_us = event.time_us
        place = _delete_applied(trace, event)
        if place is not None:
            operation = trace.operations[_operation(event)]
            applied.setdefault(place, []).append(operation)
            changed.add(place)
        if isinstance(event, Shown):
            shown[event.replica, event.key] = event
            changed.add((event.replica, event.key))
    _note_zombies(trace, shown, applied, changed, zombies)
    deletes = len({one.id for operations in applied.values() for one in operations})
    if zombies:
        reason = f"what {len(zombies)} of {deletes} deletes had removed came back"
        first = next(iter(zombies))
        about = [first, zombies[first]]
        return trace.verdict(name, Result.FAIL, reason, witness=list(zombies), about=about)
    if not deletes:
        return trace.verdict(name, Result.UNKNOWN, "nothing was deleted")
    return trace.verdict(name, Result.PASS, f"nothing that {deletes} deletes removed came back")


def _operation(event: Operation | Delivery | object) -> str:
    return event.id if isinstance(event, Operation) else getattr(event, "operation", "")


def _delete_applied(trace: Trace, event: object) -> tuple[str, str] | None:
    """Return (replica, key) if *event* applies a delete there."""
    operation = trace.operations.get(_operation(event))
    if operation is None or not trace.deletes(operation):
        return None
    if isinstance(event, Operation) or (isinstance(event, Delivery) and event.applied):
        return event.replica, operation.key
    return None


def _note_zombies(
    trace: Trace,
    shown: dict[tuple[str, str], Shown],
    applied: dict[tuple[str, str], list[Operation]],
    changed: set[tuple[str, str]],
    zombies: dict[str, str],
) -> None:
    for place in sorted(changed):
        now = shown.get(place)
        for delete in applied.get(place, []) if now else []:
            assert now is not None
            for name, field in fielded(now):
                if trace.precedes(name, delete.id) and _covers(delete, field):
                    zombies.setdefault(delete.id, name)
    changed.clear()


def fielded(shown: Shown | Read) -> list[tuple[str, str | None]]:
    """Return each visible operation with the field it shows in; None where keys have no fields."""
    if shown.fields:
        return list(zip(shown.operations, shown.fields, strict=True))
    return [(name, None) for name in shown.operations]


def _covers(operation: Operation, field: str | None) -> bool:
    return field is None or field in operation.touched


def real_time_winner(trace: Trace) -> Verdict:
    """The winner is the latest, in true time, of the operations nobody overwrote knowingly."""
    name = "real_time_winner"
    if trace.history.strategy not in CLOCKED:
        reason = f"{trace.history.strategy} has no winner by clock"
        return trace.verdict(name, Result.UNKNOWN, reason)
    overwritten = _overwritten(trace)
    latest: dict[str, Operation] = {}
    for one in trace.acknowledged():
        if one.id not in overwritten:
            last = latest.get(one.key)
            latest[one.key] = one if last is None or one.time_us >= last.time_us else last
    late = [one for one in latest.values() if not _won(trace, one)]
    waiting = [one.id for one in late if not trace.holds(trace.judge(one), one)]
    lost = [one.id for one in late if one.id not in waiting]
    if lost:
        reason = f"on {len(lost)} of {len(latest)} keys an earlier write beat the latest"
        return trace.verdict(
            name, Result.FAIL, reason, witness=lost, **_how_it_was_beaten(trace, lost[0])
        )
    if waiting:
        reason = f"the latest of {len(waiting)} keys has not arrived"
        return trace.verdict(name, Result.UNKNOWN, reason, witness=waiting, about=waiting)
    if not latest:
        return trace.verdict(name, Result.UNKNOWN, "no operation was acknowledged")
    return trace.verdict(name, Result.PASS, f"the latest write won on all {len(latest)} keys")


def _won(trace: Trace, latest: Operation) -> bool:
    judge = trace.judge(latest)
    visible = trace.visible(judge, latest.key)
    if latest.id in visible:
        return True
    if any(trace.operations[one].time_us == latest.time_us for one in visible
           if one in trace.operations):  # fmt: skip
        return True
    collected = trace.knowledge[judge].collected & trace.bit[latest.id]
    return bool(collected) and trace.value(judge, latest.key) is None
