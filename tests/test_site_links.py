"""The network of a topology, and what a record does to it."""

from __future__ import annotations

from edgetwin.links import Fault, hit, partition
from edgetwin.model import Topology
from edgetwin.outages import Outage, Record
from edgetwin.router import routes, timeline
from edgetwin.site_links import CLOUD, cuts, of_topology

STORES = {
    "control_plane": "local", "count": 2,
    "nodes": {"box": {"count": 2}, "till": {}},
    "uplinks": {
        "fibre": {"latency": "8ms", "bandwidth": "100Mbit/s", "risk_group": "duct"},
        "lte": {"latency": "40ms", "bandwidth": "10Mbit/s", "loss": "1%", "priority": 2},
    },
}  # fmt: skip
TOPOLOGY = Topology.model_validate({"name": "shop", "sites": {"store": STORES}})


def record(*outages: Outage) -> Record:
    return Record(tuple(sorted(outages)), (), ("store-001", "store-002"), (0, 1_000))


def test_every_node_reaches_the_cloud_over_its_site_s_best_uplink():
    reach = routes(of_topology(TOPOLOGY), CLOUD)

    assert reach["store-001/box-2"].up.links == ("store-001/box-2/lan", "store-001/fibre")
    assert reach["store-002/till"].up.latency_us == 8_200
    assert len(reach) == 1 + 2 * 4


def test_a_risk_group_takes_all_fibres_and_the_backups_carry_on():
    net = of_topology(TOPOLOGY)

    reach = routes(net, CLOUD, [Fault(link) for link in hit(net, "duct")])

    assert {site: reach[site].up.links for site in ("store-001", "store-002")} == {
        "store-001": ("store-001/lte",), "store-002": ("store-002/lte",),
    }  # fmt: skip


def test_cutting_an_aggregator_cuts_its_region():
    net = of_topology(TOPOLOGY, aggregators={"store-001": "south"}, aggregator_us=900)

    reach = routes(net, CLOUD, [Fault("south/cloud")])

    assert reach["store-001"].offline
    assert not reach["store-002"].offline
    assert routes(net, CLOUD)["store-001"].up.latency_us == 8_900


def test_nodes_of_a_site_can_lose_each_other_and_keep_the_rest():
    net = of_topology(TOPOLOGY)

    reach = routes(net, CLOUD, partition(net, [["store-001"], ["store-001/till"]]))

    assert reach["store-001/till"].offline
    assert not reach["store-001/box-1"].offline


def test_an_outage_cuts_all_uplinks_of_its_site_for_as_long_as_it_lasts():
    net = of_topology(TOPOLOGY)
    storm = record(Outage("store-001", 10, 20), Outage("store-002", 15, None),
                   Outage("store-001", 30, 40, "power"))  # fmt: skip

    found = timeline(net, CLOUD, cuts(storm, net), watch=["store-001", "store-002"])

    assert [(at, reach.offline) for at, reach in found["store-001"]] == [(10, True), (20, False)]
    assert [(at, reach.offline) for at, reach in found["store-002"]] == [(15, True), (1_000, False)]


def test_a_degraded_period_slows_and_does_not_cut():
    net = of_topology(TOPOLOGY)
    slow = Fault("", cut=False, latency_us=50_000, bandwidth_share=0.1)
    storm = record(Outage("store-001", 10, 20, "degraded"))

    assert cuts(storm, net) == []
    found = timeline(net, CLOUD, cuts(storm, net, degraded=slow), watch=["store-001"])

    (at, reach), _ = found["store-001"]
    assert (at, reach.offline) == (10, False)
    assert (reach.up.latency_us, reach.up.bandwidth_bps) == (58_000, 10_000_000)
