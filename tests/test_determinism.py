"""The same command twice: another process, another hash seed, other blocks, the same result."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

ROOT = Path(__file__).parent.parent
OUTAGES = """\
site,start,end,kind,cause,censored,start_err_s,end_err_s
store-001,2025-05-06T02:23:00Z,2025-05-06T02:29:00Z,network,site,,60,60
store-001,2025-05-06T02:35:00Z,2025-05-06T02:52:00Z,network,,,60,60
store-002,2025-05-06T02:36:00Z,2025-05-06T02:58:00Z,power,,,60,60
store-003,2025-05-06T02:40:00Z,2025-05-06T02:41:00Z,node,,,60,60
"""
SITES = """\
site,group,obs_start,obs_end
store-001,exchange-1,2025-05-06T02:20:00Z,2025-05-06T03:00:00Z
store-002,exchange-1,2025-05-06T02:20:00Z,2025-05-06T03:00:00Z
store-003,exchange-1,2025-05-06T02:20:00Z,2025-05-06T03:00:00Z
"""


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """Forty minutes of three stores: cuts, a power loss, a crash, a release while one is cut."""
    folder = tmp_path_factory.mktemp("hour")
    copytree(ROOT / "topologies" / "smart-retail", folder / "smart-retail")
    copytree(ROOT / "policies", folder / "smart-retail" / "policies")
    topology = folder / "smart-retail" / "topology.yaml"
    text = topology.read_text(encoding="utf-8")
    for before, after in (
        ("count: 48", "count: 3"),
        ("at: 30d", "at: 20m"),
        ("settle: 1h", "settle: 5m"),
        ("ups: 10m", "ups: 1m"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    topology.write_text(text, encoding="utf-8")
    (folder / "smart-retail" / "outages.csv").write_text(OUTAGES, encoding="utf-8")
    (folder / "smart-retail" / "sites.csv").write_text(SITES, encoding="utf-8")
    return folder / "smart-retail"


def checked(folder: Path, *arguments: str, hash_seed: str = "0") -> dict[str, object]:
    """Return the JSON of ``edgetwin check`` in a new process, without what it measured."""
    done = subprocess.run(
        [sys.executable, "-m", "edgetwin", "check", str(folder), "-o", "json", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1, 3), done.stderr
    found = json.loads(done.stdout)
    del found["measured"]
    return found


@pytest.fixture(scope="module")
def once(hour):
    found = checked(hour)
    assert found["checks"]
    return json.dumps(found)


def test_hash_seeds_leave_no_trace(hour, once):
    assert json.dumps(checked(hour, hash_seed="12345")) == once


def test_processes_leave_no_trace(hour, once):
    assert json.dumps(checked(hour, "--jobs", "2", hash_seed="77")) == once


@pytest.mark.parametrize("span", ["1s", "7s", "1m", "1h"])
def test_block_spans_leave_no_trace(hour, once, span):
    assert json.dumps(checked(hour, "--span", span, hash_seed="random")) == once


def test_another_seed_is_another_run(hour, once):
    assert json.dumps(checked(hour, "--seed", "1")) != once
