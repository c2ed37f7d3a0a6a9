"""Things that are counted: increments, deliveries of a stream, and the application's own rules."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetwin.checks.consistency_trace import Trace
from edgetwin.checks.verdict import Result, Verdict
from edgetwin.operations import Delivery, Forgotten, Operation, Read, Shown, Value


def exactly_once(trace: Trace) -> Verdict:
    """Counters: the value is the sum of acknowledged increments. Streams: each arrived once.

    An increment whose client does not know its outcome may or may not count. What still waits
    makes it unknown, unless something is wrong already.
    """
    name = "exactly_once"
    verbs = {one.verb for one in trace.operations.values()}
    if "emit" in verbs:
        return _stream_once(trace, name)
    counters = _counters(trace)
    if not counters:
        return trace.verdict(name, Result.UNKNOWN, "nothing was counted")
    surplus: dict[str, float] = {}
    waiting: list[str] = []
    for key, increments in counters.items():
        missing = [
            one
            for one in increments
            if not trace.holds(trace.judge(one), one) and trace.holders(one)
        ]
        waiting += [one.id for one in missing if one.outcome == "ok"]
        here = [one for one in increments if one not in missing]
        value = trace.value(trace.judge(increments[0]), key) or 0
        sure = sum(one.argument for one in here if one.outcome == "ok")
        allowed = _sums(sure, [one.argument for one in here if one.outcome == "info"])
        if value not in allowed:
            surplus[key] = value - sure
    if surplus:
        key = next(iter(surplus))
        reason = f"{key} is off by {surplus[key]:+g} from the sum of its acknowledged increments"
        about = [one.id for one in counters[key]]
        return trace.verdict(name, Result.FAIL, reason, witness=surplus, about=about)
    if waiting:
        reason = f"{len(waiting)} increments have not arrived"
        return trace.verdict(name, Result.UNKNOWN, reason, about=waiting)
    return trace.verdict(name, Result.PASS, f"{len(counters)} counters equal their increments")


def _counters(trace: Trace) -> dict[str, list[Operation]]:
    """Return key to increments, for the keys that were only ever incremented."""
    keys: dict[str, list[Operation]] = {}
    for one in trace.operations.values():
        keys.setdefault(one.key, []).append(one)
    return {key: ops for key, ops in keys.items() if all(one.verb == "inc" for one in ops)}


def _sums(start: float, optional: list[float]) -> set[float]:
    sums = {start}
    for amount in optional:
        sums |= {one + amount for one in sums}
    return sums


def _stream_once(trace: Trace, name: str) -> Verdict:
    arrived = _arrivals(trace)
    emitted = [one for one in trace.acknowledged() if one.verb == "emit"]
    duplicated = [one.id for one in emitted if arrived[one.id] > 1]
    absent = [one for one in emitted if not arrived[one.id]]
    waiting = [one.id for one in absent if trace.holders(one)]
    lost = [one.id for one in absent if one.id not in waiting]
    if duplicated or lost:
        reason = (
            f"{len(duplicated)} of {len(emitted)} emits arrived twice or more, {len(lost)} never"
        )
        witness = {"duplicated": duplicated, "lost": lost}
        about = [*duplicated[:1], *lost[:1]]
        return trace.verdict(name, Result.FAIL, reason, witness=witness, about=about)
    if waiting or not emitted:
        reason = f"{len(waiting)} of {len(emitted)} emits still wait"
        return trace.verdict(name, Result.UNKNOWN, reason, about=waiting)
    return trace.verdict(name, Result.PASS, f"each of {len(emitted)} emits arrived once")


def _arrivals(trace: Trace) -> Counter[str]:
    """Return how often the authority has each emit: by what it received, and by what it shows."""
    authority = trace.history.authority
    received: Counter[str] = Counter()
    for event in trace.history.events:
        if isinstance(event, Delivery) and event.replica == authority:
            received[event.operation] += 1
        if isinstance(event, Operation) and event.replica == authority and event.outcome != "fail":
            received[event.id] += 1
        if isinstance(event, Forgotten) and event.replica == authority:
            for gone in event.operations:
                received.pop(gone, None)
    shown = Counter(
        name
        for (replica, _), now in trace.shown.items()
        if replica == authority
        for name in now.operations
    )
    return received | shown


def order_preserved(trace: Trace) -> Verdict:
    """Per writer of a stream, no delivery overtakes an earlier one that was not dropped."""
    name = "order_preserved"
    queues: dict[str, list[str]] = {}
    arrived: set[str] = set()
    overtaking: dict[str, str] = {}
    deliveries = 0
    for event in trace.history.events:
        if isinstance(event, Operation) and event.verb == "emit" and event.outcome != "fail":
            queues.setdefault(event.replica, []).append(event.id)
        if isinstance(event, Forgotten):
            queue = queues.get(event.replica, [])
            queues[event.replica] = [one for one in queue if one not in event.operations]
        if not isinstance(event, Delivery) or event.replica != trace.history.authority:
            continue
        operation = trace.operations.get(event.operation)
        if operation is None or operation.verb != "emit" or event.operation in arrived:
            continue
        deliveries += 1
        queue = queues.get(operation.replica, [])
        ahead = queue[: queue.index(operation.id)] if operation.id in queue else []
        left = [one for one in ahead if one not in arrived]
        if left:
            overtaking[operation.id] = left[0]
        arrived.add(operation.id)
    if overtaking:
        first = next(iter(overtaking))
        reason = f"{first} was delivered before {overtaking[first]}, which was written earlier"
        about = [first, overtaking[first]]
        return trace.verdict(name, Result.FAIL, reason, witness=list(overtaking), about=about)
    if not deliveries:
        return trace.verdict(name, Result.UNKNOWN, "no emit was delivered")
    return trace.verdict(name, Result.PASS, f"{deliveries} emits were delivered in order")


@dataclass(frozen=True)
class AppInvariant:
    """A rule of the application, judged on the authority's final value of one key."""

    name: str
    key: str
    min: float | None = None
    forbid: tuple[Mapping[str, Value], ...] = ()
    """Values of fields that must not occur together."""


