"""The key-level checks are told lies and catch them; too little evidence is unknown."""

import json
from typing import Any

import pytest

from edgetwin.checks.consistency import CONSISTENCY_CHECKS, check_consistency
from edgetwin.checks.consistency_counts import AppInvariant
from edgetwin.checks.verdict import Verdict
from edgetwin.engine.replica import ReplicaPlace, ReplicaWorld
from edgetwin.engine.replicas_site import ReplicaOptions
from edgetwin.errors import ScenarioError
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
    as_row,
    read_lines,
)

ZONES = {"cloud": "cloud", "edge1": "edge", "edge2": "edge"}


def made(*events: Event, strategy: str = "lww", **rest: Any) -> OperationHistory:
    return OperationHistory(strategy, ZONES, "cloud", events, **rest)


def judged(name: str, *events: Event, strategy: str = "lww", **rest: Any) -> tuple[str, Any]:
    verdict = check_consistency(made(*events, strategy=strategy, **rest))[name]
    return str(verdict.result), verdict.details["witness"]


def put(time_us: int, name: str, at: str = "edge1", value: Any = 1, **rest: Any) -> Operation:
    return Operation(time_us, name, at, rest.pop("key", "k"), "put", value, **rest)


def delete(time_us: int, name: str, at: str = "edge1", **rest: Any) -> Operation:
    return Operation(time_us, name, at, "k", "del", **rest)


def inc(time_us: int, name: str, amount: int, **rest: Any) -> Operation:
    return Operation(time_us, name, "edge1", "n", "inc", amount, **rest)


def emit(time_us: int, name: str, **rest: Any) -> Operation:
    return Operation(time_us, name, "edge1", "log", "emit", name, **rest)


def arrive(
    time_us: int, name: str, at: str = "cloud", sender: str = "edge1", **rest: Any
) -> Delivery:
    return Delivery(time_us, name, at, sender, **rest)


def show(time_us: int, at: str, value: Any, *names: str, key: str = "k", **rest: Any) -> Shown:
    return Shown(time_us, at, key, names, value, **rest)


def read(time_us: int, name: str, at: str, value: Any, *names: str, **rest: Any) -> Read:
    return Read(time_us, name, at, rest.pop("key", "k"), names, value, **rest)


def cut(time_us: int, one: str, other: str, *, up: bool = False) -> tuple[LinkChange, LinkChange]:
    return LinkChange(time_us, one, other, up), LinkChange(time_us, other, one, up)


EVERYWHERE = [show(9, name, 1, "w1") for name in ZONES]


# --- convergence -----------------------------------------------------------------------------


def test_convergence() -> None:
    name, two = "convergence", [show(9, "cloud", 1, "w1"), show(9, "edge1", 1, "w1")]
    other = show(9, "edge2", 2, "w1")

    assert judged(name, put(0, "w1"), *EVERYWHERE) == ("pass", [])
    assert judged(name, put(0, "w1"), *two, other) == ("fail", ["k"])
    assert judged(name, put(0, "w1"), *two) == ("fail", ["k"])
    assert judged(name, put(0, "w1"), *two, *cut(1, "edge2", "cloud")) == ("fail", ["k"])
    apart = [*cut(1, "edge2", "cloud"), *cut(1, "edge2", "edge1")]
    assert judged(name, put(0, "w1"), *two, *apart) == ("unknown", ["k"])
    healed = cut(2, "edge2", "cloud", up=True)
    assert judged(name, put(0, "w1"), *two, *apart, *healed) == ("fail", ["k"])
    one_way = [LinkChange(1, "cloud", "edge2", False), LinkChange(1, "edge1", "edge2", False)]
    assert judged(name, put(0, "w1"), *two, *one_way) == ("unknown", ["k"])
    crashed = ReplicaChange(3, "edge2", False)
    assert judged(name, put(0, "w1"), *two, crashed) == ("pass", [])
    assert judged(name, put(0, "w1"), two[0], crashed) == ("fail", ["k"])
    assert judged(name, put(0, "w1"), *two, crashed, ReplicaChange(4, "edge2", True))[0] == "fail"
    assert judged(name) == ("unknown", [])
    assert judged(name, put(0, "w1"), *two, sensitive=frozenset({"k"})) == ("unknown", [])
    pairs = frozenset({frozenset({"edge2", "cloud"}), frozenset({"edge2", "edge1"})})
    assert judged(name, put(0, "w1"), *two, no_link=pairs) == ("unknown", ["k"])


