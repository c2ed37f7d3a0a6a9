"""A node on its own: restarts, pulls, probes, starts (facts/k3s.md, 2; facts/kubelet.md)."""

import itertools

import pytest

from cluster_lab import Lab, cloud, node, workload
from edgetwin.kubernetes import Container, Probe, RuntimeClass
from edgetwin.units import SECOND_US
from edgetwin.versions import defaults

TWO = (node("n0"), node("n1"))
CUT_S = 100.0


def lone_pod(lab: Lab, name: str = "web") -> None:
    """Assert that there is one Pod of *name*, and that it is on n0."""
    assert [at for _, at in lab.cluster.running(name)] == ["n0"]


def on_n0(*, image: str = "app:1", **more: object) -> Lab:
    """Return a lab with one Pod ``web-0`` on n0."""
    return Lab(cloud(TWO, workload("Deployment", "web", on="n0", image=image, **more)))


def kill(lab: Lab, name: str = "web") -> None:
    lab.cluster.kill(lab.cluster.running(name)[0][0], "crashed")


def gaps(lab: Lab, kills: int, lives_s: float = 1.0) -> list[float]:
    """Kill the Pod *kills* times, each *lives_s* after its start; return the waits to the start."""
    found = []
    for _ in range(kills):
        at_s = lab.now_s + lives_s
        lab.at(at_s, lambda: kill(lab)).run(at_s + 0.01)
        started = len(lab.times("started"))
        while len(lab.times("started")) == started:
            lab.run(lab.now_s + 1)
        found.append(lab.times("started")[-1] - at_s)
    return found


BACKOFF = [(0.4, 1.3), (10.8, 22.1), (20.8, 32.1), (40.8, 52.1), (80.8, 92.1), (160.8, 172.1),
           (300.8, 312.1), (300.8, 312.1)]  # fmt: skip


@pytest.mark.parametrize("cut", [False, True])
def test_a_crashing_container_waits_10_s_doubling_to_300_s_cut_or_not(cut):
    lab = on_n0()
    if cut:
        lab.cut(CUT_S, "n0")
    lab.run(CUT_S + 1)

    waits = gaps(lab, len(BACKOFF))

    assert all(low <= wait <= high for wait, (low, high) in zip(waits, BACKOFF, strict=True)), waits


@pytest.mark.parametrize(("lives_s", "waits"), [(590, True), (610, False)])
def test_the_back_off_is_forgotten_after_ten_minutes(lives_s, waits):
    lab = on_n0().run(10)
    gaps(lab, 2)

    wait_s = gaps(lab, 1, lives_s)[0]

    assert (wait_s > 2) is waits


def test_a_liveness_restart_waits_only_if_the_container_lived_shorter_than_its_back_off():
    probe = Probe(period_us=5 * SECOND_US)
    container = Container(name="app", image="app:1", liveness=probe)
    lab = on_n0(containers=(container,)).run(10)
    pod = lab.cluster.running("web")[0][0]

    lab.cut(50, "n0")
    lab.at(CUT_S, lambda: lab.cluster.probe(pod, "liveness", failing=True)).run(CUT_S + 1800)

    killed, started = lab.times("exited"), lab.times("started")
    waits = [back - gone for gone, back in zip(killed, started, strict=False)]
    # Measured: 0.3, 0.3, 0.1, 25.8, 0.1, 80.7, 165.6, 307.7, 0.2, 306.7, 0.2 (kubelet.md, 6).
    measured = [0, 0, 0, 20, 0, 80, 160, 300, 0, 300, 0]
    assert 10 < killed[0] - CUT_S < 16.1
    assert len(waits) >= len(measured)
    for wait, back_off in zip(waits, measured, strict=False):
        assert back_off + 0.8 <= wait <= back_off + 12.1 if back_off else wait < 1.4, waits


@pytest.mark.parametrize("policy", ["Never", "OnFailure", "Always"])
def test_a_container_that_ends_is_started_again_unless_its_policy_is_never(policy):
    lab = on_n0(restart_policy=policy).cut(50, "n0").run(CUT_S)

    kill(lab)
    lab.run(CUT_S + 30)

    assert bool(lab.cluster.running("web")) is (policy != "Never")


