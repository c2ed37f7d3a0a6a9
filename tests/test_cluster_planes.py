"""The three places of a control plane (facts/k3s.md, 0 and 3): what a cut and a boot do in each."""

import pytest

from cluster_lab import Lab, cloud, node, workload
from edgetwin.engine.cluster import ClusterSpec
from edgetwin.kubernetes import Node, Workload
from edgetwin.units import DAY_US
from edgetwin.versions import defaults

TIMES = defaults()
BOOT_S = TIMES.boot_us / 1e6
SERVER_S = TIMES.server_start_us / 1e6
AGENT_S = TIMES.agent_start_us / 1e6

WEB = workload("Deployment", "web", replicas=2)
AGENT = workload("DaemonSet", "log")


def local(*workloads: Workload, **more: object) -> ClusterSpec:
    return ClusterSpec(
        name="shop",
        control_plane="local",
        nodes=(node("box", site="shop", server=True),),
        workloads=workloads,
        **more,  # type: ignore[arg-type]
    )


def three(*workloads: Workload) -> ClusterSpec:
    nodes = tuple(node(f"s{i}", site="shop", server=True) for i in range(3))
    return ClusterSpec(name="shop", control_plane="local-ha", nodes=nodes, workloads=workloads)


def uncut(nodes: tuple[Node, ...] = (node("n0"), node("n1"))) -> ClusterSpec:
    return cloud(nodes, workload("Deployment", "web", on="n0"), AGENT)


# One server on the site


def test_a_cut_changes_nothing_where_server_and_kubelet_share_a_box():
    lab = Lab(local(WEB, AGENT))

    lab.cut(100, "box", until_s=4000)
    lab.at(100, lambda: lab.cluster.uplink("shop", False)).run(4100)

    assert not lab.story
    assert not lab.told
    assert len(lab.ready("web", "shop")) == 2


def test_nothing_happens_in_a_local_cluster_while_nothing_changes():
    lab = Lab(local(WEB, AGENT))

    assert lab.env.peek() == float("inf")


def test_a_reboot_while_cut_restarts_everything_on_a_local_server_from_a_cold_page_cache():
    lab = Lab(local(WEB, AGENT))
    lab.cut(100, "box")
    lab.at(100, lambda: lab.cluster.registry("shop", False))
    lab.at(200, lambda: lab.cluster.power("box", False))

    lab.at(260, lambda: lab.cluster.power("box", True)).run(261)
    assert lab.ready("web", "shop") == []
    assert lab.cluster.cold("box", "app:1")
    lab.run(400)

    assert len(lab.ready("web", "shop")) == 2
    assert not lab.cluster.cold("box", "app:1")
    up_s = lab.told[-1][0] - 260
    assert BOOT_S + SERVER_S < up_s < BOOT_S + SERVER_S + 5
    assert not lab.times("deletion")
    assert not lab.times("created")


def test_a_server_without_a_default_route_starts_only_when_the_uplink_is_back():
    lab = Lab(local(WEB, route_without_uplink=False))
    lab.at(100, lambda: lab.cluster.uplink("shop", False))
    lab.at(200, lambda: lab.cluster.power("box", False))
    lab.at(260, lambda: lab.cluster.power("box", True)).run(1999)

    assert not lab.ready("web", "shop")

    lab.at(2000, lambda: lab.cluster.uplink("shop", True)).run(2060)

    assert len(lab.ready("web", "shop")) == 2


@pytest.mark.parametrize("buffered", [True, False])
def test_a_machine_without_a_buffered_clock_waits_for_the_time_after_a_power_loss(buffered):
    lab = Lab(local(WEB, clock_survives_power_loss=buffered))
    lab.at(100, lambda: lab.cluster.uplink("shop", False))
    lab.at(200, lambda: lab.cluster.power("box", False))
    lab.at(260, lambda: lab.cluster.power("box", True)).run(1000)

    assert bool(lab.ready("web", "shop")) is buffered


def test_a_server_process_that_crashes_leaves_its_containers_running_and_unmanaged():
    lab = Lab(local(WEB))
    lab.at(100, lambda: lab.cluster.server(False)).run(120)
    assert len(lab.ready("web", "shop")) == 2
    lab.cluster.kill(lab.cluster.running("web")[0][0], "crashed")
    lab.run(300)

    assert len(lab.ready("web", "shop")) == 1

    lab.at(301, lambda: lab.cluster.server(True)).run(360)

    assert len(lab.ready("web", "shop")) == 2


# Agents of a cloud server


def test_an_agent_that_boots_while_cut_starts_nothing_until_the_link_is_back():
    static = workload("StaticPod", "proxy", node_names=("n0",))
    lab = Lab(cloud((node("n0"), node("n1")), AGENT, static))
    lab.cut(100, "n0", until_s=1000)
    lab.at(150, lambda: lab.cluster.power("n0", False))
    lab.at(200, lambda: lab.cluster.power("n0", True)).run(999)

    assert [at for _, at in lab.cluster.running("log")] == ["n1"]
    assert not lab.cluster.running("proxy")

    lab.run(1030)

    assert sorted(at for _, at in lab.cluster.running("log")) == ["n0", "n1"]
    assert AGENT_S < lab.first("started") - 1000 < AGENT_S + 4
    assert [at for _, at in lab.cluster.running("proxy")] == ["n0"]


