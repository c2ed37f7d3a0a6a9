"""Replicas keep the promises of their strategy, whatever order, loss and crashes do to them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.checks.consistency import check_consistency
from edgetwin.checks.consistency_trace import canonical
from edgetwin.engine.replica import STRATEGIES, ReplicaPlace, ReplicaWorld
from edgetwin.engine.replicas_site import ReplicaOptions, WallClock
from edgetwin.errors import UsageError
from edgetwin.merge.by_policy import broken_laws

PLACES = {
    "cloud": ReplicaPlace("cloud"),
    "edge1": ReplicaPlace("edge", offset_us=-7, drift_ppm=90_000),
    "edge2": ReplicaPlace("edge", offset_us=11, drift_ppm=-90_000),
}
NAMES = sorted(PLACES)

VERBS = {
    "counter-op": ["inc"], "gcounter": ["inc"], "pncounter": ["inc"],
    "orset": ["add", "add", "rem"],
    "lwwmap": ["setf", "setf", "delf", "del"], "stream": ["emit"],
}  # fmt: skip
WHOLE = ["put", "put", "put", "del"]


def strictest(asked: Any) -> Any:
    """Decide lawfully: the larger of the two values as text stays."""
    one, other = (canonical(asked[side]["value"]) for side in ("local", "remote"))
    return {"decision": "local" if one >= other else "remote"}


def world(strategy: str, **options: Any) -> ReplicaWorld:
    policies = {"strictest": strictest} if strategy == "rego" else {}
    if strategy == "rego":
        options = {"policy": "strictest", **options}
    return ReplicaWorld(PLACES, strategy, options=ReplicaOptions(**options), policies=policies)


PAIRS = st.sampled_from([(a, b) for a in NAMES for b in NAMES if a != b])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(NAMES), st.integers(0, 11), st.booleans()),
        st.tuples(st.just("write"), st.sampled_from(NAMES), st.integers(0, 11), st.booleans()),
        st.tuples(st.just("read"), st.sampled_from(NAMES), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("push"), PAIRS, st.sampled_from(["none", "none", "request", "ack"]),
                  st.none() | st.integers(1, 2)),
        st.tuples(st.just("sync"), PAIRS),
        st.tuples(st.just("exchange"), PAIRS),
        st.tuples(st.sampled_from(["cut", "cut_oneway", "heal"]), PAIRS),
        st.tuples(st.just("set_clock"), st.sampled_from(NAMES), st.integers(-30, 30)),
        st.tuples(st.just("crash"), st.sampled_from(NAMES), st.just("none")),
        st.tuples(st.just("restart"), st.sampled_from(NAMES)),
    ),
    max_size=30,
)  # fmt: skip


def play(place: ReplicaWorld, strategy: str, steps: list[Any], *, blind: bool = True) -> int:
    """Run *steps*, one every 10 us, and return when they ended."""
    time_us = 0
    for number, step in enumerate(steps):
        time_us = 10 * number
        verb, rest = step[0], step[1:]
        if verb == "write":
            _write(place, strategy, time_us, f"o{number:03}", *rest, blind)
        elif verb == "read":
            at, key, session = rest
            place.read(time_us, at, f"k{key}", name=f"r{number:03}", session=f"s{session}")
        elif verb == "push":
            (sender, receiver), lose, max_ops = rest
            place.push(time_us, sender, receiver, lose=lose, max_ops=max_ops)
        elif verb == "crash":
            place.crash(time_us, rest[0], lose=rest[1])
        elif verb in ("set_clock", "restart"):
            getattr(place, verb)(time_us, *rest)
        else:
            getattr(place, verb)(time_us, *rest[0])
    return time_us


def _write(
    place: ReplicaWorld, strategy: str, time_us: int, name: str, at: str, choice: int,
    is_blind: bool, blind: bool,
) -> None:  # fmt: skip
    verbs = VERBS.get(strategy, WHOLE)
    verb: Any = verbs[choice % len(verbs)]
    value: Any = choice if strategy != "orset" else ["red", "blue"][choice % 2]
    place.write(
        time_us, at, verb, f"k{choice % 2}", None if verb in ("del", "delf") else value, name=name,
        field=["mode", "limit"][choice % 3 % 2] if verb in ("setf", "delf") else None,
        session=f"s{choice % 2}", blind=is_blind and blind,
    )  # fmt: skip


def quiesce(place: ReplicaWorld, time_us: int) -> None:
    """Heal and restart everything, then let everybody talk until all is said."""
    for name in NAMES:
        if not place.replicas[name].up:
            place.restart(time_us, name)
        for other in NAMES:
            if name < other:
                place.heal(time_us, name, other)
    for _ in range(3):
        for edge in ("edge1", "edge2"):
            place.sync(time_us + 10, edge, "cloud")


def settled(strategy: str, steps: list[Any], **options: Any) -> ReplicaWorld:
    place = world(strategy, **options)
    quiesce(place, play(place, strategy, steps) + 10)
    return place


CONVERGENT = sorted(set(STRATEGIES) - {"stream"})


@pytest.mark.parametrize("strategy", CONVERGENT)
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_after_quiet_all_replicas_show_the_same(strategy: str, steps: list[Any]) -> None:
    verdicts = check_consistency(settled(strategy, steps).history())

    assert verdicts["convergence"].result != "fail", verdicts["convergence"].reason
    assert verdicts["no_lost_acked_writes"].result != "fail"
    assert verdicts["no_invented_values"].result != "fail", verdicts["no_invented_values"].reason


@pytest.mark.parametrize("strategy", ["siblings", "mvregister", "orset", "cloud-wins"])
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_strategies_that_promise_it_lose_no_update(strategy: str, steps: list[Any]) -> None:
    verdict = check_consistency(settled(strategy, steps).history())["no_lost_updates"]

    # At the hub itself a client may overwrite blindly; that is nobody's promise.
    blind = [step for step in steps if step[0] == "write" and step[-1]]
    assert verdict.result != "fail" or (strategy == "cloud-wins" and blind), verdict.reason


@pytest.mark.parametrize("strategy", ["counter-op", "gcounter", "pncounter"])
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_counters_count_each_increment_once(strategy: str, steps: list[Any]) -> None:
    place = settled(strategy, steps)
    verdict = check_consistency(place.history())["exactly_once"]

    assert verdict.result != "fail", verdict.reason
    for key in ("k0", "k1"):
        acknowledged = [one.argument for one in place.ledger.operations.values() if one.key == key]
        assert (place.value("edge1", key) or 0) == sum(acknowledged)


@settings(max_examples=50, deadline=None)
@given(steps=STEPS)
def test_a_stream_arrives_once_and_in_order(steps: list[Any]) -> None:
    place = settled("stream", steps)
    verdicts = check_consistency(place.history())

    assert verdicts["exactly_once"].result != "fail"
    assert verdicts["order_preserved"].result != "fail"


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"cloud-wins"}))
@settings(max_examples=30, deadline=None)
@given(steps=STEPS)
def test_only_cloud_wins_revokes(strategy: str, steps: list[Any]) -> None:
    place = settled(strategy, steps)

    assert check_consistency(place.history())["no_revoked_acks"].result != "fail"
    assert not any(replica.dead_letters for replica in place.replicas.values())


@settings(max_examples=50, deadline=None)
@given(steps=STEPS)
def test_every_refusal_ends_as_one_dead_letter_at_its_writer(steps: list[Any]) -> None:
    place = settled("cloud-wins", steps)

    letters = [(name, one) for name in NAMES for one in place.replicas[name].dead_letters]
    refused = place.replicas["cloud"].refused
    assert sorted(one for _, one in letters) == sorted(refused)
    assert all(place.ledger.operations[one].replica == name for name, one in letters)
    assert place.ledger.counts["conflicts"] == len(refused)


@pytest.mark.parametrize("strategy", ["hlc", "lwwmap"])
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_a_hybrid_stamp_exceeds_all_that_its_replica_knew(strategy: str, steps: list[Any]) -> None:
    place = settled(strategy, steps)

    written = list(place.ledger.operations.values())
    for one in written:
        for other in written:
            if place.ledger.precedes(one.id, other.id) or (
                one.replica == other.replica and one.sequence < other.sequence
            ):
                assert one.hybrid < other.hybrid


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_causes_come_before_their_effects_when_all_is_sent_in_order(steps: list[Any]) -> None:
    verdict = check_consistency(settled("lww", steps).history())["causal_order"]

    assert verdict.result != "fail", verdict.reason


def _lww(place: ReplicaWorld, ops: list[Any]) -> Any:
    return max(ops, key=lambda o: (o.wall_us, o.identity.encode(), o.sequence)).value


def _hlc(place: ReplicaWorld, ops: list[Any]) -> Any:
    return max(ops, key=lambda o: (o.hybrid, o.identity.encode(), o.sequence)).value


def _siblings(place: ReplicaWorld, ops: list[Any]) -> Any:
    values = [
        one.value
        for one in ops
        if one.verb == "put" and not any(place.ledger.precedes(one.id, two.id) for two in ops)
    ]
    distinct = sorted(set(values))
    return {"siblings": distinct} if len(distinct) > 1 else distinct[0] if distinct else None


def _orset(place: ReplicaWorld, ops: list[Any]) -> Any:
    taken = {tag for one in ops if one.verb == "rem" for tag in one.observed}
    left = sorted({one.argument for one in ops if one.verb == "add" and one.id not in taken})
    return {"set": left} if left else None


def _lwwmap(place: ReplicaWorld, ops: list[Any]) -> Any:
    fields = {}
    for name in ("limit", "mode"):
        mine = [one for one in ops if name in one.touched]
        if mine:
            last = max(mine, key=lambda o: (o.hybrid, o.identity.encode(), o.sequence))
            if last.verb == "setf":
                fields[name] = last.argument
    return fields or None


def _sum(place: ReplicaWorld, ops: list[Any]) -> Any:
    return sum(one.argument for one in ops)


BY_DEFINITION: dict[str, Callable[[ReplicaWorld, list[Any]], Any]] = {
    "lww": _lww, "hlc": _hlc, "siblings": _siblings, "mvregister": _siblings, "orset": _orset,
    "lwwmap": _lwwmap, "counter-op": _sum,
}  # fmt: skip


@pytest.mark.parametrize("strategy", BY_DEFINITION)
@settings(max_examples=50, deadline=None)
@given(steps=STEPS, lose=st.sampled_from(["none", "unsynced", "all"]))
def test_what_a_replica_shows_follows_from_what_it_knows(
    strategy: str, steps: list[Any], lose: Any
) -> None:
    place = world(strategy)
    steps = [(*step[:2], lose) if step[0] == "crash" else step for step in steps]
    play(place, strategy, steps)

    for replica in place.replicas.values():
        for key in ("k0", "k1"):
            known = [one for one in replica.known.values() if one.key == key]
            expected = BY_DEFINITION[strategy](place, known) if known else None
            assert canonical(place.value(replica.name, key)) == canonical(expected)


@pytest.mark.parametrize(
    "strategy", ["lww", "siblings", "cloud-wins", "edge-wins", "gcounter", "rego"]
)
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_an_unsynced_crash_leaves_what_was_told(strategy: str, steps: list[Any]) -> None:
    place = world(strategy)
    time_us = play(place, strategy, steps) + 10
    edge = place.replicas["edge1"]
    told = {one for has in edge.acknowledged.values() for one in has}
    held = set(edge.known)

    place.crash(time_us, "edge1", lose="unsynced")

    assert set(edge.known) == held & told
    for key in edge.states:
        shown = place._strategy.shown(edge, key)
        if strategy != "gcounter":
            assert set(shown) <= set(edge.known)


def test_histories_do_not_hang_on_hash_seeds() -> None:
    program = (
        "import test_replica as t\n"
        "steps = [('write', 'edge1', 3, False), ('write', 'cloud', 4, False), "
        "('write', 'edge2', 1, True), ('write', 'edge2', 4, False), ('sync', ('edge2', 'cloud')), "
        "('write', 'edge1', 7, False), ('read', 'edge1', 1, 0)]\n"
        "for strategy in t.STRATEGIES:\n"
        "    history = t.settled(strategy, steps).history()\n"
        "    print(*history.lines(), t.check_consistency(history), sep='\\n')\n"
    )
    outputs = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)}
        command = [sys.executable, "-c", program]
        outputs.add(subprocess.run(command, env=env, capture_output=True, check=True).stdout)

    (output,) = outputs
    assert output.count(b"edgetwin operations 1") == len(STRATEGIES)


# --- single rules ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "time_us", "shown_us"),
    [
        (WallClock(), 17, 17),
        (WallClock(offset_us=-20), 17, -3),
        (WallClock(drift_ppm=500), 1999, 1999),
        (WallClock(drift_ppm=500), 2000, 2001),
        (WallClock(drift_ppm=-500), 1, 0),
        (WallClock(drift_ppm=0.5), 2_000_000, 2_000_001),
        (WallClock(resolution_us=1000), 1999, 1000),
        (WallClock(offset_us=5, drift_ppm=-500, resolution_us=1000), 1_000_000, 999_005),
    ],
)
def test_a_wall_clock_is_offset_plus_drift_rounded_down(
    clock: WallClock, time_us: int, shown_us: int
) -> None:
    assert clock.at(time_us) == shown_us


def test_what_a_replica_got_from_a_peer_is_not_sent_back() -> None:
    place = world("lww")
    place.write(0, "edge1", "put", "k", 1, name="w1")
    place.push(1, "edge1", "cloud")
    place.push(2, "cloud", "edge1")

    assert place.ledger.counts["duplicates_suppressed"] == 0


def test_nothing_is_written_or_read_at_a_crashed_replica() -> None:
    place = world("lww")
    place.crash(0, "edge1")

    operation = place.write(1, "edge1", "put", "k", 1, name="w1")

    assert operation.outcome == "fail"
    assert place.read(2, "edge1", "k", name="r1") is None
    assert place.value("edge1", "k") is None
    assert check_consistency(place.history())["no_lost_acked_writes"].result == "unknown"


def test_a_new_identity_is_numbered() -> None:
    place = world("lww", restart_as="new-id")
    for time_us in (0, 2):
        place.crash(time_us, "edge1")
        place.restart(time_us + 1, "edge1")

    assert place.write(5, "edge1", "put", "k", 1, name="w1").identity == "edge1#3"


def test_an_identity_is_part_of_the_stamp() -> None:
    place = ReplicaWorld({"cloud": ReplicaPlace("cloud"), "edge1": ReplicaPlace("edge")}, "lww")
    place.write(0, "edge1", "put", "k", "old identity", name="w1")
    place.sync(0, "edge1", "cloud")
    place.crash(0, "edge1", lose="all")
    place.restart(0, "edge1", identity="new-id")
    place.write(0, "edge1", "put", "k", "new identity", name="w2")
    place.sync(0, "edge1", "cloud")

    assert place.value("cloud", "k") == "new identity"


def test_a_map_put_whole_deletes_the_fields_it_leaves_out() -> None:
    place = world("lwwmap")
    place.write(0, "edge1", "setf", "k", "auto", field="mode", name="f1")
    place.write(1, "edge1", "put", "k", {"limit": 5}, name="p1")
    place.sync(2, "edge1", "cloud")

    assert place.value("cloud", "k") == {"limit": 5}
    assert place.ledger.operations["p1"].touched == ("limit", "mode")


def test_the_authority_counts_itself_when_it_resolves() -> None:
    place = world("rego", resolver="cloud")
    place.write(0, "edge1", "put", "k", 1, name="w1")
    place.write(0, "cloud", "put", "k", 2, name="w2")
    place.sync(1, "edge1", "cloud")

    vectors = [place.replicas[name].states["k"].vector for name in ("cloud", "edge1")]
    assert vectors == [{"cloud": 2, "edge1": 1}] * 2


def test_the_values_that_a_policy_met_show_the_law_it_breaks() -> None:
    def mine(asked: Any) -> Any:
        return {"decision": "local"}

    place = ReplicaWorld(
        PLACES, "rego", options=ReplicaOptions(policy="mine"), policies={"mine": mine}
    )
    place.write(0, "edge1", "put", "k", {"a": 1}, name="w1")
    place.write(0, "cloud", "put", "k", {"a": 2}, name="w2")
    place.exchange(1, "edge1", "cloud")

    assert [one.value for one in place.met] == [{"a": 2}, {"a": 1}]
    (breach,) = broken_laws(mine, place.met)
    assert breach.law == "commutative"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ReplicaWorld(PLACES, "newest"), "'newest' is no strategy; known: cloud-wins"),
        (lambda: ReplicaWorld(PLACES, "lww", authority="hub"), "authority 'hub' is none of"),
        (lambda: ReplicaWorld(PLACES, "rego"), "merge policy None is unknown; known: none"),
        (
            lambda: world("lww").write(0, "edge9", "put", "k", 1, name="w"),
            "replica 'edge9' is none",
        ),
        (lambda: world("lww").write(0, "edge1", "emit", "k", 1, name="w"), "lww has no 'emit'"),
        (lambda: world("gcounter").write(0, "edge1", "inc", "k", -1, name="w"), "no decrement"),
        (lambda: world("orset").write(0, "edge1", "put", "k", 1, name="w"), "orset has no 'put'"),
        (lambda: world("rego").set_policy(0, "edge1", "other"), "'other' is unknown; known: stric"),
    ],
)
def test_what_cannot_be_is_refused_in_words(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make()
