"""What faults do to a link, what goes down together, and how late a node notices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.links import (
    Fault,
    Link,
    answered_after_us,
    distance_km,
    fibre_latency_us,
    hit,
    network,
    noticed_after_us,
    partition,
    way,
)  # fmt: skip

LINK = Link("l", "a", "b", 1_000, 10_000_000, 0.01, 1, ("duct",))


def test_a_one_way_cut_stops_one_direction_only():
    cut = Fault("l", towards="b")

    assert way(LINK, "b", [cut]) is None
    assert way(LINK, "a", [cut]) == way(LINK, "a", [])


def test_degradations_add_up_and_are_not_a_cut():
    slow = Fault("l", cut=False, latency_us=500, bandwidth_share=0.5, loss_share=0.2)

    found = way(LINK, "a", [slow, slow])

    assert found is not None
    assert (found.latency_us, found.bandwidth_bps) == (2_000, 2_500_000)
    assert found.loss_share == pytest.approx(1 - 0.99 * 0.8 * 0.8)


@given(st.permutations([Fault("l", cut=False, latency_us=k, loss_share=k / 10) for k in range(4)]))
def test_the_order_of_faults_does_not_matter(faults):
    assert way(LINK, "a", faults) == way(LINK, "a", sorted(faults))


def test_a_target_is_a_link_a_node_or_a_risk_group():
    net = network([LINK, Link("m", "b", "c", 5, risk_groups=("duct",)), Link("n", "c", "d", 5)])

    assert hit(net, "n") == ("n",)
    assert hit(net, "b") == ("l", "m")
    assert hit(net, "duct") == ("l", "m")
    with pytest.raises(KeyError, match="'x'"):
        hit(net, "x")


def test_nodes_inside_a_site_can_be_parted():
    pairs = [("n1", "n2"), ("n1", "n3"), ("n2", "n3"), ("n3", "gateway")]
    net = network([Link(f"{a}-{b}", a, b, 100) for a, b in pairs])

    cuts = partition(net, [["n1", "n2"], ["n3"]])

    assert cuts == (Fault("n1-n3"), Fault("n2-n3"))


@pytest.mark.parametrize(
    "wrong",
    [{"b": "a"}, {"latency_us": 0}, {"loss_share": 1.0}, {"priority": 0}],
)
def test_a_link_that_can_be_none_is_refused(wrong):
    with pytest.raises(ValueError):
        Link(**{"name": "l", "a": "a", "b": "b", "latency_us": 1, **wrong})


def test_two_links_of_one_name_or_a_loose_end_are_refused():
    from edgetwin.links import Network

    with pytest.raises(ValueError, match="one name"):
        network([LINK, LINK])
    with pytest.raises(ValueError, match="no node"):
        Network(("a",), (LINK,))


def test_latency_is_that_of_cable_along_the_great_circle():
    new_york, london = (40.71, -74.01), (51.51, -0.13)

    km = distance_km(new_york, london)

    assert km == pytest.approx(5_570, abs=15)
    assert fibre_latency_us(km, detour=1.0) == pytest.approx(27_300, abs=100)
    assert fibre_latency_us(0) == 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_dropped_link_is_noticed_after_forty_seconds_and_a_refused_one_at_once(one, other):
    assert 37_000_000 <= noticed_after_us("dropped", one) <= 44_900_000
    assert noticed_after_us("refused", one) == 0
    if one <= other:
        assert noticed_after_us("dropped", one) <= noticed_after_us("dropped", other)


def test_a_silent_cut_that_was_not_noticed_costs_more_at_its_heal():
    short = answered_after_us("dropped", 30_000_000, notice_draw=0.5, answer_draw=0.5)
    long = answered_after_us("dropped", 60_000_000, notice_draw=0.5, answer_draw=0.5)

    assert (short, long) == (7_700_000, 300_000)
    assert answered_after_us("refused", 1, notice_draw=0.5, answer_draw=0.5) == 2_200_000