def app_invariant(trace: Trace, invariant: AppInvariant) -> Verdict:
    """The authority's final value of the key keeps the application's rule."""
    name = f"app:{invariant.name}"
    value = trace.value(trace.history.authority, invariant.key)
    written = [one.id for one in trace.operations.values() if one.key == invariant.key]
    if not written:
        return trace.verdict(name, Result.UNKNOWN, f"{invariant.key} was never written")
    each = value["siblings"] if isinstance(value, dict) and list(value) == ["siblings"] else [value]
    broken = [one for one in each if _breaks(invariant, one)]
    result = Result.FAIL if broken else Result.PASS
    shown = "absent" if value is None else value
    reason = f"{invariant.key} is {shown} at {trace.history.authority} in the end"
    about = written if broken else ()
    return trace.verdict(
        name, result, reason, witness=[invariant.key] if broken else (), about=about
    )


def _breaks(invariant: AppInvariant, value: Any) -> bool:
    if invariant.min is not None and isinstance(value, int | float) and value < invariant.min:
        return True
    if not isinstance(value, dict):
        return False
    return any(
        forbidden and all(name in value and value[name] == one for name, one in forbidden.items())
        for forbidden in invariant.forbid
    )


def no_invented_values(trace: Trace) -> Verdict:
    """Whatever is delivered, shown or read was written by somebody, once, with that value.

    This is what a history edited by hand, or a store that makes things up, fails first.
    """
    name = "no_invented_values"
    wrong: dict[str, str] = {}
    writes: Counter[str] = Counter(
        one.id for one in trace.history.of(Operation) if one.outcome != "fail"
    )
    for event in trace.history.events:
        names: tuple[str, ...] = ()
        if isinstance(event, Delivery):
            names = (event.operation,)
        elif isinstance(event, Shown | Read):
            names = event.operations
            _check_value(trace, event, wrong)
        for one in names:
            if one not in trace.operations:
                wrong.setdefault(one, f"{one} was never written")
    wrong |= {one: f"{one} was written {n} times" for one, n in writes.items() if n > 1}
    if wrong:
        return trace.verdict(
            name, Result.FAIL, next(iter(wrong.values())), witness=list(wrong), about=wrong
        )
    if not writes:
        return trace.verdict(name, Result.UNKNOWN, "nothing was written")
    return trace.verdict(name, Result.PASS, f"all that was seen is one of {len(writes)} operations")


def _check_value(trace: Trace, event: Shown | Read, wrong: dict[str, str]) -> None:
    """Note a value that none of the visible operations can have given."""
    written = [trace.operations[one] for one in event.operations if one in trace.operations]
    alone = len(event.operations) == len(written) == 1 and not event.fields
    whole = alone and written[0].verb in ("put", "del")
    told = event.id if isinstance(event, Read) else event.replica
    if whole and event.value != written[0].argument:
        wrong.setdefault(written[0].id, f"{told} shows {event.value!r} for {written[0].id}")
    if not event.operations and event.value is not None:
        wrong.setdefault(event.key, f"{told} shows {event.value!r}, which nobody wrote")
