"""A fleet of agents of one cloud server, cut at once (facts/k3s.md, 1.2a): README's numbers."""

import pytest

from cluster_lab import Lab, cloud, node, workload
from edgetwin.versions import defaults

SITES, PODS = 1000, 5
CUT_S = 100.0


def cut_fleet(cut_s: float, run_s: float, version: str = "1.30") -> Lab:
    """Return the story of a thousand sites of five Pods each, all cut at one instant."""
    sites = [f"n{place:03d}" for place in range(SITES)]
    nodes = tuple(node(site, zone=site) for site in sites)
    pods = tuple(
        workload("Deployment", f"app{each}-{site}", on=site)
        for site in sites
        for each in range(PODS)
    )
    spec = cloud((*nodes, node("cloud", zone="cloud", server=True)), *pods,
                 kubernetes=defaults(version))  # fmt: skip
    return Lab(spec).cut(CUT_S, *sites, until_s=CUT_S + cut_s).run(CUT_S + run_s)


def test_after_an_hours_cut_the_belief_lags_by_minutes_and_then_all_returns():
    lab = cut_fleet(3600, 3600 + 1800)

    last_endpoint_s = max(t for t in lab.times("Ready=False", "pod/")) - CUT_S
    last_deletion_s = lab.times("deletion")[-1] - CUT_S

    # Six thousand writes of the pass alone take five minutes at 20 a second; taints and events
    # share the limit. Their deletions, three calls each, take twelve and a half minutes more.
    assert 420 < last_endpoint_s < 530
    assert len(lab.times("deletion")) == SITES * PODS
    assert 1400 < last_deletion_s < 1650
    assert all(
        len(lab.ready(f"app{each}-n{place:03d}", f"n{place:03d}")) == 1
        for place in range(SITES)
        for each in range(PODS)
    )


@pytest.mark.parametrize(
    ("cut_s", "noticed"), [(60, (40, 130)), (120, (150, 300)), (400, (780, 930))]
)
def test_a_cut_shorter_than_the_pass_is_never_noticed_for_part_of_the_fleet(cut_s, noticed):
    lab = cut_fleet(cut_s, cut_s + 60)

    sites = set(lab.names("Ready=Unknown"))

    assert noticed[0] < len(sites) < noticed[1]
    # Up to 1.33 nobody is tainted before the pass that called a node Unknown has ended.
    assert not lab.times("deletion")
