"""What clients and replicas saw in which order: sessions, causality, staleness, locality."""

from collections.abc import Iterator

from edgetwin.checks.consistency_trace import Trace, named
from edgetwin.checks.consistency_writes import fielded
from edgetwin.checks.verdict import Result, Verdict
from edgetwin.operations import Delivery, Operation, Read


def _session_events(trace: Trace) -> Iterator[tuple[int, Operation | Read]]:
    """Yield the writes and reads of sessions, with their numbers."""
    for number, event in enumerate(trace.history.events):
        if isinstance(event, Operation | Read) and event.session is not None:
            yield number, event


def read_your_writes(trace: Trace) -> Verdict:
    """A session reads a key only where its own writes of it are known, and nothing older."""
    name = "read_your_writes"
    own: dict[tuple[str, str], list[Operation]] = {}
    judged, violations, about = 0, [], []
    for number, event in _session_events(trace):
        place = (str(event.session), event.key)
        if isinstance(event, Operation):
            if event.outcome == "ok":
                own.setdefault(place, []).append(event)
            continue
        mine = own.get(place, [])
        judged += bool(mine)
        for write in mine:
            unknown = not trace.read_at.get(number, 0) & trace.bit[write.id]
            older = [
                seen
                for seen, field in fielded(event)
                if trace.precedes(seen, write.id) and (field is None or field in write.touched)
            ]
            if unknown or older:
                violations.append(event.id)
                about += [write.id, *older[:1], event.id]
                break
    reason = f"{len(violations)} of {judged} reads missed an earlier write of their own session"
    return _sessions(trace, name, judged, violations, about, reason)


def monotonic_reads(trace: Trace) -> Verdict:
    """A session reads a key only where all it has read of it is known, and nothing older."""
    name = "monotonic_reads"
    had: dict[tuple[str, str], dict[tuple[str, str | None], str]] = {}
    judged, violations, about = 0, [], []
    for number, event in _session_events(trace):
        if isinstance(event, Operation):
            continue
        place = (str(event.session), event.key)
        seen_before = had.get(place)
        judged += seen_before is not None
        back = [
            (earlier, read)
            for (earlier, field), read in (seen_before or {}).items()
            if not trace.read_at.get(number, 0) & trace.bit.get(earlier, 0)
            or any(trace.precedes(now, earlier) and here == field for now, here in fielded(event))
        ]
        if back:
            violations.append(event.id)
            about += [*back[0], event.id]
        had.setdefault(place, {}).update(dict.fromkeys(fielded(event), event.id))
    reason = f"{len(violations)} of {judged} repeated reads of a session went back"
    return _sessions(trace, name, judged, violations, about, reason)


def _sessions(
    trace: Trace, name: str, judged: int, violations: list[str], about: list[str], reason: str
) -> Verdict:
    if violations:
        return trace.verdict(name, Result.FAIL, reason, witness=violations, about=about[:3])
    if not judged:
        return trace.verdict(name, Result.UNKNOWN, "no session read a key that it knew before")
    return trace.verdict(name, Result.PASS, reason)


def causal_order(trace: Trace) -> Verdict:
    """No replica learns an operation before all that the writing replica knew when it wrote."""
    name = "causal_order"
    sensitive = 0
    for one in trace.operations.values():
        if one.key in trace.history.sensitive:
            sensitive |= trace.bit[one.id]
    early: dict[str, list[str]] = {}
    deliveries = 0
    for number, event in enumerate(trace.history.events):
        if not isinstance(event, Delivery) or number not in trace.missing_at:
            continue
        deliveries += 1
        missing = trace.missing_at[number] & ~trace.dropped
        if trace.history.zones[event.replica] == "cloud":
            missing &= ~sensitive
        if missing and not event.repeated:
            early.setdefault(event.operation, named(trace, missing))
    if early:
        first = next(iter(early))
        reason = f"{first} was learned before {', '.join(early[first])}, which its writer knew"
        about = [first, *early[first]]
        return trace.verdict(name, Result.FAIL, reason, witness=list(early), about=about)
    if not deliveries:
        return trace.verdict(name, Result.UNKNOWN, "no operation was delivered")
    return trace.verdict(name, Result.PASS, f"all {deliveries} deliveries came after their causes")


def bounded_staleness(trace: Trace, bound_us: int | None) -> Verdict:
    """No read misses an operation on its key acknowledged more than *bound_us* earlier."""
    name = "bounded_staleness"
    by_key: dict[str, list[Operation]] = {}
    worst_us, reads = 0, 0
    worst: tuple[str, ...] = ()
    violations: list[str] = []
    for number, event in enumerate(trace.history.events):
        if isinstance(event, Operation) and event.outcome == "ok":
            by_key.setdefault(event.key, []).append(event)
        if not isinstance(event, Read) or number not in trace.read_at:
            continue
        reads += 1
        known = trace.read_at[number]
        missed = [one for one in by_key.get(event.key, []) if not known & trace.bit[one.id]]
        stale_us = event.time_us - missed[0].time_us if missed else 0
        if stale_us > worst_us:
            worst_us, worst = stale_us, (missed[0].id, event.id)
        if bound_us is not None and stale_us > bound_us:
            violations.append(event.id)
    told = f"{worst_us / 1e6:.3f} s at most over {reads} reads"
    if not reads or bound_us is None:
        reason = f"{told}, but no bound is set" if reads else "nothing was read"
        return trace.verdict(name, Result.UNKNOWN, reason, about=worst, max_staleness_us=worst_us)
    result = Result.FAIL if violations else Result.PASS
    reason = f"{told}, bound {bound_us / 1e6:.3f} s"
    return trace.verdict(
        name, result, reason, witness=violations, about=worst, max_staleness_us=worst_us
    )


def data_locality(trace: Trace) -> Verdict:
    """No operation on a sensitive key was delivered to a replica of zone cloud."""
    name = "data_locality"
    history = trace.history
    kept = [one.id for one in trace.operations.values() if one.key in history.sensitive]
    crossed = [
        event.operation
        for event in history.of(Delivery)
        if history.zones.get(event.replica) == "cloud" and event.operation in kept
    ]
    crossed = list(dict.fromkeys(crossed))
    if crossed:
        reason = f"{len(crossed)} of {len(kept)} sensitive operations reached the cloud"
        return trace.verdict(name, Result.FAIL, reason, witness=crossed, about=crossed)
    if not kept:
        return trace.verdict(name, Result.UNKNOWN, "no sensitive key was written")
    return trace.verdict(name, Result.PASS, f"all {len(kept)} sensitive operations stayed")
