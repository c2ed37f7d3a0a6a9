"""`edgetwin check` and `run` from a folder to an exit code, through the real engine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgetwin.cli import main

pytest.importorskip("edgetwin.engine.run", reason="the engine is not there yet")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

ROOT = Path(__file__).parents[1]
SMALL = ["--set", "sites.store.count=3", "--map", "rank", "--set", "outages.duration=2d"]


@pytest.fixture
def shop(tmp_path):
    """The shipped scenario's folder, with the policies that it names."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    shutil.copytree(ROOT / "topologies" / "smart-retail", tmp_path / "topologies" / "shop")
    return tmp_path / "topologies" / "shop"


def without_targets(shop: Path) -> Path:
    text = (shop / "topology.yaml").read_text()
    head, _, _ = text.partition("\ntargets:")
    (shop / "topology.yaml").write_text(head + "\n")
    return shop


def result(words: list[str], hash_seed: str = "0") -> dict[str, object]:
    """Run the command in a process of its own; its JSON without what was measured."""
    done = subprocess.run(
        [sys.executable, "-m", "edgetwin", *words, "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert done.stderr == "", done.stderr
    data = json.loads(done.stdout)
    codes = {"pass": 0, "fail": 1, "unknown": 3}
    assert done.returncode == codes[data["verdict"]]
    assert data.pop("measured")
    return data


def test_a_check_ends_in_its_verdict_and_the_saved_history_says_the_same(shop, tmp_path, capsys):
    code = main(["check", str(shop), *SMALL, "--save", str(tmp_path / "run"), "-o", "json"])
    checked = json.loads(capsys.readouterr().out)
    again = main(["report", str(tmp_path / "run"), "-o", "json"])
    reported = json.loads(capsys.readouterr().out)

    assert code == again
    assert code in (0, 1, 3)
    assert checked["verdict"] == reported["verdict"]
    assert checked["checks"] == reported["checks"]
    assert checked["sites"] == reported["sites"]


def test_pandas_finds_in_the_saved_history_what_the_check_said(shop, tmp_path, capsys):
    pytest.importorskip("pandas", reason="pandas is not installed")
    from recompute_availability import availability

    main(["check", str(shop), *SMALL, "--save", str(tmp_path / "run"), "-o", "json",
          "--set", "outages.duration=60d"])  # fmt: skip
    sites = json.loads(capsys.readouterr().out)["sites"]

    again = availability(tmp_path / "run")
    assert len(again) == len(sites) == 3
    assert again["issued_offline"].sum() > 0
    for site in sites:
        row = again.loc[site["site"]]
        assert row["issued"] == site["requests"]
        assert row["availability"] == site["availability_share"]
        if row["issued_offline"]:
            assert row["offline_availability"] == site["offline_availability_share"]


@pytest.mark.parametrize("span", ["1s", "7s", "1m", "1h"])
def test_neither_hash_seed_nor_process_nor_block_span_changes_a_result(shop, span):
    (shop / "sites.csv").unlink()
    (shop / "outages.csv").write_text(
        "site,start,end,kind\n"
        "store-001,2025-03-03T00:01:00Z,2025-03-03T00:04:07Z,network\n"
        "store-002,2025-03-03T00:02:00Z,2025-03-03T00:09:00Z,network\n"
        "store-002,2025-03-03T00:03:00Z,2025-03-03T00:05:00Z,power\n"
    )
    words = ["check", str(shop), "--set", "sites.store.count=2", "--set", "outages.settle=5m",
             "--set", "sites.store.devices.till.count=40"]  # fmt: skip

    assert result([*words, "--span", span], "123") == result(words, "0")


def test_another_seed_is_another_draw(shop):
    words = ["check", str(shop), *SMALL]

    assert result([*words, "--seed", "1"])["sites"] != result([*words, "--seed", "2"])["sites"]


def test_a_replaced_ambiguous_record_is_read_in_three_ways(shop, tmp_path, capsys):
    words = ["check", str(shop), *SMALL, "--outages", str(shop / "outages.csv"), "-o", "json"]

    main([*words, "--save", str(tmp_path / "runs")])
    three = json.loads(capsys.readouterr().out)
    main([*words, "--reading", "power"])
    one = json.loads(capsys.readouterr().out)

    assert three["scenario"]["readings"] == ["cut", "power", "mixed"]
    assert one["scenario"]["readings"] == ["power"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["cut", "mixed", "power"]


def test_an_empty_record_is_unknown_for_offline_availability(shop, capsys):
    (shop / "outages.csv").write_text("site,start,end,kind\n")
    (shop / "sites.csv").unlink(missing_ok=True)

    code = main(["check", str(shop), "--set", "sites.store.count=2", "-o", "json"])

    checks = {one["name"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["offline_availability"]["result"] == "unknown"
    assert code != 0


def test_check_without_targets_is_unknown_and_run_is_content(shop, capsys):
    without_targets(shop)

    assert main(["check", str(shop), *SMALL]) == 3
    assert "nothing was judged: topology.yaml has no targets" in capsys.readouterr().out
    assert main(["run", str(shop), *SMALL]) == 0


def test_a_place_that_cannot_be_saved_to_is_said_before_the_run(shop, tmp_path, capsys):
    (tmp_path / "taken").mkdir()

    for place, says in (("taken", "exists"), ("no/where", "there is no folder")):
        assert main(["check", str(shop), "--save", str(tmp_path / place)]) == 2
        assert says in capsys.readouterr().err


def test_an_interrupted_run_leaves_nothing_behind(shop, tmp_path):
    before = sorted(tmp_path.iterdir())
    process = subprocess.Popen(
        [sys.executable, "-m", "edgetwin", "check", str(shop), "--save", str(tmp_path / "run"),
         "--set", "sites.store.count=480", "--map", "rank", "-o", f"json:{tmp_path / 'a.json'}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert "interrupted; no result was written" in err
    assert out == ""
    assert sorted(tmp_path.iterdir()) == before