def test_convergence_takes_siblings_as_sets() -> None:
    shown = [show(1, "cloud", {"siblings": [1, 2]}), show(1, "edge1", {"siblings": [2, 1]})]
    gone = ReplicaChange(0, "edge2", False)

    assert judged("convergence", put(0, "w1"), gone, *shown)[0] == "pass"


# --- writes ----------------------------------------------------------------------------------


def test_no_lost_acked_writes() -> None:
    name = "no_lost_acked_writes"
    lost = Forgotten(5, "edge1", ("w1",), "crash")

    assert judged(name, put(0, "w1"), arrive(1, "w1")) == ("pass", [])
    assert judged(name, put(0, "w1"), arrive(1, "w1", applied=False)) == ("pass", [])
    assert judged(name, put(0, "w1")) == ("fail", ["w1"])
    assert judged(name, put(0, "w1", outcome="info")) == ("unknown", [])
    assert judged(name, put(0, "w1", outcome="fail")) == ("unknown", [])
    assert judged(name, put(0, "w1"), lost) == ("fail", ["w1"])
    assert judged(name, put(0, "w1"), DeadLetter(3, "w1", "edge1")) == ("pass", [])
    assert judged(name, put(0, "w1"), DeadLetter(3, "w1", "edge1"), lost) == ("fail", ["w1"])
    assert judged(name, put(0, "w1"), DeadLetter(3, "w1", "edge2")) == ("fail", ["w1"])
    apart = [*cut(1, "edge1", "cloud"), *cut(1, "edge1", "edge2")]
    assert judged(name, put(0, "w1"), *apart) == ("unknown", ["w1"])
    assert judged(name, put(0, "w1"), *apart, lost) == ("fail", ["w1"])
    assert judged(name, put(0, "w1"), *cut(1, "edge1", "cloud")) == ("fail", ["w1"])
    back = LinkChange(1, "cloud", "edge1", False)
    assert judged(name, put(0, "w1"), back) == ("fail", ["w1"])
    out = [LinkChange(1, "edge1", one, False) for one in ("cloud", "edge2")]
    into = [LinkChange(1, one, "edge1", False) for one in ("cloud", "edge2")]
    assert judged(name, put(0, "w1"), *out) == ("unknown", ["w1"])
    assert judged(name, put(0, "w1"), *into) == ("fail", ["w1"])
    assert judged(name, put(0, "w1"), ReplicaChange(1, "edge1", False)) == ("unknown", ["w1"])
    collected = Forgotten(5, "cloud", ("w1",), "collected")
    assert judged(name, put(0, "w1"), arrive(1, "w1"), collected) == ("pass", [])
    crashed = Forgotten(5, "cloud", ("w1",), "crash")
    assert judged(name, put(0, "w1"), arrive(1, "w1"), crashed, lost) == ("fail", ["w1"])
    own = frozenset({"k"})
    assert judged(name, put(0, "w1"), sensitive=own) == ("pass", [])
    abroad = [put(0, "w1"), arrive(1, "w1", "edge2"), lost]
    assert judged(name, *abroad, sensitive=own) == ("fail", ["w1"])
    assert judged(name, *abroad, *into, sensitive=own) == ("unknown", ["w1"])


def test_no_lost_updates() -> None:
    name = "no_lost_updates"
    both = [put(0, "w1"), put(1, "w2", "cloud", 2), arrive(2, "w1")]
    knowing = put(3, "w3", "cloud", 3, observed=("w2",))

    assert judged(name, *both, show(2, "cloud", 1, "w1", "w2")) == ("pass", [])
    assert judged(name, *both, show(2, "cloud", 2, "w2")) == ("fail", ["w1"])
    assert judged(name, *both, show(2, "cloud", 2, "w2"), DeadLetter(4, "w1", "edge1"))[0] == "pass"
    assert judged(name, *both, knowing, show(4, "cloud", 3, "w3")) == ("fail", ["w1"])
    knows_both = put(3, "w3", "cloud", 3, observed=("w2", "w1"))
    assert judged(name, *both, knows_both, show(4, "cloud", 3, "w3")) == ("pass", [])
    other_key = put(3, "w3", "cloud", 3, observed=("w1", "w2"), key="other")
    assert judged(name, *both, other_key, show(2, "cloud", 2, "w2"))[1] == ["w1", "w3"]
    apart = [*cut(1, "edge1", "cloud"), *cut(1, "edge1", "edge2")]
    assert judged(name, put(0, "w1"), *apart) == ("unknown", ["w1"])
    assert judged(name, *both, show(2, "cloud", 2, "w2"), *apart) == ("fail", ["w1"])
    assert judged(name) == ("unknown", [])


