"""Routes after faults agree with networkx, run directly, on random networks and on real ones."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.errors import ScenarioError, UsageError
from edgetwin.inputs import graphs
from edgetwin.links import Fault, Link, Network, network, way
from edgetwin.model import Topology
from edgetwin.routes import (
    PRIORITY_COST,
    Cut,
    Router,
    bridges,
    central_node,
    disjoint_route,
    routes,
    timeline,
)  # fmt: skip

ZOO = Path(os.environ.get("EDGETWIN_DATA", "/nowhere")) / "data" / "topology-zoo"
SAMPLES = Path(__file__).parent / "samples"


def shortest(net: Network, hub: str, faults: list[Fault], *, up: bool) -> dict[str, int]:
    """Return every reachable node's cost by networkx alone."""
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(net.nodes)
    for link in net.links:
        own = [fault for fault in faults if fault.link == link.name]
        for source, target in ((link.a, link.b), (link.b, link.a)):
            found = way(link, target, own)
            if found:
                cost = (found.priority - 1) * PRIORITY_COST + found.latency_us
                graph.add_edge(source, target, cost=cost)
    graph = graph.reverse() if up else graph
    return dict(networkx.single_source_dijkstra_path_length(graph, hub, weight="cost"))


def agrees(router: Router, hub: str, faults: list[Fault]) -> None:
    """Hold every node's reach against networkx."""
    net = router.network
    priority = {link.name: link.priority for link in net.links}
    for up in (True, False):
        right = shortest(net, hub, faults, up=up)
        for node in net.nodes:
            reach = router.reach(node)
            route = reach.up if up else reach.down
            assert (route is None) == (node not in right)
            if route is not None:
                cost = sum(priority[name] - 1 for name in route.links) * PRIORITY_COST
                assert cost + route.latency_us == right[node]
            assert router.offline(node) == reach.offline


def random_network(rng: random.Random) -> Network:
    nodes = [f"n{k:02}" for k in range(rng.randint(3, 20))]
    links = []
    for k in range(rng.randint(len(nodes) - 1, 3 * len(nodes))):
        a, b = rng.sample(nodes, 2)
        links.append(
            Link(f"l{k:03}", a, b, rng.randint(1, 12), rng.randint(1, 99), 0.0,
                 rng.choice((1, 1, 1, 2)))
        )  # fmt: skip
    return network(links, nodes=nodes)


def random_fault(net: Network, rng: random.Random, *, one_way: bool) -> Fault:
    link = rng.choice(net.links)
    draw = rng.random()
    if draw < 0.5:
        return Fault(link.name)
    if draw < 0.75 and one_way:
        return Fault(link.name, towards=rng.choice((link.a, link.b)))
    return Fault(link.name, cut=False, latency_us=rng.randint(0, 9), bandwidth_share=0.5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), one_way=st.booleans())
def test_whatever_fails_and_heals_every_route_is_the_shortest_that_is_left(seed, one_way):
    rng = random.Random(seed)
    net = random_network(rng)
    hub = net.nodes[0]
    router, active = Router(net, hub), []
    for _ in range(12):
        begun, ended = [], []
        for _ in range(rng.randint(1, 4)):
            if active and rng.random() < 0.5:
                ended.append(active.pop(rng.randrange(len(active))))
            else:
                begun.append(random_fault(net, rng, one_way=one_way))
        before = {node: router.reach(node) for node in net.nodes}

        changed = set(router.change(begun, ended))

        active += begun
        agrees(router, hub, active)
        # What happened before does not matter, and no change is missed.
        assert {node: router.reach(node) for node in net.nodes} == routes(net, hub, active)
        assert all(router.reach(n) == before[n] for n in net.nodes if n not in changed)


def two_uplinks() -> Network:
    return network([
        Link("fibre", "cloud", "hub", 5_000, 100_000_000),
        Link("dsl", "hub", "site", 9_000, 20_000_000, risk_groups=("duct",)),
        Link("lte", "cloud", "site", 1_000, 5_000_000, 0.01, priority=2),
    ])  # fmt: skip