def test_an_agent_that_boots_with_its_link_up_starts_its_pods_again():
    lab = Lab(uncut())
    lab.at(150, lambda: lab.cluster.power("n0", False))
    lab.at(160, lambda: lab.cluster.power("n0", True)).run(300)

    assert lab.ready("web", "n0") == ["web-0"]
    # Too short an absence to be noticed at the API server before the node is back.
    assert not lab.times("deletion")


def test_a_node_without_power_looks_like_a_cut_one_to_its_control_plane():
    lab = Lab(uncut())

    lab.at(150, lambda: lab.cluster.power("n0", False)).run(600)

    assert 30 < lab.first("Ready=Unknown", "node/n0") - 150 < 50
    assert 335 < lab.first("deletion") - 150 < 351
    assert lab.ready("web", "n0") == []


def test_the_site_loses_its_pod_at_once_when_power_fails_and_the_cluster_believes_in_it_longer():
    lab = Lab(uncut())

    lab.at(150, lambda: lab.cluster.power("n0", False)).run(160)

    assert lab.ready("web", "n0") == []
    assert [pod.name for pod in lab.cluster.believed("web")] == ["web-0"]


def test_a_certificate_that_expires_takes_an_agents_contact_away():
    spec = cloud((node("n0"), node("n1")), AGENT, certificate_age_us=365 * DAY_US - 300_000_000)
    lab = Lab(spec)
    lab.at(200, lambda: lab.cluster.process("n1", False))
    lab.at(201, lambda: lab.cluster.process("n1", True)).run(400)

    assert lab.names("certificate expired") == ["node/n0"]
    assert lab.first("certificate expired") == 300
    assert lab.cluster.node_ready("n0") == "Unknown"
    assert lab.cluster.node_ready("n1") == "True"


# Three servers on the site


def test_a_cut_of_the_uplink_changes_nothing_for_three_servers_on_one_site():
    lab = Lab(three(WEB, AGENT))

    lab.cut(100, "s0", "s1", "s2", until_s=4000).run(4100)

    assert not lab.story
    assert not lab.told


def test_a_cut_of_the_uplink_parts_servers_that_are_spread_over_sites():
    nodes = tuple(node(f"s{i}", site=f"shop{i}", server=True) for i in range(3))
    spec = ClusterSpec(name="shops", control_plane="local-ha", nodes=nodes, workloads=(AGENT,))

    lab = Lab(spec).cut(100, "s2").run(200)

    assert lab.cluster.node_ready("s2") == "Unknown"


def test_the_majority_evicts_the_pods_of_a_lost_member():
    lab = Lab(three(workload("Deployment", "web", replicas=3)))
    lost = {at: pod for pod, at in lab.cluster.running("web")}["s2"]

    lab.cut(100, "s2", lan=True).run(600)

    assert 335 < lab.first("deletion") - 100 < 355
    assert lost not in lab.cluster.believed("web")
    assert len(lab.cluster.believed("web")) == 3


def test_without_a_quorum_nothing_is_decided_and_pods_run_on():
    lab = Lab(three(workload("Deployment", "web", replicas=3)))

    lab.cut(100, "s1", "s2", lan=True).run(1000)

    assert not lab.times("Ready=Unknown")
    assert not lab.times("deletion")
    assert len(lab.ready("web", "shop")) == 3


def test_a_quorum_that_returns_gives_everyone_a_new_grace():
    lab = Lab(three(workload("Deployment", "web", replicas=3)))
    lab.cut(100, "s1", "s2", lan=True)

    lab.at(1000, lambda: lab.cluster.link("s1", True, lan=True)).run(1500)

    assert 39 < lab.first("Ready=Unknown", "node/s2") - 1000 < 52
    assert not [t for t in lab.times("Ready=Unknown") if t < 1039]


def test_a_lost_leader_is_replaced_before_nodes_are_judged_again():
    lab = Lab(three(workload("Deployment", "web", replicas=3)))

    lab.cut(100, "s0", lan=True).run(600)

    # The new leader's controllers begin after the old lease, and every grace begins with them.
    assert 54 < lab.first("Ready=Unknown", "node/s0") - 100 < 66


def test_servers_that_boot_wait_for_a_quorum():
    lab = Lab(three(workload("Deployment", "web", replicas=3)))
    for name in ("s0", "s1", "s2"):
        lab.at(100, lambda name=name: lab.cluster.power(name, False))
    lab.at(200, lambda: lab.cluster.power("s0", True)).run(400)
    assert not lab.cluster.running("web")

    lab.at(401, lambda: lab.cluster.power("s1", True)).run(520)

    assert len(lab.cluster.running("web")) == 2