def test_a_chain_of_knowing_overwrites_loses_nothing() -> None:
    chain = [put(n, f"w{n}", observed=(f"w{n - 1}",) if n else (), value=n) for n in range(5)]

    assert (
        judged("no_lost_updates", *chain, arrive(9, "w4"), show(9, "cloud", 4, "w4"))[0] == "pass"
    )


def test_a_delete_counts_as_effective_only_where_deletes_remove() -> None:
    events = [
        put(0, "w0", "cloud"), delete(1, "d1", observed=("w0",)),
        put(2, "w2", "cloud", 2, observed=("w0",)), arrive(3, "d1"), show(3, "cloud", 2, "w2"),
    ]  # fmt: skip

    assert judged("no_lost_updates", *events, strategy="siblings") == ("pass", [])
    assert judged("no_lost_updates", *events, strategy="lww") == ("fail", ["d1"])
    still = show(4, "cloud", 1, "w0")
    assert judged("no_lost_updates", *events, still, strategy="siblings")[1] == ["d1", "w2"]


def test_a_collected_tombstone_is_effective_while_its_key_is_absent() -> None:
    events = [
        put(0, "w0", "cloud"), delete(1, "d1", "cloud", observed=("w0",)),
        Forgotten(5, "cloud", ("w0", "d1"), "collected"),
    ]  # fmt: skip

    assert judged("no_lost_updates", *events) == ("pass", [])
    assert judged("no_lost_updates", *events, show(6, "cloud", 1, "w0")) == ("fail", ["d1"])
    crashed = [*events[:2], Forgotten(5, "cloud", ("w0", "d1"), "crash")]
    assert judged("no_lost_updates", *crashed) == ("fail", ["d1"])


def test_fields_are_judged_apart() -> None:
    def setf(time_us: int, name: str, field: str, **rest: Any) -> Operation:
        return Operation(time_us, name, "cloud", "k", "setf", 1, field, touched=(field,), **rest)

    shown = show(3, "cloud", {"b": 1}, "f2", fields=("b",))
    apart = [setf(0, "f1", "a"), setf(1, "f2", "b", observed=("f1",)), shown]
    same = [setf(0, "f1", "b"), setf(1, "f2", "b", observed=("f1",)), shown]

    assert judged("no_lost_updates", *apart, strategy="lwwmap") == ("fail", ["f1"])
    assert judged("no_lost_updates", *same, strategy="lwwmap") == ("pass", [])


def test_no_revoked_acks() -> None:
    assert judged("no_revoked_acks", put(0, "w1")) == ("pass", [])
    assert judged("no_revoked_acks", put(0, "w1"), Revoked(1, "w1", "cloud")) == ("fail", ["w1"])
    doubtful = put(0, "w1", outcome="info")
    assert judged("no_revoked_acks", doubtful, Revoked(1, "w1", "cloud")) == ("unknown", [])


def test_no_resurrected_deletes() -> None:
    name = "no_resurrected_deletes"
    start = [put(0, "w0"), show(0, "edge1", 1, "w0")]
    gone = [delete(1, "d1", observed=("w0",)), show(1, "edge1", None, "d1")]
    again = show(5, "edge1", 1, "w0")

    assert judged(name, *start, *gone) == ("pass", [])
    assert judged(name, *start, *gone, again) == ("fail", ["d1"])
    assert judged(name, *start, *gone, show(5, "edge2", 1, "w0")) == ("pass", [])
    applied = arrive(4, "d1", "edge2")
    assert judged(name, *start, *gone, applied, show(5, "edge2", 1, "w0")) == ("fail", ["d1"])
    refused = arrive(4, "d1", "edge2", applied=False)
    assert judged(name, *start, *gone, refused, show(5, "edge2", 1, "w0")) == ("pass", [])
    before = [show(3, "edge2", 1, "w0"), applied, show(4, "edge2", None, "d1")]
    assert judged(name, *start, *gone, *before) == ("pass", [])
    never_hidden = [*start, gone[0]]
    assert judged(name, *never_hidden) == ("fail", ["d1"])
    other = show(5, "edge1", 2, "w9")
    assert judged(name, *start, *gone, put(4, "w9", value=2), other) == ("pass", [])
    assert judged(name, *start) == ("unknown", [])


