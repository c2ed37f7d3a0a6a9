"""Merges of states keep the laws they claim; the vectorised settlement agrees with slow ones."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgetwin.checks.consistency import check_consistency
from edgetwin.engine.replica import ReplicaPlace, ReplicaWorld
from edgetwin.engine.replicas_site import ReplicaOptions
from edgetwin.merge import (
    BOTH,
    CLOUD,
    EDGE,
    NEITHER,
    SETTLED_STRATEGIES,
    UNDECIDED,
    Settlement,
    Writes,
    decided,
    hybrid_stamps,
    settle,
)
from edgetwin.merge.by_policy import Candidate, Register, broken_laws, merged
from edgetwin.merge.clocks import (
    Order,
    compared,
    hybrid_learned,
    hybrid_local,
    joined,
    ticked,
)
from edgetwin.merge.collections import TagSet, fields_joined, shown_fields, tags_joined
from edgetwin.merge.counters import added, counted, slots_joined, total
from edgetwin.merge.registers import (
    Siblings,
    Version,
    hub_accepts,
    last_writer_wins,
    siblings_joined,
)

# --- states ----------------------------------------------------------------------------------

IDENTITIES = st.sampled_from(["cloud", "edge1", "edge2"])
VERSIONS = st.builds(
    lambda wall, identity, sequence: Version(
        f"{identity}:{sequence}:{wall}", (wall, identity), (wall, identity.encode(), sequence)
    ),
    st.integers(-2, 2), IDENTITIES, st.integers(1, 3),
)  # fmt: skip
SLOTS = st.dictionaries(IDENTITIES, st.tuples(st.integers(0, 5), st.integers(0, 5)))
VECTORS = st.dictionaries(IDENTITIES, st.integers(1, 4))
ELEMENTS = {"t1": "red", "t2": "red", "t3": "blue"}
TAG_SETS = st.builds(
    lambda tags, removed: TagSet({tag: ELEMENTS[tag] for tag in sorted(tags)}, frozenset(removed)),
    st.sets(st.sampled_from(sorted(ELEMENTS))), st.sets(st.sampled_from(sorted(ELEMENTS))),
)  # fmt: skip
FIELDS = st.dictionaries(st.sampled_from(["mode", "limit"]), VERSIONS).map(
    lambda fields: dict(sorted(fields.items()))
)

# Siblings are only ever made by writes that saw something, so the states come from such writes.
SEEN = {"w1": (), "w2": ("w1",), "w3": ("w1",), "w4": ("w1", "w2"), "d5": ("w1", "w3")}


def _siblings(names: set[str]) -> Siblings:
    state = Siblings()
    for name in sorted(names):
        versions = {} if name.startswith("d") else {name: f"value of {name}"}
        state = siblings_joined(state, Siblings(versions, frozenset({name, *SEEN[name]})))
    return state


SIBLINGS = st.sets(st.sampled_from(sorted(SEEN))).map(_siblings)

JOINS = {
    "last writer wins": (last_writer_wins, st.none() | VERSIONS),
    "siblings": (siblings_joined, SIBLINGS),
    "counter slots": (slots_joined, SLOTS),
    "observed-remove set": (tags_joined, TAG_SETS),
    "map of registers": (fields_joined, FIELDS),
    "version vectors": (joined, VECTORS),
}


@pytest.mark.parametrize("name", JOINS)
@given(data=st.data())
def test_a_join_is_commutative_associative_and_idempotent(name: str, data: st.DataObject) -> None:
    join: Any
    join, states = JOINS[name]
    a, b, c = (data.draw(states) for _ in range(3))

    assert join(a, b) == join(b, a)
    assert join(join(a, b), c) == join(a, join(b, c))
    assert join(a, a) == join(join(a, b), b) if a == b else join(a, a) is not None or a is None
    assert join(join(a, b), b) == join(a, b)


def test_an_operation_counter_is_not_idempotent() -> None:
    once, twice = added(0, 5), added(added(0, 5), 5)

    assert (once, twice) == (5, 10)


def test_a_hub_depends_on_the_order_of_arrival() -> None:
    def arrive(order: tuple[str, ...], *, edge_wins: bool) -> str | None:
        current: str | None = None
        for incoming in order:
            if edge_wins or hub_accepts(current, incoming, lambda one, other: False):
                current = incoming
        return current

    assert arrive(("a", "b"), edge_wins=False) != arrive(("b", "a"), edge_wins=False)
    assert arrive(("a", "b"), edge_wins=True) != arrive(("b", "a"), edge_wins=True)


def test_a_hub_takes_what_saw_its_version_and_nothing_else() -> None:
    def precedes(one: str, other: str) -> bool:
        return (one, other) == ("old", "new")

    assert hub_accepts(None, "new", precedes)
    assert hub_accepts("old", "new", precedes)
    assert hub_accepts("new", "new", precedes)
    assert not hub_accepts("new", "old", precedes)
    assert not hub_accepts("other", "new", precedes)


def test_siblings_drop_exactly_what_a_write_saw() -> None:
    both = siblings_joined(_siblings({"w2"}), _siblings({"w3"}))
    after = siblings_joined(both, _siblings({"w4"}))

    assert both.value == {"siblings": ["value of w2", "value of w3"]}
    assert after.value == {"siblings": ["value of w3", "value of w4"]}
    assert siblings_joined(after, _siblings({"d5"})).value == "value of w4"


def test_a_superseded_version_that_arrives_late_does_not_show() -> None:
    assert siblings_joined(_siblings({"w4"}), _siblings({"w1"})).value == "value of w4"
    assert siblings_joined(_siblings({"d5"}), _siblings({"w3"})).value is None


def test_equal_siblings_show_once() -> None:
    assert Siblings({"w1": 5, "w2": 5}).value == 5


def test_a_remove_that_arrives_before_its_add_still_takes_it() -> None:
    removed = TagSet(removed=frozenset({"t1"}))

    assert tags_joined(removed, TagSet({"t1": "red"})).value is None
    assert tags_joined(removed, TagSet({"t1": "red", "t2": "red"})).value == {"set": ["red"]}


def test_counters_count_up_and_down() -> None:
    slots = counted(counted(counted({}, "edge1", 5), "edge1", -2), "edge2", -4)

    assert slots == {"edge1": (5, 2), "edge2": (0, 4)}
    assert total(slots) == -1


def test_a_deleted_field_stays_deleted_against_older_writes() -> None:
    written = {"mode": Version("f1", "auto", (1, b"cloud", 1))}
    deleted = {"mode": Version("d1", None, (2, b"edge1", 1), deleted=True)}

    assert shown_fields(fields_joined(written, deleted)) == {}


# --- clocks ----------------------------------------------------------------------------------


@given(VECTORS, VECTORS)
def test_vectors_compare_as_their_entries(one: dict[str, int], other: dict[str, int]) -> None:
    order = compared(one, other)

    behind = all(count <= other.get(name, 0) for name, count in one.items())
    ahead = all(count <= one.get(name, 0) for name, count in other.items())
    expected = {
        (True, True): Order.EQUAL, (True, False): Order.BEFORE,
        (False, True): Order.AFTER, (False, False): Order.CONCURRENT,
    }  # fmt: skip
    assert order is expected[behind, ahead]
    assert compared(one, ticked(one, "edge1")) is Order.BEFORE
    assert compared(joined(one, other), one) in (Order.EQUAL, Order.AFTER)


HYBRIDS = st.tuples(st.integers(0, 5), st.integers(0, 5))


@given(HYBRIDS, HYBRIDS, st.integers(-3, 8))
def test_a_hybrid_clock_exceeds_all_it_has_seen(
    clock: tuple[int, int], stamp: tuple[int, int], wall_us: int
) -> None:
    local, learned = hybrid_local(clock, wall_us), hybrid_learned(clock, stamp, wall_us)

    assert local > clock
    assert learned > clock
    assert learned > stamp
    assert learned[0] == max(clock[0], stamp[0], wall_us)
    assert local[0] == max(clock[0], wall_us)


@given(HYBRIDS, HYBRIDS, st.integers(-3, 8))
def test_a_hybrid_counter_rises_no_more_than_it_must(
    clock: tuple[int, int], stamp: tuple[int, int], wall_us: int
) -> None:
    latest, counter = hybrid_learned(clock, stamp, wall_us)

    same = [c for physical, c in (clock, stamp) if physical == latest]
    assert counter == (max(same) + 1 if same else 0)


@given(st.lists(st.integers(-3, 8)), st.none() | HYBRIDS)
def test_hybrid_stamps_of_many_writes_are_those_of_one_at_a_time(
    wall_us: list[int], start: tuple[int, int] | None
) -> None:
    latest, counter = hybrid_stamps(np.array(wall_us, dtype=np.int64), start)

    clock = start if start is not None else (-(2**62), 0)
    for at, wall in enumerate(wall_us):
        clock = hybrid_local(clock, wall)
        assert (latest[at], counter[at]) == clock


# --- settlement ------------------------------------------------------------------------------


def _writes(rows: list[tuple[int, int, int]]) -> Writes:
    """Return writes with (key, wall, gap since the write before)."""
    times = np.cumsum([gap for _, _, gap in rows], dtype=np.int64)
    return Writes(
        np.array([key for key, _, _ in rows], dtype=np.int64),
        np.array([wall for _, wall, _ in rows], dtype=np.int64),
        times,
        np.array([wall % 2 for _, wall, _ in rows], dtype=np.int64),
    )


ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 6), st.integers(0, 3)), max_size=14)
SIDES = ROWS.map(_writes)


def _slow(strategy: str, edge: Writes, cloud: Writes, *, edge_id: str, cloud_id: str) -> dict:
    """Settle key by key and write by write, the obvious way."""
    names = {"edge": edge_id.encode(), "cloud": cloud_id.encode()}
    ops: list[dict[str, Any]] = []
    for side, writes in (("edge", edge), ("cloud", cloud)):
        clock = (-(2**62), 0)
        shown: dict[int, dict[str, Any]] = {}
        for at in range(len(writes)):
            wall = int(writes.wall_us[at])
            clock = hybrid_local(clock, wall)
            key = int(writes.key[at])
            stamp = clock if strategy in ("hlc", "lwwmap") else (wall,)
            op = {"side": side, "at": at, "key": key, "time": int(writes.time_us[at]),
                  "stamp": (*stamp, names[side], at), "value": int(writes.value[at])}  # fmt: skip
            seen = shown.get(key)
            op["before"] = {*seen["before"], (side, seen["at"])} if seen else set()
            if strategy != "lww" or seen is None or op["stamp"] > seen["stamp"]:
                shown[key] = op
            ops.append(op)
        for op in shown.values():
            op["last"] = True
    out: dict[str, Any] = {"lost": set(), "revoked": set(), "siblings": set(), "wrong": set(),
                           "late": set(), "winner": {}}  # fmt: skip
    for key in sorted({op["key"] for op in ops}):
        mine = [op for op in ops if op["key"] == key]
        lasts = {op["side"]: op for op in mine if "last" in op}
        met = len(lasts) == 2
        overwritten = set().union(*(op["before"] for op in mine))
        free = [op for op in mine if (op["side"], op["at"]) not in overwritten]
        if strategy in ("lww", "hlc", "lwwmap"):
            winner = max(mine, key=lambda op: op["stamp"])
            beaten = [op for op in free if op is not winner]
            latest = max(free, key=lambda op: (op["time"], op["side"] == "cloud", op["at"]))
            out["lost"] |= {(op["side"], op["at"]) for op in beaten}
            if latest["time"] > winner["time"]:
                out["wrong"].add(key)
                late = max(beaten, key=lambda op: (op["time"], op["side"] == "cloud", op["at"]))
                out["late"].add((late["side"], late["at"]))
            if met:
                out["winner"][key] = EDGE if winner["side"] == "edge" else CLOUD
        elif met and strategy == "cloud-wins":
            out["revoked"] |= {op["at"] for op in mine if op["side"] == "edge"}
            out["winner"][key] = CLOUD
        elif met and strategy == "edge-wins":
            out["lost"].add(("cloud", lasts["cloud"]["at"]))
            out["winner"][key] = EDGE
        elif met:
            out["winner"][key] = UNDECIDED if strategy == "rego" else BOTH
            differ = lasts["edge"]["value"] != lasts["cloud"]["value"]
            if differ and strategy in ("siblings", "mvregister"):
                out["siblings"].add(key)
    return out


def _summary(settlement: Settlement) -> dict:
    sides = (("edge", settlement.edge_lost), ("cloud", settlement.cloud_lost))
    lates = (("edge", settlement.edge_late), ("cloud", settlement.cloud_late))
    return {
        "lost": {(side, int(at)) for side, ats in sides for at in ats},
        "revoked": set(settlement.edge_revoked.tolist()),
        "siblings": set(settlement.siblings.tolist()),
        "wrong": set(settlement.wrong_winner.tolist()),
        "late": {(side, int(at)) for side, ats in lates for at in ats},
        "winner": dict(zip(settlement.keys.tolist(), settlement.winner_side.tolist(), strict=True)),
    }


@pytest.mark.parametrize("strategy", SETTLED_STRATEGIES)
@settings(max_examples=100)
@given(edge=SIDES, cloud=SIDES, edge_id=st.sampled_from(["a-site", "shop"]))
def test_settling_all_keys_at_once_equals_settling_them_one_by_one(
    strategy: str, edge: Writes, cloud: Writes, edge_id: str
) -> None:
    settlement = settle(strategy, edge, cloud, edge_id=edge_id, cloud_id="cloud")

    slow = _slow(strategy, edge, cloud, edge_id=edge_id, cloud_id="cloud")
    assert _summary(settlement) == slow
    for array in (settlement.keys, settlement.edge_lost, settlement.cloud_lost,
                  settlement.edge_revoked, settlement.wrong_winner):  # fmt: skip
        assert np.all(np.diff(array) > 0)


def _world(strategy: str, rows: list[tuple[str, int, int]], *, edge_id: str) -> ReplicaWorld:
    """Run writes (side, key, wall) in order while cut, then heal and sync twice."""
    places = {edge_id: ReplicaPlace("edge"), "cloud": ReplicaPlace("cloud")}
    world = ReplicaWorld(places, strategy, options=ReplicaOptions())
    world.cut(0, edge_id, "cloud")
    verb = "setf" if strategy == "lwwmap" else "put"
    for time_us, (side, key, wall) in enumerate(rows, start=1):
        at = edge_id if side == "edge" else "cloud"
        world.set_clock(time_us, at, wall - time_us)
        field = "field" if verb == "setf" else None
        world.write(time_us, at, verb, str(key), time_us, name=f"{side}:{time_us}", field=field)
    world.heal(100, edge_id, "cloud")
    world.sync(101, edge_id, "cloud")
    world.sync(102, edge_id, "cloud")
    return world


STEPS = st.lists(
    st.tuples(st.sampled_from(["edge", "cloud"]), st.integers(0, 3), st.integers(0, 6)),
    max_size=14,
)


@pytest.mark.parametrize("edge_id", ["a-site", "shop"])
@pytest.mark.parametrize(
    "strategy", ["lww", "hlc", "cloud-wins", "edge-wins", "siblings", "lwwmap"]
)
@settings(max_examples=60)
@given(rows=STEPS)
@example(rows=[("edge", 0, 5), ("edge", 0, 1), ("cloud", 0, 3)])
def test_a_settlement_is_what_the_replica_world_and_its_checks_find(
    strategy: str, edge_id: str, rows: list[tuple[str, int, int]]
) -> None:
    world = _world(strategy, rows, edge_id=edge_id)
    verdicts = check_consistency(world.history())
    sides: dict[str, list[tuple[int, int, int]]] = {"edge": [], "cloud": []}
    for time_us, (side, key, wall) in enumerate(rows, start=1):
        sides[side].append((key, wall, time_us))
    columns = {
        side: Writes(*(np.array([row[n] for row in table], dtype=np.int64) for n in (0, 1, 2)))
        for side, table in sides.items()
    }
    # A hybrid clock starts at 0 and has not run back.
    settlement = settle(
        strategy, columns["edge"], columns["cloud"], edge_id=edge_id, cloud_id="cloud",
        edge_clock=(0, 0), cloud_clock=(0, 0),
    )  # fmt: skip

    def named(side: str, ats: Any) -> set[str]:
        return {f"{side}:{columns[side].time_us[at]}" for at in ats}

    lost = named("edge", settlement.edge_lost) | named("cloud", settlement.cloud_lost)
    late = named("edge", settlement.edge_late) | named("cloud", settlement.cloud_late)
    assert set(verdicts["no_lost_updates"].details["witness"]) == lost
    if strategy in ("lww", "hlc"):
        assert set(verdicts["real_time_winner"].details["witness"]) == late
    revoked = named("edge", settlement.edge_revoked)
    assert set(world.replicas[edge_id].dead_letters) == revoked
    assert world.ledger.counts["conflicts"] == (
        len(settlement.edge_revoked) if strategy == "cloud-wins"
        else settlement.conflicts if strategy == "edge-wins" else 0
    )  # fmt: skip
    for key, winner, edge_at, cloud_at in zip(
        settlement.keys, settlement.winner_side, settlement.edge_last, settlement.cloud_last,
        strict=True,
    ):  # fmt: skip
        values = (int(columns["edge"].time_us[edge_at]), int(columns["cloud"].time_us[cloud_at]))
        expected: Any = {"siblings": list(values)} if winner == BOTH else values[winner]
        shown = world.value("cloud", str(key))
        if strategy == "lwwmap":
            shown = shown["field"]
        if winner == BOTH:
            assert sorted(shown["siblings"]) == sorted(expected["siblings"])
        else:
            assert shown == expected
    if rows:
        assert verdicts["convergence"].result == "pass"


def test_a_base_stamped_in_the_future_keeps_its_key() -> None:
    base = _writes([(7, 1000, 0), (8, 0, 0)])
    edge, cloud = _writes([(7, 5, 1), (8, 5, 1)]), _writes([(7, 9, 2), (8, 9, 2)])

    settlement = settle("lww", edge, cloud, edge_id="edge1", cloud_id="cloud", base=base)

    assert settlement.keys.tolist() == [7, 8]
    assert settlement.winner_side.tolist() == [NEITHER, CLOUD]
    assert (settlement.edge_lost.tolist(), settlement.cloud_lost.tolist()) == ([0, 1], [0])
    assert settlement.wrong_winner.tolist() == [7]
    assert settlement.cloud_late.tolist() == [0]


def test_a_base_loses_to_an_equal_stamp() -> None:
    base = _writes([(7, 5, 0)])

    settlement = settle(
        "lww", _writes([(7, 5, 1)]), _writes([]), edge_id="edge1", cloud_id="cloud", base=base
    )

    assert settlement.lost == 0


def test_the_clocks_at_parting_matter_under_hybrid_stamps() -> None:
    edge, cloud = _writes([(0, 5, 1)]), _writes([(0, 6, 2)])

    def winner(**clocks: tuple[int, int]) -> int:
        settled = settle("hlc", edge, cloud, edge_id="edge1", cloud_id="cloud", **clocks)
        return int(settled.winner_side[0])

    assert winner() == CLOUD
    assert winner(edge_clock=(9, 0)) == EDGE
    assert winner(edge_clock=(9, 0), cloud_clock=(9, 1)) == CLOUD


def test_keys_too_large_to_pack_are_settled_alike() -> None:
    far = 2**62

    small = settle(
        "lww", _writes([(1, 2, 0), (2, 3, 0)]), _writes([(2, 9, 1)]), edge_id="e", cloud_id="c"
    )
    large = settle(
        "lww", _writes([(1, 2, 0), (far, 3, 0)]), _writes([(far, 9, 1)]), edge_id="e", cloud_id="c"
    )

    assert large.keys.tolist() == [far]
    assert dataclasses.replace(large, keys=small.keys).edge_lost.tolist() == [1]


def test_equal_stamps_go_to_the_replica_whose_name_is_larger() -> None:
    edge, cloud = _writes([(0, 5, 1)]), _writes([(0, 5, 1)])

    winners = [
        int(settle("lww", edge, cloud, edge_id=name, cloud_id="cloud").winner_side[0])
        for name in ("a-site", "shop", "Shop")
    ]

    assert winners == [CLOUD, EDGE, CLOUD]


def test_a_policy_decides_what_a_settlement_left_open() -> None:
    edge, cloud = _writes([(0, 1, 1), (1, 1, 1), (2, 1, 1)]), _writes([(k, 2, 1) for k in range(3)])
    open_ = settle("rego", edge, cloud, edge_id="edge1", cloud_id="cloud")

    settled = decided(open_, np.array([EDGE, CLOUD, BOTH]))

    assert open_.winner_side.tolist() == [UNDECIDED] * 3
    assert settled.winner_side.tolist() == [EDGE, CLOUD, BOTH]
    assert (settled.cloud_lost.tolist(), settled.edge_lost.tolist()) == ([0], [1])
    assert settled.siblings.tolist() == [2]


def test_an_unknown_strategy_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'newest' is no strategy; known: cloud-wins"):
        settle("newest", _writes([]), _writes([]), edge_id="edge1", cloud_id="cloud")


# --- laws of merge policies ------------------------------------------------------------------

RANK = {"normal": 0, "warning": 1, "alarm": 2}
CANDIDATES = [
    Candidate("normal", 1_000, "cloud"),
    Candidate("alarm", 2_000, "edge1"),
    Candidate("warning", 3_000, "edge2"),
]


def _strictest(asked: Any) -> Any:
    local, remote = RANK[asked["local"]["value"]], RANK[asked["remote"]["value"]]
    return {"decision": "local" if local >= remote else "remote"}


def test_a_lawful_policy_breaks_no_law() -> None:
    assert broken_laws(_strictest, CANDIDATES) == ()


def test_preferring_the_local_side_is_not_commutative() -> None:
    (breach,) = broken_laws(lambda asked: {"decision": "local"}, CANDIDATES)

    assert breach.law == "commutative"
    assert len(breach.values) == 2
    assert set(breach.results) == set(breach.values)
    assert "not commutative" in str(breach)


def test_averaging_is_commutative_but_not_associative() -> None:
    def mean(asked: Any) -> Any:
        value = (asked["local"]["value"] + asked["remote"]["value"]) / 2
        return {"decision": "merge", "value": value}

    numbers = [Candidate(value, 1_000, "edge1") for value in (1.0, 2.0, 5.0)]
    breaches = broken_laws(mean, numbers)

    assert [breach.law for breach in breaches] == ["associative"]
    assert len(breaches[0].values) == 3


def test_adding_is_not_idempotent() -> None:
    def plus(asked: Any) -> Any:
        return {"decision": "merge", "value": asked["local"]["value"] + asked["remote"]["value"]}

    breaches = broken_laws(plus, [Candidate(0, 1, "a"), Candidate(3, 1, "a")])

    assert [(breach.law, breach.values) for breach in breaches] == [("idempotent", (3,))]


def test_the_smallest_counterexample_is_shown() -> None:
    many = [Candidate(value, 1_000, "cloud") for value in ("long words", "x", "also long", "y")]

    (breach,) = broken_laws(lambda asked: {"decision": "local"}, many)

    assert breach.values == ("x", "y")


@given(st.lists(st.sampled_from(["normal", "warning", "alarm"]), min_size=2, max_size=4))
def test_undefined_decisions_keep_everything_and_are_lawful(values: list[str]) -> None:
    candidates = [Candidate(value, 1_000, "edge1") for value in values]

    assert broken_laws(lambda asked: None, candidates) == ()


def _register(value: Any, name: str, wall_us: int = 0) -> Register:
    return Register((Candidate(value, wall_us, name, (f"w-{name}",)),), {name: 1})


@pytest.mark.parametrize(
    ("decision", "value", "defined"),
    [
        ({"decision": "local"}, "a", True),
        ({"decision": "remote"}, "b", True),
        ({"decision": "merge", "value": "c"}, "c", True),
        ({"decision": "siblings"}, {"siblings": ["b", "a"]}, True),
        ({"decision": "merge"}, {"siblings": ["b", "a"]}, False),
        ({"decision": "both"}, {"siblings": ["b", "a"]}, False),
        ({}, {"siblings": ["b", "a"]}, False),
        (None, {"siblings": ["b", "a"]}, False),
    ],
)
def test_a_decision_is_carried_out_and_anything_else_keeps_both(
    decision: Any, value: Any, defined: bool
) -> None:
    register, was_defined = merged(_register("a", "edge1"), _register("b", "cloud"), decision)

    assert (register.value, was_defined) == (value, defined)
    assert register.vector == {"cloud": 1, "edge1": 1}
    if value == "c":
        assert register.operations == ("w-cloud", "w-edge1")


def test_siblings_of_a_policy_are_the_same_whoever_is_local() -> None:
    for one, other in itertools.permutations([_register("a", "edge1"), _register("b", "cloud")]):
        assert merged(one, other, None)[0].value == {"siblings": ["b", "a"]}