def test_a_container_with_policy_always_does_not_start_while_the_registry_is_away():
    lab = on_n0(image="app:latest").cut(50, "n0", until_s=2000)
    lab.at(50, lambda: lab.cluster.registry("n0", False))
    lab.at(CUT_S, lambda: kill(lab)).run(1999)

    assert not lab.cluster.running("web")
    assert len(lab.times("ImagePullBackOff")) > 4

    lab.at(2000, lambda: lab.cluster.registry("n0", True)).run(2400)
    started_s = lab.first("started")

    # It comes back only when its pull back-off has passed: 34 and 123 s were seen, 300 s at most.
    assert 0 < started_s - 2000 < 313
    lone_pod(lab)


def test_the_waits_between_pulls_double_and_each_takes_its_time_out():
    lab = on_n0(image="app:latest")
    lab.at(50, lambda: lab.cluster.registry("n0", False))
    lab.at(CUT_S, lambda: kill(lab)).run(1200)

    ends = [each - CUT_S for each in lab.times("ImagePullBackOff")]
    # Attempts ended 45, 88, 140, 211, 350, 541 and 882 s after the cut (kubelet.md, 3).
    steps = [b - a for a, b in itertools.pairwise(ends)]

    assert 30 <= ends[0] <= 32
    for step, wait in zip(steps, (10, 20, 40, 80, 160, 300), strict=False):
        assert 30.8 + wait <= step <= 42.2 + wait


def test_a_container_whose_image_is_there_starts_while_the_registry_is_away():
    lab = on_n0(image="app:1.2").cut(50, "n0")
    lab.at(50, lambda: lab.cluster.registry("n0", False))

    lab.at(CUT_S, lambda: kill(lab)).run(CUT_S + 2)

    lone_pod(lab)


def test_a_refused_pull_fails_at_once():
    lab = on_n0(image="app:latest")
    lab.at(50, lambda: lab.cluster.registry("n0", False, silent=False))

    lab.at(CUT_S, lambda: kill(lab)).run(CUT_S + 5)

    assert lab.first("ImagePullBackOff") - CUT_S < 1.5


def test_pulls_of_one_site_share_its_bandwidth():
    nodes = (node("n0", site="shop"), node("n1", site="shop"))
    apps = (
        workload("Deployment", "a", on="n0", image="a:1"),
        workload("Deployment", "b", on="n1", image="b:1"),
    )
    spec = cloud(
        nodes,
        *apps,
        cold=True,
        image_bytes=(("a:1", 10_000_000), ("b:1", 20_000_000)),
        registry_bits_per_s=8_000_000,
    )

    lab = Lab(spec).run(60)

    pulled = {name: t for t, name, what, _ in lab.story if what == "image pulled"}
    # One MB/s: 20 s for both halves of the first 10 MB, then 10 s alone; unpacking 0.1 and 0.2 s.
    assert abs(pulled["node/n0"] - 20.3) < 0.3
    assert abs(pulled["node/n1"] - 30.4) < 0.3


def test_a_pull_that_a_power_loss_broke_off_begins_again():
    spec = cloud(
        TWO,
        workload("Deployment", "web", on="n0"),
        cold=True,
        image_bytes=(("app:1", 30_000_000),),
        registry_bits_per_s=8_000_000,
        kubernetes=defaults("1.30", boot_us=SECOND_US),
    )
    lab = Lab(spec)
    lab.at(20, lambda: lab.cluster.power("n0", False))

    lab.at(21, lambda: lab.cluster.power("n0", True)).run(100)

    # 30 s for the whole image, counted from the second boot.
    assert lab.first("image pulled") > 21 + 1 + 30
    assert lab.first("started") >= lab.first("image pulled")
    lone_pod(lab)


def test_an_agent_process_that_stops_leaves_its_containers_unmanaged():
    lab = on_n0().cut(50, "n0", until_s=400)

    lab.at(60, lambda: lab.cluster.process("n0", False))
    lab.at(70, lambda: lab.cluster.process("n0", True)).run(CUT_S)
    lone_pod(lab)
    kill(lab)
    lab.run(399)

    assert not lab.cluster.running("web")

    lab.run(460)

    assert len(lab.cluster.running("web")) == 1


PLAIN = defaults("1.30", agent_waits_for_server=False, agent_start_us=0, boot_us=0)
"""A kubelet as measured, which does not wait for its server."""