def test_what_a_deleted_version_had_replaced_must_not_return_either() -> None:
    events = [
        put(0, "w0"), put(1, "w1", observed=("w0",)), delete(2, "d1", observed=("w1",)),
        show(2, "edge1", None, "d1"), show(3, "edge1", 1, "w0"),
    ]  # fmt: skip

    assert judged("no_resurrected_deletes", *events) == ("fail", ["d1"])


def test_real_time_winner() -> None:
    name = "real_time_winner"
    both = [put(0, "w1"), put(1, "w2", "cloud", 2), arrive(2, "w1")]

    assert judged(name, *both, show(2, "cloud", 2, "w2")) == ("pass", [])
    assert judged(name, *both, show(2, "cloud", 1, "w1")) == ("fail", ["w2"])
    assert judged(name, *both, show(2, "cloud", 1, "w1"), strategy="siblings")[0] == "unknown"
    late = put(5, "w3", value=3)
    assert judged(name, *both, late, show(2, "cloud", 2, "w2")) == ("unknown", ["w3"])
    knowing = put(5, "w3", "cloud", 3, observed=("w2",))
    assert judged(name, *both, knowing, show(6, "cloud", 2, "w2")) == ("fail", ["w3"])
    tied = [put(0, "w1"), put(0, "w2", "cloud", 2), arrive(2, "w1"), show(2, "cloud", 1, "w1")]
    assert judged(name, *tied) == ("pass", [])
    assert judged(name) == ("unknown", [])


# --- reads -----------------------------------------------------------------------------------


def test_read_your_writes() -> None:
    name, own = "read_your_writes", put(1, "w1", session="s", observed=("w0",))
    start = [put(0, "w0"), own]

    assert judged(name, *start, read(2, "r1", "edge1", 1, "w1", session="s")) == ("pass", [])
    assert judged(name, *start, read(2, "r1", "edge2", 1, session="s")) == ("fail", ["r1"])
    assert judged(name, *start, read(2, "r1", "edge1", 1, "w0", session="s")) == ("fail", ["r1"])
    assert judged(name, *start, read(2, "r1", "edge2", 1, session="t")) == ("unknown", [])
    assert judged(name, *start, read(2, "r1", "edge2", 1)) == ("unknown", [])
    elsewhere = read(2, "r1", "edge2", 1, session="s", key="other")
    assert judged(name, *start, elsewhere) == ("unknown", [])
    newer = [put(2, "w2", value=2), read(3, "r1", "edge1", 2, "w2", session="s")]
    assert judged(name, *start, *newer) == ("pass", [])
    too_early = [put(0, "w0"), read(0, "r1", "edge2", 1, session="s"), own]
    assert judged(name, *too_early) == ("unknown", [])
    failed = put(1, "w9", session="s", outcome="fail")
    assert judged(name, failed, read(2, "r1", "edge2", 1, session="s")) == ("unknown", [])


def test_monotonic_reads() -> None:
    name = "monotonic_reads"
    start = [put(0, "w0"), put(1, "w1", observed=("w0",), value=2), arrive(2, "w0", "edge2")]
    first = read(3, "r1", "edge1", 2, "w1", session="s")

    assert judged(name, *start, first, read(4, "r2", "edge1", 2, "w1", session="s"))[0] == "pass"
    assert judged(name, *start, first, read(4, "r2", "edge2", 1, "w0", session="s"))[1] == ["r2"]
    assert judged(name, *start, first, read(4, "r2", "cloud", None, session="s"))[1] == ["r2"]
    older = read(4, "r2", "edge1", 1, "w0", session="s")
    assert judged(name, *start, first, older) == ("fail", ["r2"])
    assert judged(name, *start, first, read(4, "r2", "edge2", 1, "w0", session="t"))[0] == "unknown"
    assert judged(name, *start, first) == ("unknown", [])


def test_sessions_are_judged_field_by_field() -> None:
    def setf(time_us: int, name: str, *fields: str, **rest: Any) -> Operation:
        return Operation(time_us, name, "edge1", "k", "put", {}, touched=fields, **rest)

    both = setf(0, "f1", "a", "b")
    mine = setf(1, "f2", "a", session="s", observed=("f1",))
    kept = read(2, "r1", "edge1", {}, "f2", "f1", session="s", fields=("a", "b"))
    back = read(3, "r2", "edge1", {}, "f1", "f1", session="s", fields=("a", "b"))

    assert judged("read_your_writes", both, mine, kept) == ("pass", [])
    assert judged("read_your_writes", both, mine, kept, back) == ("fail", ["r2"])
    assert judged("monotonic_reads", both, mine, kept, back) == ("fail", ["r2"])
    again = read(3, "r2", "edge1", {}, "f2", "f1", session="s", fields=("a", "b"))
    assert judged("monotonic_reads", both, mine, kept, again) == ("pass", [])


