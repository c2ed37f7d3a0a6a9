"""What a long cut and the heal do to each kind of workload (facts/k3s.md, 1.4 and 1.5)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster_lab import START_US, Lab, cloud, node, tolerating, workload
from edgetwin.kubernetes import LOCAL_PATH, Claim

CUT_S, HEAL_S = 100.0, 500.0
THREE = (node("n0"), node("n1"), node("n2"))


def cut_n0(lab: Lab, *, heal_s: float = HEAL_S, run_s: float = 640.0) -> Lab:
    return lab.cut(CUT_S, "n0", until_s=heal_s).run(run_s)


def copies(lab: Lab, name: str) -> list[str]:
    """Return the nodes on which *name* truly runs."""
    return [at for _, at in lab.cluster.running(name)]


def test_a_deployment_that_fits_elsewhere_runs_twice_until_the_heal():
    lab = Lab(cloud(THREE, workload("Deployment", "web"), at={"web": ("n0",)}))
    lab.cut(CUT_S, "n0", until_s=HEAL_S).run(HEAL_S - 1)

    assert len(copies(lab, "web")) == 2
    assert "n0" in copies(lab, "web")
    assert 0.005 < lab.first("created") - lab.first("deletion") < 0.12

    lab.run(HEAL_S + 140)

    assert len(copies(lab, "web")) == 1
    assert "n0" not in copies(lab, "web")


def test_a_pinned_replacement_waits_and_the_heal_itself_makes_a_gap():
    lab = Lab(cloud(THREE, workload("Deployment", "web", on="n0"), at={"web": ("n0",)}))
    lab.cut(CUT_S, "n0", until_s=HEAL_S).run(HEAL_S - 1)

    assert lab.ready("web", "n0") == ["web-0"]
    assert [reason for _, reason in lab.cluster.pending()] == [
        "0/3 nodes are available: 1 node(s) had untolerated taint "
        "{node.kubernetes.io/unreachable: }, "
        "2 node(s) didn't match Pod's node affinity/selector."
    ]

    lab.run(HEAL_S + 140)
    answers = [t for t, site, _ in lab.told if site == "n0" and t > CUT_S]

    assert lab.ready("web", "n0") == ["web-1"]
    # From the heal on the site had no endpoint at least once: the old one went, the new one came.
    assert len(answers) >= 2
    assert lab.first("stopped") > HEAL_S


def test_a_stateful_set_has_no_second_copy_and_is_recreated_in_order_after_the_heal():
    lab = Lab(cloud(THREE, workload("StatefulSet", "db", replicas=2), at={"db": ("n0", "n0")}))
    lab.cut(CUT_S, "n0", until_s=HEAL_S).run(HEAL_S - 1)

    assert lab.names("deletion") == ["pod/db-0", "pod/db-1"] or lab.names("deletion") == [
        "pod/db-1",
        "pod/db-0",
    ]
    assert not lab.times("created")
    assert copies(lab, "db") == ["n0", "n0"]

    lab.run(HEAL_S + 140)

    assert lab.names("created") == ["pod/db-0", "pod/db-1"]
    first_ready = next(t for t in lab.times("Ready=True", "pod/db-0") if t > HEAL_S)
    assert lab.first("created", "pod/db-1") > first_ready


def test_a_daemon_set_pod_is_never_evicted_and_not_restarted():
    lab = Lab(cloud(THREE, workload("DaemonSet", "agent")))

    cut_n0(lab, heal_s=4000, run_s=4200)

    assert not lab.times("deletion")
    assert not lab.times("started")
    assert lab.ready("agent", "n0") == ["agent-n0"]


def test_a_bare_pod_is_deleted_and_never_recreated():
    lab = Lab(cloud(THREE, workload("Pod", "alone"), at={"alone": ("n0",)}))

    cut_n0(lab)

    assert lab.names("deletion") == ["pod/alone"]
    assert lab.names("gone") == ["pod/alone"]
    assert not lab.cluster.running("alone")
    assert not lab.times("created")


def test_a_static_pod_is_not_evicted():
    lab = Lab(cloud(THREE, workload("StaticPod", "proxy", node_names=("n0",))))

    cut_n0(lab, heal_s=4000, run_s=4200)

    assert not lab.times("deletion")
    assert copies(lab, "proxy") == ["n0"]


def test_a_quorum_is_lost_after_the_cut_when_all_deletions_are_carried_out_together():
    members = workload("StatefulSet", "etcd", replicas=3, pod_management="Parallel")
    zoned = tuple(node(f"n{i}", zone=f"z{i}") for i in range(3))
    lab = Lab(cloud((*zoned, node("cloud", zone="c")), members, at={"etcd": ("n0", "n1", "n2")}))

    lab.cut(CUT_S, "n0", "n1", "n2", until_s=HEAL_S).run(HEAL_S - 1)
    running = len(lab.cluster.running("etcd"))
    fewest = running
    for second in range(int(HEAL_S), int(HEAL_S) + 60):
        lab.run(second + 0.5)
        fewest = min(fewest, len(lab.cluster.running("etcd")))

    assert running == 3
    assert fewest < 2


def test_a_forced_deletion_frees_the_name_while_the_old_copy_lives():
    lab = Lab(cloud(THREE, workload("StatefulSet", "db"), at={"db": ("n0",)}))
    lab.cut(CUT_S, "n0", until_s=HEAL_S).run(450)
    old = lab.cluster.running("db")[0][0]

    lab.at(460, lambda: lab.cluster.force_delete(old)).run(HEAL_S - 1)
    split_brain = lab.cluster.running("db")
    lab.run(HEAL_S + 140)

    assert [pod.name for pod, _ in split_brain] == ["db-0", "db-0"]
    assert len({pod for pod, _ in split_brain}) == 2
    assert len(lab.cluster.running("db")) == 1
    assert old not in dict(lab.cluster.running("db"))


def test_a_local_path_volume_pins_its_pod_to_its_node_for_ever():
    keeper = workload("Deployment", "store", claim_names=("data",))
    lab = Lab(
        cloud(
            THREE,
            keeper,
            at={"store": ("n0",)},
            claims=(Claim(name="data", storage_class=LOCAL_PATH),),
        )
    )

    lab.cut(CUT_S, "n0").run(HEAL_S)

    assert [reason for _, reason in lab.cluster.pending()] == [
        "0/3 nodes are available: 1 node(s) had untolerated taint "
        "{node.kubernetes.io/unreachable: }, 2 node(s) had volume node affinity conflict."
    ]


def test_while_cut_the_site_keeps_its_own_pod_that_the_cluster_no_longer_lists():
    lab = Lab(cloud(THREE, workload("DaemonSet", "web")))

    lab.cut(CUT_S, "n0").run(CUT_S + 200)

    assert lab.ready("web", "n0") == ["web-n0"]
    assert not lab.cluster.believed("web", "n0")
    assert not [t for t, site, _ in lab.told if site == "n0"]


def test_after_the_heal_the_endpoint_is_lost_before_it_comes_back():
    lost_s = []
    for seed in range(20):
        lab = Lab(cloud(THREE, workload("DaemonSet", "web")), seed)
        cut_n0(lab)
        told = [t for t, site, _ in lab.told if site == "n0"]
        assert lab.ready("web", "n0") == ["web-n0"]
        if told:
            lost_s.append(told[-1] - told[0])

    # The proxy learns that the Pod is not listed before the Pod is listed again, in most heals.
    assert len(lost_s) >= 10
    assert max(lost_s) < 60


def test_a_replacement_answers_where_it_runs_once_it_is_listed_there():
    lab = Lab(cloud(THREE, workload("Deployment", "web"), at={"web": ("n0",)}))

    lab.cut(CUT_S, "n0", until_s=HEAL_S).run(HEAL_S - 1)

    created_s = lab.first("created")
    listed = [(t, site) for t, site, _ in lab.told if t > created_s]
    assert len(listed) == 1
    assert listed[0][0] - created_s > START_US / 1e6
    assert lab.ready("web", listed[0][1]) == ["web-1"]


def test_the_same_seed_tells_the_same_story():
    spec = cloud(THREE, workload("Deployment", "web", replicas=5), workload("DaemonSet", "agent"))

    stories = [cut_n0(Lab(spec, seed)).story for seed in (3, 3, 4)]

    assert stories[0] == stories[1]
    assert stories[0] != stories[2]


@pytest.mark.parametrize("toleration_s", [30, 900])
def test_a_pod_bears_the_taint_as_long_as_it_says(toleration_s):
    patient = workload("Deployment", "web", tolerations=tolerating(toleration_s))
    lab = Lab(cloud(THREE, patient, at={"web": ("n0",)}))

    lab.cut(CUT_S, "n0").run(1200)

    tainted_s = lab.first("+taint unreachable:NoExecute")
    assert 0 < lab.first("deletion") - tainted_s - toleration_s < 0.2


def test_a_replacement_deleted_by_a_user_is_made_anew():
    lab = Lab(cloud(THREE, workload("Deployment", "web", replicas=2)))
    pod = lab.cluster.believed("web")[0]

    lab.at(10, lambda: lab.cluster.delete(pod)).run(60)

    assert pod not in lab.cluster.believed("web")
    assert len(lab.cluster.believed("web")) == 2


def test_two_interpreters_with_different_hash_seeds_tell_the_same_story():
    program = (
        "from test_cluster_workloads import THREE, cut_n0\n"
        "from cluster_lab import Lab, cloud, workload\n"
        "spec = cloud(THREE, workload('Deployment', 'web', replicas=5),\n"
        "    workload('Pod', 'a'))\n"
        "print(cut_n0(Lab(spec)).story)\n"
    )

    stories = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert stories[0] == stories[1]
    assert b"deletion" in stories[0]