def test_a_plain_kubelet_that_boots_while_cut_starts_its_static_pods_only():
    pods = (
        workload("Deployment", "web", on="n0"),
        workload("StaticPod", "bare", node_names=("n0",)),
        workload("StaticPod", "volume", node_names=("n0",), host_paths=True),
    )
    lab = Lab(cloud(TWO, *pods, kubernetes=PLAIN)).cut(50, "n0", until_s=400)

    lab.at(CUT_S, lambda: lab.cluster.power("n0", False))
    lab.at(110, lambda: lab.cluster.power("n0", True)).run(399)

    assert not lab.cluster.running("web")
    assert lab.first("started", "pod/bare") - 110 < 2
    assert 60 < lab.first("started", "pod/volume") - 110 < 63

    lab.run(460)

    assert len(lab.cluster.running("web")) == 1


def test_api_pods_of_a_plain_kubelet_that_booted_while_cut_start_soon_or_a_tick_later():
    waits = []
    for seed in range(40):
        spec = cloud(TWO, workload("Deployment", "web", on="n0"), kubernetes=PLAIN)
        lab = Lab(spec, seed).cut(50, "n0", until_s=400)
        lab.at(CUT_S, lambda lab=lab: lab.cluster.power("n0", False))
        lab.at(110, lambda lab=lab: lab.cluster.power("n0", True)).run(480)
        waits.append(lab.first("started") - 400)

    late = [each for each in waits if each > 10]
    assert min(waits) < 2
    assert 3 < len(late) < 37


def test_a_liveness_probe_kills_a_cut_off_container_and_it_starts_again():
    probe = Probe(period_us=5 * SECOND_US)
    lab = on_n0(containers=(Container(name="app", image="app:1", liveness=probe),))
    lab.cut(50, "n0").run(CUT_S)
    pod = lab.cluster.running("web")[0][0]

    lab.cluster.probe(pod, "liveness", failing=True)
    lab.run(CUT_S + 17)

    # Measured 10.6 to 12.0 s after the failing began, with three probes 5 s apart.
    assert 10 < lab.first("exited") - CUT_S < 16.1
    assert lab.first("started") - lab.first("exited") < 1.4


def test_a_failed_readiness_probe_takes_the_pod_out_and_a_passed_one_back():
    probe = Probe(period_us=5 * SECOND_US)
    lab = on_n0(containers=(Container(name="app", image="app:1", readiness=probe),))
    lab.cut(50, "n0").run(CUT_S)
    pod = lab.cluster.running("web")[0][0]

    lab.cluster.probe(pod, "readiness", failing=True)
    lab.run(CUT_S + 16)
    assert lab.ready("web", "n0") == []
    lab.cluster.probe(pod, "readiness", failing=False)
    lab.run(CUT_S + 22)

    assert lab.ready("web", "n0") == ["web-0"]
    assert not lab.times("exited")


def test_a_probe_of_an_unmanaged_container_is_not_acted_on():
    probe = Probe(period_us=5 * SECOND_US)
    lab = on_n0(containers=(Container(name="app", image="app:1", liveness=probe),))
    lab.cut(50, "n0")
    lab.at(60, lambda: lab.cluster.process("n0", False))
    lab.at(70, lambda: lab.cluster.process("n0", True)).run(CUT_S)

    lab.cluster.probe(lab.cluster.running("web")[0][0], "liveness", failing=True)
    lab.run(CUT_S + 120)

    assert not lab.times("exited")


@pytest.mark.parametrize(("handlers", "runs"), [((), False), (("wasmedge",), True)])
def test_a_pod_whose_handler_the_node_lacks_fails(handlers, runs):
    nodes = (node("n0", handlers=handlers, handlers_known=True),)
    app = workload("Pod", "web", runtime_class="wasmedge")
    spec = cloud(
        nodes, app, cold=True, runtime_classes=(RuntimeClass(name="wasmedge", handler="wasmedge"),)
    )

    lab = Lab(spec).run(100)

    assert bool(lab.cluster.running("web")) is runs
    assert bool(lab.times("failed")) is not runs