def test_a_backup_carries_traffic_only_when_nothing_better_is_up():
    router = Router(two_uplinks(), "cloud")
    assert router.reach("site").up.links == ("dsl", "fibre")

    router.change(begun=[Fault("dsl")])
    backup = router.reach("site")
    assert (backup.up.links, backup.up.bandwidth_bps, backup.down.latency_us) == (
        ("lte",), 5_000_000, 1_000,
    )  # fmt: skip
    assert backup.up.loss_share == pytest.approx(0.01)

    router.change(ended=[Fault("dsl")])
    assert router.reach("site").down.links == ("fibre", "dsl")


def test_a_route_is_as_wide_as_its_narrowest_link_and_as_slow_as_all_together():
    reach = Router(two_uplinks(), "cloud").reach("site")

    assert (reach.up.bandwidth_bps, reach.up.latency_us) == (20_000_000, 14_000)


def test_one_direction_cut_is_offline_and_the_other_still_passes():
    net = network([Link("l", "cloud", "site", 10)])
    router = Router(net, "cloud")

    router.change(begun=[Fault("l", towards="cloud")])

    reach = router.reach("site")
    assert reach.up is None
    assert reach.down is not None
    assert reach.offline
    assert router.offline("site")


def test_degraded_is_not_offline():
    router = Router(two_uplinks(), "cloud")

    changed = router.change(begun=[Fault("fibre", cut=False, bandwidth_share=0.1)])

    assert changed == ("hub", "site")
    assert not router.offline("site")
    assert router.reach("site").up.bandwidth_bps == 10_000_000


def test_faults_are_counted_so_that_the_first_heal_does_not_end_the_second():
    net = network([Link("l", "cloud", "site", 10)])
    router = Router(net, "cloud")

    router.change(begun=[Fault("l")])
    router.change(begun=[Fault("l")])
    router.change(ended=[Fault("l")])
    assert router.offline("site")

    router.change(ended=[Fault("l")])
    assert not router.offline("site")
    with pytest.raises(ValueError):
        router.change(ended=[Fault("l")])


def test_a_timeline_nets_what_touches_at_one_instant():
    net = two_uplinks()
    halves = [Cut(10, 20, Fault("dsl")), Cut(20, 30, Fault("dsl"))]

    split = timeline(net, "cloud", halves)
    whole = timeline(net, "cloud", [Cut(10, 30, Fault("dsl"))])

    assert split == whole
    assert [at for at, _ in whole["site"]] == [10, 30]
    assert whole["hub"] == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_timeline_says_at_every_instant_what_the_routes_are(seed):
    rng = random.Random(seed)
    net = random_network(rng)
    hub = net.nodes[0]
    cuts = []
    for _ in range(rng.randint(1, 12)):
        start = rng.randint(0, 40)
        cuts.append(Cut(start, start + rng.randint(1, 30), random_fault(net, rng, one_way=True)))

    found = timeline(net, hub, cuts)

    first = routes(net, hub)
    for at in range(0, 75, 3):
        right = routes(net, hub, [c.fault for c in cuts if c.start_us <= at < c.end_us])
        for node in net.nodes:
            last = [reach for since, reach in found[node] if since <= at]
            assert (last[-1] if last else first[node]) == right[node]


def test_a_second_path_shares_neither_link_nor_risk():
    net = two_uplinks()
    assert disjoint_route(net, "cloud", "site").links == ("lte",)
    assert disjoint_route(net, "cloud", "hub").links == ("dsl", "lte")

    shared = network([
        Link("dsl", "cloud", "site", 5, risk_groups=("duct",)),
        Link("fibre", "cloud", "site", 9, risk_groups=("duct",)),
    ])  # fmt: skip
    assert disjoint_route(shared, "cloud", "site") is None


def test_the_middle_of_a_line_is_central_and_its_links_are_bridges():
    line = network([Link(f"l{k}", f"n{k}", f"n{k + 1}", 10) for k in range(4)])

    assert central_node(line) == "n2"
    assert [link.name for link in bridges(line)] == ["l0", "l1", "l2", "l3"]


# ---- graphs out of files -------------------------------------------------------------------------

GML = """graph [
  label "Small"
  node [ id 0 label "Bern" Latitude 46.95 Longitude 7.45 ]
  node [ id 1 label "Chur" Latitude 46.85 Longitude 9.53 ]
  node [ id 2 label "Chur" Latitude 46.86 Longitude 9.54 ]
  node [ id 3 label "None" ]
  edge [ source 0 target 1 LinkSpeedRaw 155000000.0 ]
  edge [ source 0 target 1 LinkSpeedRaw 34000000.0 ]
  edge [ source 1 target 2 ]
  edge [ source 2 target 2 ]
  edge [ source 2 target 3 ]
]
"""