def test_causal_order() -> None:
    name, start = "causal_order", [put(0, "w1"), put(1, "w2", key="other")]

    assert judged(name, *start, arrive(2, "w1"), arrive(3, "w2")) == ("pass", [])
    assert judged(name, *start, arrive(2, "w2"), arrive(3, "w1")) == ("fail", ["w2"])
    hidden = frozenset({"k"})
    assert judged(name, *start, arrive(2, "w2"), sensitive=hidden) == ("pass", [])
    assert judged(name, *start, arrive(2, "w2", "edge2"), sensitive=hidden) == ("fail", ["w2"])
    dropped = Forgotten(2, "edge1", ("w1",), "overflow")
    assert judged(name, *start, dropped, arrive(2, "w2")) == ("pass", [])
    lost = [arrive(2, "w1"), Forgotten(3, "cloud", ("w1",), "crash"), arrive(4, "w2")]
    assert judged(name, *start, *lost) == ("fail", ["w2"])
    collected = [arrive(2, "w1"), Forgotten(3, "cloud", ("w1",), "collected"), arrive(4, "w2")]
    assert judged(name, *start, *collected) == ("pass", [])
    assert judged(name, *start) == ("unknown", [])


def test_bounded_staleness() -> None:
    events = [
        put(1_000, "w1"), put(4_000, "w2"), read(9_000, "r1", "cloud", None),
        arrive(9_500, "w1"), read(10_000, "r2", "cloud", 1, "w1"), read(10_500, "r3", "edge1", 1),
    ]  # fmt: skip

    def verdict(bound_us: int | None) -> Verdict:
        return check_consistency(made(*events), staleness_bound_us=bound_us)["bounded_staleness"]

    assert verdict(8_000).result == "pass"
    assert verdict(7_999).details == {"witness": ["r1"], "max_staleness_us": 8_000}
    assert verdict(7_999).result == "fail"
    assert verdict(5_000).details["witness"] == ["r1", "r2"]
    assert verdict(None).result == "unknown"
    assert judged("bounded_staleness", put(0, "w1")) == ("unknown", [])


def test_data_locality() -> None:
    name, hidden = "data_locality", frozenset({"k"})

    assert judged(name, put(0, "w1"), arrive(1, "w1", "edge2"), sensitive=hidden)[0] == "pass"
    assert judged(name, put(0, "w1"), arrive(1, "w1"), sensitive=hidden) == ("fail", ["w1"])
    assert judged(name, put(0, "w1"), arrive(1, "w1")) == ("unknown", [])
    zones = {"cloud": "cloud", "spare": "cloud", "edge1": "edge"}
    events = (put(0, "w1"), arrive(1, "w1", "spare"))
    history = OperationHistory("lww", zones, "cloud", events, sensitive=hidden)
    assert check_consistency(history)[name].result == "fail"


# --- counts ----------------------------------------------------------------------------------


def test_exactly_once_of_counters() -> None:
    name = "exactly_once"
    here = [inc(0, "i1", 5), inc(1, "i2", 2), arrive(2, "i1"), arrive(3, "i2")]

    def counted(value: Any) -> Shown:
        return show(9, "cloud", value, "i1", "i2", key="n")

    assert judged(name, *here, counted(7)) == ("pass", [])
    assert judged(name, *here, counted(12)) == ("fail", {"n": 5})
    assert judged(name, *here, counted(5)) == ("fail", {"n": -2})
    assert judged(name, *here[:3], counted(5)) == ("unknown", [])
    assert judged(name, *here[:3], counted(10)) == ("fail", {"n": 5})
    lost = Forgotten(2, "edge1", ("i2",), "crash")
    assert judged(name, *here[:3], lost, counted(5)) == ("fail", {"n": -2})
    doubtful = inc(4, "i3", 4, outcome="info")
    arrived = [doubtful, arrive(5, "i3")]
    assert judged(name, *here, *arrived, counted(7))[0] == "pass"
    assert judged(name, *here, *arrived, counted(11))[0] == "pass"
    assert judged(name, *here, *arrived, counted(9)) == ("fail", {"n": 2})
    assert judged(name, *here, inc(4, "i3", 4, outcome="fail"), counted(7))[0] == "pass"
    assert judged(name, put(0, "w1")) == ("unknown", [])


