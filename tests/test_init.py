"""`edgetwin init` writes a folder that stands on its own, and overwrites nothing."""

import argparse
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgetwin.commands import init
from edgetwin.errors import UsageError
from edgetwin.inputs import shipped
from edgetwin.inputs.scenario import load

ROOT = Path(__file__).parent.parent


def run(*words):
    parser = argparse.ArgumentParser()
    init.add_arguments(parser)
    return init.run(parser.parse_args([str(word) for word in words]))


@pytest.mark.parametrize("name", shipped.names())
def test_a_written_folder_is_the_same_scenario_without_the_checkout(name, tmp_path, capsys):
    target = tmp_path / "deep" / "mine"

    assert run(name, target) == 0

    assert load(target).digest == load(ROOT / "topologies" / name).digest
    assert f"edgetwin check {target}" in capsys.readouterr().out
    assert all((target / "policies" / bundle).is_file() for bundle in load(target).bundles)


def test_a_written_folder_names_its_own_schema_and_page(tmp_path):
    run("smart-retail", tmp_path / "mine")

    text = (tmp_path / "mine" / "topology.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=./topology.schema.json\n")
    assert "../" not in text
    for name in re.findall(r"[\w.-]+\.(?:md|json|csv)\b", text):
        assert (tmp_path / "mine" / name).is_file()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "topology.yaml").write_text("precious")
    (tmp_path / "file").write_text("precious")

    for target in (tmp_path / "mine", tmp_path / "file"):
        with pytest.raises(UsageError, match="exists already"):
            run("smart-retail", target)

    assert (tmp_path / "mine" / "topology.yaml").read_text() == "precious"
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "mine").mkdir()

    run("smart-retail", tmp_path / "mine")

    assert (tmp_path / "mine" / "topology.yaml").is_file()


def test_an_unknown_scenario_says_which_was_meant(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'smart-retail'"):
        run("smart-retial", tmp_path / "mine")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_made_is_a_wrong_call(tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(UsageError, match="Permission denied"):
        run("smart-retail", tmp_path / "mine")


def test_the_wheel_brings_all_that_init_copies(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    room = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(room)

    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from edgetwin.inputs import shipped; from edgetwin.inputs.scenario import load;"
        "from pathlib import Path; import edgetwin;"
        "assert edgetwin.__file__.startswith(sys.argv[1]), edgetwin.__file__;"
        "shipped.copy('smart-retail', Path(sys.argv[2]));"
        "print(load(sys.argv[2]).digest)"
    )
    arguments = [sys.executable, "-c", program, str(room), str(tmp_path / "mine")]
    done = subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True, text=True)

    assert done.stdout.strip() == load(ROOT / "topologies" / "smart-retail").digest