def test_the_runtime_class_of_the_seed_does_not_exist_in_k3s():
    lab = Lab(cloud(TWO, workload("Pod", "web", runtime_class="wasm"), cold=True)).run(100)

    assert [detail for _, _, what, detail in lab.story if what == "failed"] == [
        'RuntimeClass "wasm" not found'
    ]


def disk_full_of_images(old: bool) -> Lab:
    """Return a lab whose one node has an image of 1 GB in use and, if asked, one that is not."""
    small = node("n0", disk_bytes=10_000_000_000)
    apps = [workload("Deployment", "web", image="app:1")]
    if old:
        apps.append(workload("Pod", "once", image="old:1"))
    sizes = (("app:1", 400_000_000), ("old:1", 400_000_000))
    lab = Lab(cloud((small,), *apps, image_bytes=sizes)).run(10)
    if old:
        lab.cluster.delete(lab.cluster.believed("once")[0])
    return lab.run(200)


def test_an_image_that_nobody_uses_is_collected_when_the_disk_is_above_its_mark():
    lab = disk_full_of_images(old=True)

    lab.cluster.disk("n0", 6_600_000_000)
    lab.run(520)

    assert [detail for _, _, what, detail in lab.story if what == "image collected"] == ["old:1"]
    assert lab.cluster.free_bytes("n0") == 2_400_000_000


def test_an_image_in_use_stays_whatever_the_disk_says():
    lab = disk_full_of_images(old=False)

    lab.cluster.disk("n0", 8_000_000_000)
    lab.run(1200)

    assert not lab.times("image collected")


def test_a_pod_evicted_while_cut_is_replaced_only_after_the_heal():
    small = (node("n0", disk_bytes=10_000_000_000), node("n1"))
    lab = Lab(cloud(small, workload("Deployment", "web"), at={"web": ("n0",)}))
    lab.cut(50, "n0", until_s=300).at(100, lambda: lab.cluster.disk("n0", 9_800_000_000))
    lab.run(299)

    assert lab.times("Evicted")
    assert not lab.times("created")

    lab.run(420)

    assert lab.names("created") == ["pod/web-1"]
    assert [at for _, at in lab.cluster.running("web")] == ["n1"]


def test_below_five_percent_of_free_disk_pods_are_evicted_and_their_node_is_tainted():
    small = (node("n0", disk_bytes=10_000_000_000), node("n1"))
    lab = Lab(cloud(small, workload("Deployment", "web", on="n0"))).run(10)

    lab.at(20, lambda: lab.cluster.disk("n0", 9_600_000_000)).run(60)

    assert lab.first("DiskPressure=True") - 20 < 10.1
    assert lab.times("Evicted")
    assert not lab.ready("web", "n0")
    assert "disk-pressure" in lab.cluster.pending()[0][1]

    lab.at(70, lambda: lab.cluster.disk("n0", 1_000_000_000)).run(800)

    assert lab.first("DiskPressure=False") - 20 > 300
    assert len(lab.cluster.believed("web")) == 1


@pytest.mark.parametrize(("grace_s", "app_s", "takes_s"), [(30, 3600, 30), (30, 5, 5), (0, 5, 0)])
def test_a_pod_stops_when_told_and_at_the_latest_when_its_grace_is_over(grace_s, app_s, takes_s):
    times = defaults("1.30", pod_stop_us=app_s * SECOND_US)
    web = workload("Deployment", "web", on="n0", termination_grace_us=grace_s * SECOND_US)
    lab = Lab(cloud(TWO, web, kubernetes=times)).run(10)

    lab.cluster.delete(lab.cluster.believed("web")[0])
    lab.run(60)

    assert lab.first("stopped") - lab.first("deletion") == pytest.approx(takes_s, abs=0.1)


def test_a_startup_probe_gives_a_container_time_before_liveness_counts():
    container = Container(
        name="app",
        image="app:1",
        liveness=Probe(period_us=5 * SECOND_US),
        startup=Probe(period_us=10 * SECOND_US, failure_threshold=30),
    )
    lab = on_n0(containers=(container,)).run(10)

    lab.cluster.probe(lab.cluster.running("web")[0][0], "liveness", failing=True)
    lab.run(400)

    killed, started = lab.times("exited"), lab.times("started")
    assert killed[0] - 10 < 16.1
    assert 290 < killed[1] - started[0] < 301.1