def test_exactly_once_of_streams() -> None:
    name = "exactly_once"
    two = [emit(0, "e1"), emit(1, "e2"), arrive(2, "e1")]

    assert judged(name, *two, arrive(3, "e2")) == ("pass", [])
    assert judged(name, *two) == ("unknown", [])
    again = arrive(4, "e1", repeated=True)
    assert judged(name, *two, again) == ("fail", {"duplicated": ["e1"], "lost": []})
    dropped = Forgotten(2, "edge1", ("e2",), "overflow")
    assert judged(name, *two, dropped) == ("fail", {"duplicated": [], "lost": ["e2"]})
    twice = show(5, "cloud", ["e1", "e2", "e1"], "e1", "e2", "e1", key="log")
    assert judged(name, *two, arrive(3, "e2"), twice)[1] == {"duplicated": ["e1"], "lost": []}
    wiped = [Forgotten(4, "cloud", ("e1", "e2"), "crash"), arrive(5, "e1"), arrive(5, "e2")]
    assert judged(name, *two, arrive(3, "e2"), *wiped) == ("pass", [])


def test_order_preserved() -> None:
    name, two = "order_preserved", [emit(0, "e1"), emit(1, "e2")]

    assert judged(name, *two, arrive(2, "e1"), arrive(3, "e2")) == ("pass", [])
    assert judged(name, *two, arrive(2, "e2"), arrive(3, "e1")) == ("fail", ["e2"])
    dropped = Forgotten(2, "edge1", ("e1",), "overflow")
    assert judged(name, *two, dropped, arrive(2, "e2")) == ("pass", [])
    repeated = [arrive(2, "e1"), arrive(3, "e2"), arrive(4, "e1", repeated=True)]
    assert judged(name, *two, *repeated) == ("pass", [])
    assert judged(name, *two) == ("unknown", [])


@pytest.mark.parametrize(
    ("rule", "value", "result"),
    [
        ({"min": 0}, 0, "pass"),
        ({"min": 0}, -1, "fail"),
        ({"min": 0}, None, "pass"),
        ({"min": 0}, {"siblings": [3, -1]}, "fail"),
        ({"forbid": ({"a": 1, "b": 2},)}, {"a": 1, "b": 2, "c": 3}, "fail"),
        ({"forbid": ({"a": 1, "b": 2},)}, {"a": 1, "b": 3}, "pass"),
        ({"forbid": ({"a": 1, "b": 2},)}, {"a": 1}, "pass"),
        ({"forbid": ({"z": 0}, {"a": 1})}, {"a": 1}, "fail"),
        ({"forbid": ({"a": 1, "b": 2},)}, {"siblings": [{"a": 1}, {"b": 2}]}, "pass"),
    ],
)
def test_a_rule_of_the_application(rule: dict[str, Any], value: Any, result: str) -> None:
    history = made(put(0, "w1", "cloud"), show(0, "cloud", value, "w1"))

    verdicts = check_consistency(history, invariants=[AppInvariant("rule", "k", **rule)])

    assert verdicts["app:rule"].result == result
    elsewhere = [AppInvariant("rule", "never written", min=0)]
    assert check_consistency(history, invariants=elsewhere)["app:rule"].result == "unknown"


def test_no_invented_values() -> None:
    name = "no_invented_values"
    good = [
        put(0, "w1"),
        arrive(1, "w1"),
        show(1, "cloud", 1, "w1"),
        read(2, "r1", "cloud", 1, "w1"),
    ]

    assert judged(name, *good) == ("pass", [])
    assert judged(name, *good[1:]) == ("fail", ["w1"])
    assert judged(name, *good, put(3, "w1")) == ("fail", ["w1"])
    assert judged(name, *good, show(3, "cloud", 2, "w1")) == ("fail", ["w1"])
    assert judged(name, *good, read(3, "r2", "cloud", 2, "w1")) == ("fail", ["w1"])
    assert judged(name, *good, show(3, "cloud", 2)) == ("fail", ["k"])
    assert judged(name, *good, arrive(3, "w7")) == ("fail", ["w7"])
    assert judged(name) == ("unknown", [])


# --- lies ------------------------------------------------------------------------------------


