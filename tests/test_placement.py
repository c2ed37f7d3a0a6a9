"""Scheduling as kube-scheduler decides it (facts/k3s.md, 4)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.kubernetes import (
    HOSTNAME,
    UNREACHABLE,
    ZONE,
    Claim,
    Container,
    Node,
    PodAffinity,
    PreferredNodes,
    Requirement,
    RuntimeClass,
    Selector,
    Taint,
    Toleration,
    TopologySpread,
    Workload,
    pairs,
)
from edgetwin.placement import Placed, Room, Volumes, matches, place, refusal, room, selects

GIB = 2**30


def node(name: str, *, zone: str = "", taints: tuple[Taint, ...] = (), **more: object) -> Node:
    labels = pairs({ZONE: zone} if zone else {})
    return Node(name=name, site=name, labels=labels, taints=taints, **more)  # type: ignore[arg-type]


def pod(
    *, cores: float = 0.1, memory_bytes: int = 0, name: str = "web", **more: object
) -> Workload:
    container = Container(
        name="app", image="app:1", cores_request=cores, memory_bytes_request=memory_bytes
    )
    more.setdefault("labels", pairs({"app": name}))
    return Workload(kind="Deployment", name=name, containers=(container,), **more)  # type: ignore[arg-type]


def rooms(*names: str) -> list[Room]:
    return [room(node(name)) for name in names]


WEB = Selector(labels=pairs({"app": "web"}))


def chosen(workload: Workload, where: list[Room], *placed: Placed, **more: object) -> str:
    answer = place(workload, where, placed, **more)  # type: ignore[arg-type]
    assert answer.room is not None, answer.reason
    return answer.room.node.name


def why(workload: Workload, where: list[Room], *placed: Placed, **more: object) -> str:
    answer = place(workload, where, placed, **more)  # type: ignore[arg-type]
    assert answer.room is None
    return answer.reason


@pytest.mark.parametrize(
    ("operator", "values", "value", "met"),
    [
        ("In", ("a", "b"), "b", True),
        ("In", ("a",), None, False),
        ("NotIn", ("a",), None, True),
        ("NotIn", ("a",), "a", False),
        ("Exists", (), "", True),
        ("Exists", (), None, False),
        ("DoesNotExist", (), None, True),
        ("Gt", ("3",), "4", True),
        ("Gt", ("3",), "3", False),
        ("Lt", ("3",), "2", True),
        ("Lt", ("3",), "x", False),
    ],
)
def test_a_requirement_is_met_as_kubernetes_defines_it(operator, values, value, met):
    assert matches(Requirement(key="k", operator=operator, values=values), value) is met


def test_a_selector_without_parts_selects_everything():
    assert selects(Selector(), pairs({"a": "1"}))


def test_a_pod_goes_to_the_node_its_selector_names():
    assert chosen(pod(node_selector=pairs({HOSTNAME: "n1"})), rooms("n0", "n1", "n2")) == "n1"


def test_one_term_of_a_required_affinity_is_enough():
    terms = tuple(
        (Requirement(key=ZONE, operator="In", values=(zone,)),) for zone in ("far", "near")
    )

    assert (
        chosen(pod(node_affinity=terms), [room(node("n0")), room(node("n1", zone="near"))]) == "n1"
    )


def test_a_preferred_node_is_taken_when_it_can():
    wish = (PreferredNodes(weight=1, requirements=(Requirement(key=ZONE, operator="Exists"),)),)

    assert (
        chosen(pod(node_preferences=wish), [room(node("n0")), room(node("n1", zone="z"))]) == "n1"
    )
    assert chosen(pod(node_preferences=wish), rooms("n0")) == "n0"


def test_a_taint_keeps_away_whom_it_is_not_tolerated_by():
    lost = Taint(key=UNREACHABLE, effect="NoSchedule")
    where = [room(node("n0", taints=(lost,))), room(node("n1", taints=(lost,)))]
    bears = (Toleration(key=UNREACHABLE, operator="Exists"),)

    assert why(pod(), where) == (
        "0/2 nodes are available: 2 node(s) had untolerated taint "
        "{node.kubernetes.io/unreachable: }."
    )
    assert chosen(pod(tolerations=bears), where) == "n0"


def test_the_default_tolerations_let_a_pod_go_where_only_no_execute_is():
    lost = Taint(key=UNREACHABLE, effect="NoExecute")

    assert chosen(pod(), [room(node("n0", taints=(lost,)))]) == "n0"


def test_a_soft_taint_is_avoided_but_not_refused():
    soft = Taint(key="old", effect="PreferNoSchedule")
    old, new = room(node("n0", taints=(soft,))), room(node("n1"))

    assert chosen(pod(), [old, new]) == "n1"
    assert chosen(pod(), [old]) == "n0"


def test_requests_are_summed_against_what_is_allocatable():
    where = [room(node("n0", cores=1, memory_bytes=GIB, cores_reserved=0.5))]

    assert why(pod(cores=0.6, memory_bytes=2 * GIB), where) == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
    )
    assert chosen(pod(cores=0.5, memory_bytes=GIB), where) == "n0"


def test_an_init_container_counts_if_it_is_larger_than_all_containers_together():
    greedy = Container(name="init", image="init:1", cores_request=2)

    assert "Insufficient cpu" in why(
        pod(cores=0.1, init_containers=(greedy,)), [room(node("n0", cores=1))]
    )


def test_a_full_node_has_too_many_pods():
    assert why(pod(), [room(node("n0", pods_max=0))]) == (
        "0/1 nodes are available: 1 Too many pods."
    )


def test_reasons_are_counted_over_all_nodes_and_sorted():
    where = [
        room(node("n0", cores=0.01)),
        room(node("n1", taints=(Taint(key="only", effect="NoSchedule", value="gpu"),))),
        *rooms("n2", "n3"),
    ]
    fussy = pod(node_selector=pairs({HOSTNAME: "n0"}))

    assert why(fussy, where) == (
        "0/4 nodes are available: 1 Insufficient cpu, "
        "1 node(s) had untolerated taint {only: gpu}, "
        "2 node(s) didn't match Pod's node affinity/selector."
    )


def test_a_bound_local_path_volume_holds_its_pods_on_its_node():
    volumes = Volumes(claims={"data": Claim(name="data")}, bound_node={"data": "n1"})

    assert chosen(pod(), rooms("n0", "n1"), volumes=volumes, claim_names=("data",)) == "n1"
    assert why(pod(), rooms("n0"), volumes=volumes, claim_names=("data",)) == (
        "0/1 nodes are available: 1 node(s) had volume node affinity conflict."
    )


def test_a_claim_that_does_not_exist_is_the_reason():
    assert why(pod(), rooms("n0"), claim_names=("data",)) == (
        '0/1 nodes are available: persistentvolumeclaim "data" not found.'
    )


def test_a_claim_for_one_pod_alone_keeps_the_second_away():
    volumes = Volumes(claims={"data": Claim(name="data")}, held=frozenset({"data"}))

    assert "ReadWriteOncePod" in why(pod(), rooms("n0"), volumes=volumes, claim_names=("data",))


def test_three_replicas_of_one_local_path_claim_all_sit_on_the_first_ones_node():
    where = rooms("n0", "n1", "n2")
    bound: dict[str, str] = {}
    homes = []
    for _ in range(3):
        volumes = Volumes(claims={"data": Claim(name="data")}, bound_node=bound)
        home = chosen(pod(), where, volumes=volumes, claim_names=("data",))
        bound.setdefault("data", home)
        homes.append(home)

    assert len(set(homes)) == 1


def test_a_pod_that_shuns_its_like_needs_a_node_of_its_own():
    alone = pod(pod_affinity=(PodAffinity(selector=WEB, topology_key=HOSTNAME, anti=True),))
    where = rooms("n0", "n1")
    first = Placed(alone, where[0])

    assert chosen(alone, where, first) == "n1"
    assert why(alone, where[:1], first) == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    )


def test_a_pod_that_is_shunned_by_those_already_there_stays_away():
    alone = pod(pod_affinity=(PodAffinity(selector=WEB, topology_key=HOSTNAME, anti=True),))
    where = rooms("n0")

    assert why(pod(), where, Placed(alone, where[0])) == (
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_a_pod_goes_to_the_zone_of_those_it_wants_near():
    near = (PodAffinity(selector=WEB, topology_key=ZONE),)
    where = [room(node("n0", zone="a")), room(node("n1", zone="b")), room(node("n2", zone="b"))]
    friend = Placed(pod(), where[1])

    assert chosen(pod(name="db", pod_affinity=near), where, friend) in ("n1", "n2")
    assert why(pod(name="db", pod_affinity=near), where) == (
        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."
    )
    assert chosen(pod(pod_affinity=near), where) in ("n0", "n1", "n2")


def test_a_strict_spread_allows_no_more_than_its_skew():
    spread = (TopologySpread(selector=WEB, topology_key=ZONE),)
    where = [room(node("n0", zone="a")), room(node("n1", zone="b"))]
    web = pod(spread=spread)

    assert chosen(web, where, Placed(web, where[0])) == "n1"
    full = Room(where[1].node, cores_free=0.0, memory_bytes_free=GIB, pods_free=9)
    assert why(web, [where[0], full], Placed(web, where[0])) == (
        "0/2 nodes are available: 1 Insufficient cpu, "
        "1 node(s) didn't match pod topology spread constraints."
    )
    assert "missing required label" in why(web, rooms("n2"))


def test_a_soft_spread_is_a_wish():
    soft = (TopologySpread(selector=WEB, topology_key=ZONE, required=False),)
    where = [room(node("n0", zone="a")), room(node("n1", zone="b"))]
    web = pod(spread=soft)

    assert chosen(web, where, Placed(web, where[0])) == "n1"
    assert chosen(web, where[:1], Placed(web, where[0])) == "n0"


def test_replicas_prefer_different_nodes():
    where = rooms("n0", "n1")
    web = pod()

    assert chosen(web, where, Placed(web, where[0])) == "n1"


def test_a_host_port_is_given_once_a_node():
    proxy = pod(host_ports=(443,))
    taken = Room(node("n0"), cores_free=1, memory_bytes_free=GIB, pods_free=9,
                 host_ports=frozenset({443}))  # fmt: skip

    assert why(proxy, [taken]) == (
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    )


def test_a_runtime_class_adds_its_selector_and_its_overhead():
    where = [room(node("n0", cores=1)), room(node("n1", zone="wasm", cores=1))]
    runtime = RuntimeClass(
        name="wasmedge", handler="wasmedge", node_selector=pairs({ZONE: "wasm"}), cores_overhead=0.5
    )

    assert chosen(pod(), where, runtime=runtime) == "n1"
    assert "Insufficient cpu" in why(pod(cores=0.6), where, runtime=runtime)


def test_a_cordoned_node_takes_nothing_new():
    closed = room(node("n0"))
    closed.unschedulable = True

    assert refusal(pod(), closed) == ("node(s) were unschedulable",)


node_sets = st.lists(
    st.tuples(st.floats(0, 2), st.booleans(), st.sampled_from(["", "a", "b"])), max_size=6
)


@given(node_sets, st.floats(0, 2), st.sampled_from(["", "a", "b"]), st.integers(0, 10))
def test_whoever_can_take_a_pod_is_found_and_else_every_node_has_a_reason(
    shapes, cores, zone, first
):
    where = [
        room(
            node(
                f"n{place}",
                cores=max(each, 0.01),
                zone=zone_of,
                taints=(Taint(key="shut", effect="NoSchedule"),) if shut else (),
            )
        )
        for place, (each, shut, zone_of) in enumerate(shapes)
    ]
    workload = pod(cores=cores, node_selector=pairs({ZONE: zone}) if zone else ())

    answer = place(workload, where, first=first)

    fitting = [each for each in where if not refusal(workload, each)]
    if fitting:
        assert answer.room in fitting
    elif where:
        assert answer.room is None
        assert answer.reason.startswith(f"0/{len(where)} nodes are available: ")
        assert sum(map(int, re.findall(r"(\d+) (?:node|Insuff|Too)", answer.reason))) >= len(where)
    else:
        assert answer.reason == "no nodes available to schedule pods"


@given(st.permutations(range(5)), st.integers(0, 4))
def test_the_order_of_nodes_decides_only_between_equals(order, best):
    where = [room(node(f"n{each}", cores=8 if each == best else 2)) for each in order]

    assert chosen(pod(cores=1), where) == f"n{best}"
