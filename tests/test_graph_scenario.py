"""`edgetwin init --from-graph`: a network's file becomes a scenario that runs as it is."""

import os
from pathlib import Path

import pytest

from edgetwin import ScenarioError, UsageError, check, load, routes, simulate
from edgetwin.cli import main
from edgetwin.inputs import graph_scenario, graphs
from edgetwin.model import Topology, with_reckoned_latencies
from edgetwin.terms import terms_of
from edgetwin.ways import Ways

ZOO = Path(os.environ.get("EDGETWIN_DATA", "/nonexistent")) / "data" / "topology-zoo" / "gml"
RING = """graph [
  node [ id 0 label "Bern" Latitude 46.95 Longitude 7.45 ]
  node [ id 1 label "Basel" Latitude 47.56 Longitude 7.59 ]
  node [ id 2 label "Chur" Latitude 46.85 Longitude 9.53 ]
  node [ id 3 label "Chur" ]
  node [ id 4 label "Alone" ]
  edge [ source 0 target 1 ]
  edge [ source 1 target 2 ]
  edge [ source 2 target 0 ]
  edge [ source 2 target 3 ]
]
"""


@pytest.fixture
def ring(tmp_path):
    path = tmp_path / "ring.gml"
    path.write_text(RING)
    return path


def test_a_graph_becomes_a_folder_that_runs_as_it_is(ring, tmp_path, capsys):
    target = tmp_path / "mine"

    assert main(["init", "--from-graph", str(ring), "--hub", "Bern", str(target)]) == 0

    assert "3 sites, 4 links" in capsys.readouterr().out
    scenario = load(target, settings=["outages.duration=2d"])
    assert scenario.site_names == ("Basel", "Chur-2", "Chur-3")
    assert scenario.topology.cloud.coordinates == (46.95, 7.45)
    history = simulate(scenario, seed=1)
    assert check(terms_of(scenario), history).result in ("pass", "fail", "unknown")


def test_a_cut_in_the_graph_takes_the_other_way_round(ring):
    net = graphs.read(ring)
    topology = Topology.model_validate(graph_scenario.topology(net, name="ring", hub="Bern"))
    ways = Ways(topology, [(name, name) for name in topology.sites])
    direct = next(
        f"Chur-2-hop/{key}"
        for key, uplink in topology.aggregators["Chur-2-hop"].uplinks.items()
        if uplink.via is None
    )

    passages = ways.passages(ways.cuts(ways.hit(direct), 100, 100_000_000, "cut"))

    assert [(at, one.up) for at, one in passages["Chur-3"]] == [
        (0, True),
        (100, False),
        (100 + 15_000_000, True),
        (100_000_000, True),
    ]
    assert len(passages["Basel"]) == 1


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--hub", "Berne"], UsageError, "did you mean 'Bern'"),
        (["smart-retail"], UsageError, "not both"),
    ],
)
def test_a_wrong_call_is_refused(ring, tmp_path, capsys, words, error, said):
    assert main(["init", "--from-graph", str(ring), *words, str(tmp_path / "mine")]) == 2

    assert said in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_what_is_no_graph_is_refused_and_nothing_is_overwritten(ring, tmp_path):
    (tmp_path / "text.gml").write_text("hello")
    with pytest.raises(ScenarioError, match="not GML"):
        graph_scenario.write(tmp_path / "text.gml", tmp_path / "mine")
    with pytest.raises(UsageError, match="exists already"):
        graph_scenario.write(ring, tmp_path)


@pytest.mark.skipif(not ZOO.is_dir(), reason="no real data: set EDGETWIN_DATA")
def test_every_network_of_the_zoo_becomes_a_topology_with_its_own_latencies():
    files = sorted(ZOO.glob("*.gml"))
    assert len(files) == 36
    for file in files:
        net = graphs.read(file)
        hub = routes.central_node(net)
        topology = Topology.model_validate(graph_scenario.topology(net, name=file.stem))
        ways = Ways(topology, [(name, name) for name in topology.sites])
        expected = sorted(
            way.up.latency_us
            for node, way in routes.routes(net, hub).items()
            if way.up is not None and node != hub
        )

        found = [passages[0][1] for passages in ways.passages([]).values()]

        assert not ways.stranded()
        assert sorted(one.up_latency_us - 1_000 for one in found) == expected
        assert all(one.down_latency_us == one.up_latency_us for one in found)


# ---- latency from coordinates ------------------------------------------------------------------

WRITTEN = {
    "name": "two",
    "cloud": {"coordinates": [52.52, 13.405]},
    "aggregators": {
        "bern": {"coordinates": [46.95, 7.45], "uplinks": {"core": {"bandwidth": "1Gbit/s"}}}
    },
    "sites": {
        "munich": {
            "control_plane": "local",
            "coordinates": [48.137, 11.575],
            "nodes": {"edge": {}},
            "uplinks": {
                "fibre": {"bandwidth": "1Mbit/s"},
                "round": {"bandwidth": "1Mbit/s", "via": "bern", "priority": 2},
                "radio": {"bandwidth": "1Mbit/s", "latency": "40ms"},
            },
        }
    },
}  # fmt: skip


def test_an_uplink_without_a_latency_has_that_of_its_cable():
    topology = Topology.model_validate(WRITTEN)

    uplinks = topology.sites["munich"].uplinks
    assert uplinks["fibre"].latency_us == 3_213  # 504.4 km by 1.3 by 4.9 us
    assert uplinks["radio"].latency_us == 40_000
    assert 2_000 < uplinks["round"].latency_us < 2_400
    assert topology.aggregators["bern"].uplinks["core"].latency_us > 4_500


@pytest.mark.parametrize("end", [{}, {"coordinates": [1]}, {"coordinates": ["a", 2]}, None, 7])
def test_without_sound_coordinates_at_both_ends_a_latency_must_be_written(end):
    written = {**WRITTEN, "cloud": end}

    assert "latency" not in with_reckoned_latencies(written)["sites"]["munich"]["uplinks"]["fibre"]
    with pytest.raises(ValueError, match=r"latency|cloud"):
        Topology.model_validate(written)