def _storm(strategy: str, verb: Any, key: str) -> list[dict[str, Any]]:
    """Return the lines of an honest history: a cut, writes on both sides, a heal, syncs."""
    places = {"cloud": ReplicaPlace("cloud"), "edge1": ReplicaPlace("edge")}
    world = ReplicaWorld(places, strategy, options=ReplicaOptions())
    world.cut(0, "edge1", "cloud")
    for n in range(4):
        at = "edge1" if n != 2 or verb == "emit" else "cloud"
        world.write(1_000_000 * (n + 1), at, verb, key, n + 1, name=f"w{n}", session="s")
    world.heal(9_000_000, "edge1", "cloud")
    world.sync(10_000_000, "edge1", "cloud")
    world.read(11_000_000, "cloud", key, name="r1")
    return [json.loads(line) for line in world.history().lines()]


def _judge_lines(rows: list[dict[str, Any]]) -> dict[str, Verdict]:
    return check_consistency(read_lines(map(json.dumps, rows), "edited.jsonl"))


def _without(rows: list[dict[str, Any]], **match: Any) -> list[dict[str, Any]]:
    kept = [row for row in rows if any(row.get(name) != value for name, value in match.items())]
    assert len(kept) == len(rows) - 1, f"{len(rows) - len(kept)} rows match {match}"
    return kept


HONEST = [("siblings", "put", "k"), ("pncounter", "inc", "n"), ("stream", "emit", "log")]


@pytest.mark.parametrize(("strategy", "verb", "key"), HONEST)
def test_an_honest_history_fails_no_check(strategy: str, verb: str, key: str) -> None:
    verdicts = _judge_lines(_storm(strategy, verb, key))

    failed = [name for name, verdict in verdicts.items() if verdict.result == "fail"]
    assert failed == []
    assert verdicts["no_invented_values"].result == "pass"


@pytest.mark.parametrize(("strategy", "verb", "key"), HONEST)
def test_an_acknowledged_write_struck_out_is_noticed(strategy: str, verb: str, key: str) -> None:
    rows = _without(_storm(strategy, verb, key), event="Operation", id="w1")

    verdict = _judge_lines(rows)["no_invented_values"]

    assert (verdict.result, verdict.details["witness"]) == ("fail", ["w1"])
    assert "w1 was never written" in verdict.reason


def test_an_increment_struck_out_makes_a_surplus() -> None:
    rows = _without(_storm("pncounter", "inc", "n"), event="Operation", id="w1")

    assert _judge_lines(rows)["exactly_once"].details["witness"] == {"n": 2}


def test_a_delivery_struck_out_makes_a_lost_write() -> None:
    rows = _storm("siblings", "put", "k")
    rows = _without(rows, event="Delivery", operation="w3", replica="cloud")

    verdict = _judge_lines(rows)["no_lost_acked_writes"]

    assert (verdict.result, verdict.details["witness"]) == ("fail", ["w3"])
    assert [(one.what, one.site, one.start_us) for one in verdict.evidence] == [
        ("w3: put k 4, acknowledged", "edge1", 4_000_000),
        ("shows k = 4 by w3", "edge1", 4_000_000),
        ('shows k = {"siblings": [3, 4]} by w2, w3', "cloud", 10_000_000),
        ('shows k = {"siblings": [3, 4]} by w2, w3', "edge1", 10_000_000),
        ('r1: read k = {"siblings": [3, 4]} by w2, w3', "cloud", 11_000_000),
    ][: len(verdict.evidence)]
    assert len(verdict.evidence) >= 4


def test_a_value_changed_at_one_replica_breaks_convergence() -> None:
    rows = _storm("siblings", "put", "k")
    last = max(n for n, row in enumerate(rows) if row.get("event") == "Shown")
    rows[last]["value"] = {"siblings": [3, 5]}

    verdict = _judge_lines(rows)["convergence"]

    assert (verdict.result, verdict.details["witness"]) == ("fail", ["k"])
    assert {one.site for one in verdict.evidence} == {"cloud", "edge1"}
    assert any("5" in one.what for one in verdict.evidence)


def test_a_value_read_that_nobody_wrote_is_noticed() -> None:
    rows = _storm("lww", "put", "k")
    (reading,) = [row for row in rows if row.get("event") == "Read"]
    reading["value"] = 99

    verdict = _judge_lines(rows)["no_invented_values"]

    assert verdict.result == "fail"
    assert "r1 shows 99" in verdict.reason


def test_a_counter_value_changed_is_a_surplus() -> None:
    rows = _storm("pncounter", "inc", "n")
    for row in rows:
        if row.get("event") == "Shown" and row["replica"] == "cloud":
            row["value"] += 1

    verdict = _judge_lines(rows)["exactly_once"]

    assert (verdict.result, verdict.details["witness"]) == ("fail", {"n": 1})


