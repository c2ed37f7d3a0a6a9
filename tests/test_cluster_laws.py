"""Laws that hold after any storm: once everything is healed, all that was asked for runs, once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_lab import Lab, workload
from edgetwin.engine.cluster import ClusterSpec
from edgetwin.kubernetes import ZONE, Container, Node, Probe, Workload, pairs
from edgetwin.versions import defaults

NAMES = ("n0", "n1", "n2")
PROBED = Container(
    name="app", image="app:1", liveness=Probe(period_us=5_000_000), readiness=Probe()
)
WORKLOADS: tuple[Workload, ...] = (
    workload("Deployment", "web", replicas=3, containers=(PROBED,)),
    workload("Deployment", "pinned", on="n0"),
    workload("Deployment", "latest", image="app:latest", replicas=2),
    workload("StatefulSet", "db", replicas=2),
    workload("DaemonSet", "log"),
    workload("StaticPod", "proxy", node_names=("n0", "n1")),
)
WANTED = {"web": 3, "pinned": 1, "latest": 2, "db": 2, "log": 3, "proxy": 2}

faults = st.one_of(
    st.tuples(st.just("cut"), st.sampled_from(NAMES), st.integers(1, 900)),
    st.tuples(st.just("refused"), st.sampled_from(NAMES), st.integers(1, 900)),
    st.tuples(st.just("power"), st.sampled_from(NAMES), st.integers(1, 600)),
    st.tuples(st.just("process"), st.sampled_from(NAMES), st.integers(1, 300)),
    st.tuples(st.just("registry"), st.sampled_from(NAMES), st.integers(1, 900)),
    st.tuples(st.just("disk"), st.sampled_from(NAMES), st.integers(1, 300)),
    st.tuples(st.just("server"), st.just(""), st.integers(1, 600)),
    st.tuples(st.just("kill"), st.sampled_from(list(WANTED)), st.integers(0, 3)),
    st.tuples(st.just("unhealthy"), st.just("web"), st.integers(1, 300)),
    st.tuples(st.just("delete"), st.sampled_from(list(WANTED)), st.integers(0, 3)),
    st.tuples(st.just("force"), st.sampled_from(["db", "web"]), st.integers(0, 3)),
)
storms = st.lists(st.tuples(st.integers(0, 1500), faults), max_size=8)


def spec(plane: str, version: str, *, zones: bool) -> ClusterSpec:
    nodes = tuple(
        Node(
            name=name,
            site="shop",
            labels=pairs({ZONE: name}) if zones else (),
            server=plane == "local-ha" or (plane == "local" and name == "n0"),
        )
        for name in NAMES
    )
    return ClusterSpec(
        name="lab",
        control_plane=plane,  # type: ignore[arg-type]
        nodes=nodes,
        workloads=WORKLOADS,
        kubernetes=defaults(version),
    )


def strike(lab: Lab, fault: tuple[str, str, int]) -> None:
    """Begin *fault* now, and have it end by itself."""
    what, whom, number = fault
    cluster, end_s = lab.cluster, lab.now_s + number
    if what in ("cut", "refused"):
        cluster.link(whom, False, silent=what == "cut", lan=True)
        lab.at(end_s, lambda: cluster.link(whom, True, lan=True))
    elif what == "power":
        cluster.power(whom, False)
        lab.at(end_s, lambda: cluster.power(whom, True))
    elif what == "process":
        cluster.process(whom, False)
        lab.at(end_s, lambda: cluster.process(whom, True))
    elif what == "registry":
        cluster.registry("shop", False)
        lab.at(end_s, lambda: cluster.registry("shop", True))
    elif what == "disk":
        cluster.disk(whom, 64 * 2**30)
        lab.at(end_s, lambda: cluster.disk(whom, 0))
    elif what == "server":
        cluster.server(False)
        lab.at(end_s, lambda: cluster.server(True))
    elif what == "kill" and (running := cluster.running(whom)):
        cluster.kill(running[number % len(running)][0], "crashed")
    elif what == "unhealthy" and (running := cluster.running(whom)):
        pod = running[0][0]
        cluster.probe(pod, "liveness", failing=True)
        lab.at(end_s, lambda: cluster.probe(pod, "liveness", failing=False))
    elif what in ("delete", "force") and (listed := cluster.believed(whom)):
        pod = listed[number % len(listed)]
        (cluster.delete if what == "delete" else cluster.force_delete)(pod)


def after_the_storm(plane: str, version: str, storm: list, *, zones: bool, seed: int) -> Lab:  # type: ignore[type-arg]
    lab = Lab(spec(plane, version, zones=zones), seed)
    for start_s, fault in storm:
        lab.at(10 + start_s, lambda fault=fault: strike(lab, fault))  # type: ignore[misc]
    lab.run(2600)
    for name in NAMES:
        lab.cluster.power(name, True)
        lab.cluster.process(name, True)
        lab.cluster.link(name, True, lan=True)
        lab.cluster.disk(name, 0)
    lab.cluster.registry("shop", True)
    lab.cluster.server(True)
    return lab.run(5000)


@pytest.mark.parametrize("plane", ["cloud", "local", "local-ha"])
@settings(max_examples=60, deadline=None)
@given(
    storm=storms,
    version=st.sampled_from(["1.30", "1.34", "1.37"]),
    zones=st.booleans(),
    seed=st.integers(0, 3),
)
def test_after_any_storm_everything_runs_once_and_is_believed_to(
    plane, storm, version, zones, seed
):
    lab = after_the_storm(plane, version, storm, zones=zones, seed=seed)

    cluster = lab.cluster
    for name, count in WANTED.items():
        running = dict(cluster.running(name))
        assert len(running) == count, (name, running, cluster.pending(), lab.story)
        assert set(cluster.ready(name, "shop")) == set(running), (name, lab.story)
        assert set(cluster.believed(name)) == set(running), (name, lab.story)
    assert not cluster.pending()
    assert all(cluster.node_ready(name) == "True" for name in NAMES)
    for each in cluster.state.nodes.values():
        assert not each.room.taints
        assert len(each.pods) == each.node.pods_max - each.room.pods_free
