"""Conflicts in a running scenario: found where both sides wrote, settled by the chosen strategy."""

from dataclasses import replace

import numpy as np
import pytest

import edgetwin
from edgetwin.engine.conflicts import STRATEGIES, Meetings, _next_meeting
from edgetwin.history import History
from edgetwin.inputs.scenario import load
from small_scenarios import request, scenario, site

POLICY = ["collections.prices.strategy=policy", "collections.prices.merge=merge"]


def played(folder: str, *settings: str) -> History:
    scenario = load(
        folder,
        settings=[
            "outages.duration=2d",
            "sites.store.count=6",
            "collections.prices.keys.count=20",
            "collections.prices.cloud_writes.every=10m",
            *settings,
        ],
        rule="rank",
    )
    history = edgetwin.simulate(scenario, seed=3)
    conflicts = history.tables["conflicts"]
    prices = history.text("conflicts", "collection") == "prices"
    only = {name: column[prices] for name, column in conflicts.items()}
    return replace(history, tables={**history.tables, "conflicts": only})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of smart-retail whose prices have values, so that a policy may merge them."""
    from edgetwin.inputs.shipped import copy

    folder = tmp_path_factory.mktemp("conflicts") / "shop"
    copy("smart-retail", folder)
    file = folder / "topology.yaml"
    text = file.read_text()
    text = text.replace(
        "    strategy: version-vector", "    strategy: version-vector\n    values: [0, 9]", 1
    )
    file.write_text(text)
    return str(folder)


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"policy"}))
def test_every_strategy_settles_the_same_conflicts_its_own_way(shop: str, strategy: str):
    history = played(shop, f"collections.prices.strategy={strategy}")

    winners = set(history.text("conflicts", "winner"))
    lost = int(history.column("conflicts", "lost_updates").sum())
    assert history.rows("conflicts") > 5
    keeps = {"version-vector", "mv-register", "g-counter", "pn-counter", "or-set"}
    if strategy in keeps:
        assert (winners, lost) == ({"both"}, 0)
    elif strategy == "cloud-wins":
        assert (winners, lost) == ({"cloud"}, 0), "what the hub rejects is a dead letter, not lost"
    elif strategy == "edge-wins":
        assert winners == {"edge"}
        assert lost >= history.rows("conflicts")
    else:
        assert winners == {"edge", "cloud"}
        assert lost >= history.rows("conflicts")


def test_the_real_merge_policy_decides_at_the_cloud(shop: str):
    history = played(shop, *POLICY)

    winners = set(history.text("conflicts", "winner"))
    assert winners == {"edge", "cloud"}
    assert set(history.text("conflicts", "strategy")) == {"policy"}


def test_conflicts_lie_within_one_stretch_without_a_meeting(shop: str):
    history = played(shop)

    apart = np.abs(
        history.column("conflicts", "edge_time_us") - history.column("conflicts", "cloud_time_us")
    )
    offline = history.column("spans", "end_us") - history.column("spans", "start_us")
    longest = int(offline[history.column("spans", "offline")].max(initial=0))
    assert apart.max() <= longest + 120_000_000


def test_a_write_meets_at_the_first_session_after_it():
    meetings = Meetings(phase_us=5, interval_us=10)
    meetings.one_by_one(25)
    meetings.sessions.append(47)
    meetings.steady(60)

    times = meetings.until(80)

    assert times.tolist() == [5, 15, 47, 65, 75]
    site, at = np.zeros(5, dtype=np.int32), np.array([0, 5, 16, 47, 75])
    first = np.array([0, times.size])
    assert _next_meeting(site, at, first, times).tolist() == [0, 1, 2, 3, 5]


def test_the_rarest_key_of_a_skewed_law_is_no_other_key(shop: str):
    history = played(shop, "collections.prices.keys.count=3", "collections.prices.keys.law=zipf")

    keys = history.column("conflicts", "key")
    after = history.column("conflicts", "time_us")
    assert set(keys.tolist()) == {0, 1, 2}
    assert (history.column("conflicts", "edge_time_us") <= after).all()
    assert (history.column("conflicts", "cloud_time_us") <= after).all()


def test_every_collection_that_both_sides_write_has_its_conflicts():
    keys = {"count": 30}
    shop = site({name: request(kind="write", collection=name) for name in ("prices", "sales")})
    collection = {"keys": keys, "cloud_writes": {"every": "1s"}}
    both = scenario({"shop": shop}, collections={"prices": collection, "sales": collection})

    history = edgetwin.simulate(both, seed=1)

    found = history.text("conflicts", "collection").tolist()
    assert {"prices", "sales"} == set(found)
    assert 0.5 < found.count("prices") / found.count("sales") < 2
