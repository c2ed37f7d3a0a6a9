"""The guide's figures for two runtimes, on the same storms."""

import json
from pathlib import Path

import pytest

from edgetwin.analysis.figures import figures
from edgetwin.cli import main
from edgetwin.errors import UsageError
from edgetwin.inputs.scenario import load

SHOP = Path(__file__).parents[1] / "topologies" / "smart-retail"
SMALL = ["sites.store.count=4", "outages.duration=20d"]


def test_both_runtimes_meet_the_same_storm_and_start_by_their_own_profile():
    scenario = load(SHOP, settings=SMALL, rule="rank")

    lines, measured = figures(scenario, ["wasmedge-aot", "container-node"], seed=1)

    by_name = {line.name.split(":")[0]: line.values for line in lines}
    assert by_name["cold start of a pod, image present"] == ("178, 243 ms", "281, 354 ms")
    wasm, node = (text.partition(" (")[2] for text in by_name[
        "starts in this run, kubelet and cold cache included"
    ])  # fmt: skip
    assert wasm == node != "", "the same number of starts"
    assert measured["policy_wall_us"]["authz"] > 0
    assert all(line.source for line in lines)


def test_the_table_is_printed_with_the_claims_and_as_json(capsys: pytest.CaptureFixture[str]):
    words = ["figures", str(SHOP), "--reading", "cut", "--set", "outages.duration=1h"]

    assert main(words) == 0
    text = capsys.readouterr().out
    assert main([*words, "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)

    assert "the guide claims" in text
    assert {"figure", "wasmedge-aot", "container-python", "claim", "source"} == set(
        data["figures"][0]
    )


def test_a_runtime_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match="wasmedge-aot"):
        figures(load(SHOP, settings=["outages.duration=1h"]), ["wasmedge-aott"])