def test_repeated_labels_parallel_edges_and_loops_are_read(tmp_path):
    path = tmp_path / "small.gml"
    path.write_text(GML)

    net = graphs.read(path)

    assert net.nodes == ("Bern", "Chur 1", "Chur 2", "node 3")
    assert [(link.name, link.bandwidth_bps) for link in net.links] == [
        ("Bern--Chur 1", 155_000_000), ("Bern--Chur 1 #2", 34_000_000),
        ("Chur 1--Chur 2", None), ("Chur 2--node 3", None),
    ]  # fmt: skip
    assert 900 < net.links[0].latency_us < 1_200
    assert net.links[3].latency_us == graphs.LATENCY_US


def test_a_topology_of_a_graph_is_valid_and_has_the_latency_of_its_paths(tmp_path):
    path = tmp_path / "small.gml"
    path.write_text(GML)
    net = graphs.read(path)

    content = graphs.topology(net, name="Small net", hub="Bern")
    topology = Topology.model_validate(content)

    assert list(topology.sites) == ["Chur-1", "Chur-2", "node-3"]
    primary = topology.sites["node-3"].uplinks["primary"]
    route = routes(net, "Bern")["node 3"].up
    assert primary.latency_us == route.latency_us
    assert topology.sites["Chur-1"].uplinks["backup"].priority == 2
    assert "backup" not in topology.sites["node-3"].uplinks
    with pytest.raises(UsageError, match="did you mean 'Bern'"):
        graphs.topology(net, name="x", hub="Berne")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("graph [ node [ id 0 ] ", "not GML"),
        ("graph [\n node [ id 0 ]\n]\n", "without links"),
        ("<graphml><graph", "not GraphML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><graphml/>', "document type"),
        ("hello", "not GML"),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path, content, word):
    path = tmp_path / "graph.gml"
    path.write_text(content)

    with pytest.raises(ScenarioError, match=word):
        graphs.read(path)


needs_zoo = pytest.mark.skipif(not ZOO.is_dir(), reason="no real data: set EDGETWIN_DATA")


@needs_zoo
def test_the_zoo_is_there_as_its_readme_says():
    assert len(list((ZOO / "gml").glob("*.gml"))) == 36


@needs_zoo
@pytest.mark.parametrize("name", sorted(path.name for path in (ZOO / "gml").glob("*.gml")))
def test_routes_in_a_real_network_after_random_cuts_are_those_of_networkx(name):
    net = graphs.read(ZOO / "gml" / name)
    raw = networkx.parse_gml(
        (ZOO / "gml" / name).read_text().replace("graph [", "graph [\n  multigraph 1", 1),
        label="id",
    )
    loops = networkx.number_of_selfloops(raw)
    assert len(net.nodes) == raw.number_of_nodes()
    assert len(net.links) == raw.number_of_edges() - loops

    rng = random.Random(name)
    hub = central_node(net)
    router, active = Router(net, hub), []
    for _ in range(6):
        begun = [Fault(link.name) for link in rng.sample(net.links, k=max(1, len(net.links) // 8))]
        ended = [active.pop() for _ in range(min(len(active), 3))]
        router.change(begun, ended)
        active += begun
        agrees(router, hub, active)


@needs_zoo
@pytest.mark.parametrize("name", sorted(path.stem for path in (ZOO / "graphml").glob("*.graphml")))
def test_a_network_is_the_same_from_either_format(name):
    one = graphs.read(ZOO / "gml" / f"{name}.gml")
    other = graphs.read(ZOO / "graphml" / f"{name}.graphml")

    assert one.nodes == other.nodes
    assert [(link.name, link.latency_us) for link in one.links] == [
        (link.name, link.latency_us) for link in other.links
    ]


@needs_zoo
def test_a_disconnected_network_is_read_and_what_is_apart_is_offline():
    net = graphs.read(ZOO / "gml" / "DialtelecomCz.gml")

    reach = routes(net, central_node(net))

    assert 0 < sum(one.offline for one in reach.values()) < len(net.nodes)
    assert not math.isinf(sum(one.up.latency_us for one in reach.values() if one.up))