def test_a_delivery_doubled_is_a_duplicate() -> None:
    rows = _storm("stream", "emit", "log")
    at = next(n for n, row in enumerate(rows) if row.get("operation") == "w1")
    rows.insert(at, dict(rows[at]))

    verdict = _judge_lines(rows)["exactly_once"]

    assert verdict.result == "fail"
    assert verdict.details["witness"] == {"duplicated": ["w1"], "lost": []}
    assert [one.what for one in verdict.evidence if "received" in one.what] == [
        "received w1 from edge1", "received w1 from edge1",
    ]  # fmt: skip


def test_an_operation_doubled_is_noticed() -> None:
    rows = _storm("siblings", "put", "k")
    at = next(n for n, row in enumerate(rows) if row.get("id") == "w1")
    rows.insert(at, dict(rows[at]))

    assert _judge_lines(rows)["no_invented_values"].details["witness"] == ["w1"]


def test_two_deliveries_swapped_break_the_order() -> None:
    rows = _storm("stream", "emit", "log")
    first, second = (
        next(n for n, row in enumerate(rows) if row.get("operation") == name)
        for name in ("w0", "w1")
    )
    rows[first], rows[second] = rows[second], rows[first]
    verdicts = _judge_lines(rows)

    assert verdicts["order_preserved"].details["witness"] == ["w1"]
    assert verdicts["causal_order"].result == "fail"


@pytest.mark.parametrize("name", CONSISTENCY_CHECKS)
def test_a_check_that_saw_nothing_is_unknown(name: str) -> None:
    assert judged(name) == ("unknown", [])


# --- files -----------------------------------------------------------------------------------


def test_a_saved_history_reads_back_the_same() -> None:
    events = (
        put(0, "w1", session="s", observed=("w0",), identity="edge1", sequence=1, hybrid=(4, 2)),
        arrive(1, "w1", applied=False), show(2, "cloud", {"a": [1]}, "w1", fields=("a",)),
        read(3, "r1", "cloud", None), Forgotten(4, "cloud", ("w1",), "collected"),
        Revoked(5, "w1", "cloud"), DeadLetter(6, "w1", "edge1"), *cut(7, "cloud", "edge1"),
        ReplicaChange(8, "cloud", False),
    )  # fmt: skip
    links = frozenset({frozenset({"edge1", "edge2"})})
    history = made(*events, sensitive=frozenset({"p"}), no_link=links)

    assert read_lines(history.lines(), "saved.jsonl") == history
    assert as_row(events[0])["event"] == "Operation"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "saved.jsonl:2: not an event"),
        ("[]", "a line holds one JSON object"),
        ('{"event": "Guess", "time_us": 0}', "'event' must be one of Operation, Delivery"),
        ('{"event": "Revoked", "time_us": 0, "operation": "w"}', "replica"),
        ('{"event": "Revoked", "time_us": 0.5, "operation": "w", "replica": "e"}', "whole number"),
        ('{"event": "Revoked", "time_us": 0, "operation": 7, "replica": "e"}', "must be text"),
        ('{"event": "Revoked", "time_us": 0, "operation": "w", "replica": "e", "x": 1}', "'x'"),
        ('{"event": "Shown", "time_us": 0, "replica": "e", "key": "k", "operations": "w1", '
         '"value": 1}', "operations must be a list"),
        ('{"event": "Operation", "time_us": 0, "id": "w", "replica": "e", "key": "k", '
         '"verb": "eat"}', "verb must be one of put"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_event_is_named(line: str, told: str) -> None:
    heading = next(made().lines())

    with pytest.raises(ScenarioError) as caught:
        read_lines([heading, line], "saved.jsonl")

    assert told in str(caught.value)
    assert caught.value.problems[0].line == 2


@pytest.mark.parametrize(
    "heading",
    ["", "{}", '{"history": "other"}', '{"history": "edgetwin operations 1", "zones": {}}'],
)
def test_a_file_without_its_heading_is_refused(heading: str) -> None:
    with pytest.raises(ScenarioError):
        read_lines([heading], "saved.jsonl")


def test_evidence_is_short_and_in_order() -> None:
    many = [put(n, f"w{n}") for n in range(50)]

    verdict = check_consistency(made(*many))["no_lost_acked_writes"]

    numbers = [one.number for one in verdict.evidence]
    assert numbers == sorted(numbers)
    assert len(numbers) <= 10
    assert len(verdict.details["witness"]) == 50
