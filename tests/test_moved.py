"""`--window`, `--stretch`, `--shift` and several `--outages`, from files to faults."""

import shutil
from pathlib import Path

import pytest

from edgetwin import ScenarioError, UsageError, load
from edgetwin.cli import main
from edgetwin.engine.replay import Replay, replayed
from edgetwin.inputs.moved import moves

ROOT = Path(__file__).parents[1]
HOUR_US = 3_600_000_000
ROWS = """site,start,end,kind,cause,censored,start_err_s,end_err_s
store-001,2024-05-01T02:00:00Z,2024-05-01T03:00:00Z,network,,,0,0
store-002,2024-05-01T06:00:00Z,2024-05-01T08:00:00Z,network,,,0,0
store-001,2024-05-01T11:00:00Z,2024-05-01T12:00:00Z,network,,,0,0
"""
SITES = """site,group,obs_start,obs_end
store-001,,2024-05-01T00:00:00Z,2024-05-01T12:00:00Z
store-002,,2024-05-01T00:00:00Z,2024-05-01T12:00:00Z
"""


@pytest.fixture
def shop(tmp_path):
    """The shipped scenario with two sites and a record of twelve hours."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    folder = tmp_path / "topologies" / "shop"
    shutil.copytree(ROOT / "topologies" / "smart-retail", folder)
    (folder / "outages.csv").write_text(ROWS)
    (folder / "sites.csv").write_text(SITES)
    text = (folder / "topology.yaml").read_text()
    (folder / "topology.yaml").write_text(text.replace("  duration:", "  # duration:"))
    return folder


def storm(shop: Path, **how: object) -> Replay:
    scenario = load(shop, settings=["sites.store.count=2", "outages.record_error=0s"], **how)
    return replayed(scenario, seed=0, reading="cut")


def hours(played: Replay) -> list[tuple[str, float, float]]:
    return [
        (row.site[-1], row.fault.start_us / HOUR_US, row.fault.end_us / HOUR_US)
        for row in played.rows
    ]


def test_a_record_is_replayed_as_it_was(shop):
    played = storm(shop)

    assert hours(played) == [("1", 2, 3), ("2", 6, 8), ("1", 11, 12)]
    assert played.storm_end_us == 12 * HOUR_US


@pytest.mark.parametrize("window", ["1h..7h", "2024-05-01T01:00Z..2024-05-01T07:00"])
def test_a_window_is_a_part_of_it_and_cuts_what_crosses_its_edge(shop, window):
    played = storm(shop, window=window)

    assert hours(played) == [("1", 1, 2), ("2", 5, 6)]
    assert played.rows[1].censored == "R"
    assert played.storm_end_us == 6 * HOUR_US


def test_stretched_outages_and_gaps_grow_alike(shop):
    played = storm(shop, stretch="2")

    assert hours(played) == [("1", 4, 6), ("2", 12, 16), ("1", 22, 24)]
    assert played.storm_end_us == 24 * HOUR_US


def test_shifted_outages_come_later_in_a_run_that_begins_when_it_did(shop):
    later, earlier = storm(shop, shift="2h"), storm(shop, shift="-3h")

    assert hours(later) == [("1", 4, 5), ("2", 8, 10), ("1", 13, 14)]
    assert later.start_epoch_us == storm(shop).start_epoch_us
    assert hours(earlier) == [("2", 3, 5), ("1", 8, 9)]


def test_all_three_go_in_their_order(shop):
    assert hours(storm(shop, window="5h..", stretch=0.5, shift="1h")) == [
        ("2", 1.5, 2.5),
        ("1", 4, 4.5),
    ]


def test_the_power_and_the_network_record_are_joined(shop, tmp_path):
    power = tmp_path / "power.csv"
    power.write_text(ROWS.replace("network", "power").replace("02:00", "02:30"))

    played = storm(shop, outages=[shop / "outages.csv", power])

    assert [(row.fault.what, *hour) for row, hour in zip(played.rows, hours(played), strict=True)][
        :2
    ] == [("cut", "1", 2, 3), ("power", "1", 2.5, 3)]
    assert played.count == 6


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"window": "5h"}, "has no '..'"),
        ({"window": "5h..soon"}, "neither a time nor a date"),
        ({"window": "5h..2h"}, "ends before it starts"),
        ({"stretch": "0"}, "no factor"),
        ({"stretch": "wide"}, "no factor"),
        ({"shift": "soon"}, "--shift"),
        ({"shift": "-9d"}, "nothing of the 12h"),
    ],
)
def test_a_wrong_move_is_refused_in_words(shop, how, said):
    with pytest.raises(UsageError, match=said):
        storm(shop, **how)


def test_nothing_moved_is_no_move():
    assert not moves()
    assert moves(stretch=1.5)


def test_the_command_line_passes_them_on(shop, capsys):
    words = ["run", str(shop), "--set", "sites.store.count=2", "--window", "1h..4h"]
    code = main([*words, "--stretch=0.5", "--shift=-10m", "--reading=cut"])

    assert code in (0, 1, 3)
    shown = capsys.readouterr().out
    assert "--window 1h..4h" in shown or "--window=1h..4h" in shown


def test_a_record_may_name_an_aggregator_of_the_topology(shop):
    text = (shop / "topology.yaml").read_text()
    hop = "aggregators: {region: {uplinks: {core: {latency: 5ms, bandwidth: 1Gbit/s}}}}\nsites:"
    (shop / "topology.yaml").write_text(text.replace("\nsites:", f"\n{hop}", 1))
    (shop / "outages.csv").write_text(ROWS.replace("store-002", "region"))
    (shop / "sites.csv").unlink()
    uplink = next(
        iter(load(shop, settings=["sites.store.count=2"]).topology.sites["store"].uplinks)
    )

    setting = f"sites.store.uplinks.{uplink}.via=region"
    scenario = load(shop, settings=["sites.store.count=2", "outages.record_error=0s", setting])
    played = replayed(scenario, seed=0, reading="cut")

    assert [row.site for row in played.rows] == ["store-001", "store-001", "store-002", "store-001"]
    with pytest.raises(ScenarioError, match=r"regoin.*did you mean 'region'"):
        load(shop, settings=[setting.replace("region", "regoin")])


def test_an_uplinks_trace_is_read_at_load_and_part_of_the_digest(shop):
    uplink = next(iter(load(shop).topology.sites["store"].uplinks))
    setting = f"sites.store.uplinks.{uplink}.capacity=trace.down"
    (shop / "trace.down").write_text("100\n200\n300\n")

    first = load(shop, settings=[setting])
    (shop / "trace.down").write_text("100\n200\n400\n")
    second = load(shop, settings=[setting])

    assert first.capacities["trace.down"].period_us == 300_000
    assert first.digest != second.digest
    (shop / "trace.down").write_text("no trace\n")
    with pytest.raises(ScenarioError, match=r"trace\.down"):
        load(shop, settings=[setting])
    (shop / "trace.down").unlink()
    with pytest.raises(ScenarioError, match="there is no trace"):
        load(shop, settings=[setting])


@pytest.mark.parametrize(
    ("aggregators", "said"),
    [
        ("{a: {uplinks: {u: {latency: 1ms, bandwidth: 1Gbit/s, via: a}}}}", "leads to itself"),
        (
            "{a: {uplinks: {u: {latency: 1ms, bandwidth: 1Gbit/s, via: b}}},"
            " b: {uplinks: {u: {latency: 1ms, bandwidth: 1Gbit/s, via: a}}}}",
            "no way leads from here",
        ),
        ("{store-001: {uplinks: {u: {latency: 1ms, bandwidth: 1Gbit/s}}}}", "another name"),
    ],
)
def test_links_that_lead_nowhere_are_refused(shop, aggregators, said):
    text = (shop / "topology.yaml").read_text()
    (shop / "topology.yaml").write_text(
        text.replace("\nsites:", f"\naggregators: {aggregators}\nsites:", 1)
    )

    with pytest.raises(ScenarioError, match=said):
        load(shop, settings=["sites.store.count=2"])
