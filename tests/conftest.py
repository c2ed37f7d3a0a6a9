"""Options and fixtures that several test files share."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        action="append",
        metavar="FILE",
        help="vector file to run, repeatable; default: this project's own and those of the "
        "folder vectors in EDGETWIN_DATA",
    )
    parser.addoption(
        "--heals",
        metavar="FILE",
        help="heals of a real OPA agent to hold the simulated one against (-k opa_agent), columns "
        "as in opa-agent/heals.csv; default: the recording in EDGETWIN_DATA",
    )
    parser.addoption(
        "--timelines",
        metavar="DIR",
        help="recordings of real Kubernetes controllers to replay (-k timelines), as in "
        "k8s-timeline; default: that folder in EDGETWIN_DATA",
    )


def vector_files(config: pytest.Config, kind: str) -> list[Path]:
    """Return the files to run that hold *kind*: ``vectors`` (conflicts) or ``entries`` (forms)."""
    given = config.getoption("--vectors")
    if given:
        files = [Path(one) for one in given]
        absent = [str(file) for file in files if not file.is_file()]
        if absent:
            raise pytest.UsageError(f"--vectors: no such file: {', '.join(absent)}")
    else:
        data = os.environ.get("EDGETWIN_DATA")
        folders = [Path(__file__).parent / "vectors", *([Path(data) / "vectors"] if data else [])]
        files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    return [file for file in files if kind in yaml.safe_load(file.read_text(encoding="utf-8"))]


def closed_forms(config: pytest.Config, name: str) -> list[dict[str, Any]]:
    """Return the entries called *name* of all files of closed forms."""
    return [
        entry
        for file in vector_files(config, "entries")
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["entries"]
        if entry["id"] == name
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "conflict_form" in metafunc.fixturenames:
        entries = closed_forms(metafunc.config, "F07")
        skip = pytest.mark.skip(reason="no closed form F07: set EDGETWIN_DATA or give --vectors")
        metafunc.parametrize("conflict_form", entries or [pytest.param(None, marks=skip)])
    if "conflict_case" in metafunc.fixturenames:
        from vector_file import cases

        found = [case for file in vector_files(metafunc.config, "vectors") for case in cases(file)]
        if not found:
            reason = "no vector file: set EDGETWIN_DATA or give --vectors FILE"
            skipped = pytest.param(None, marks=pytest.mark.skip(reason=reason))
            metafunc.parametrize("conflict_case", [skipped])
        else:
            metafunc.parametrize("conflict_case", found, ids=str)


EXPECTED_SKIPS = ("root may write", "scipy", "+SKIP option")
"""Reasons for which a test may be skipped even where nothing else may: `.ci/run` is root there."""


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With EDGETWIN_NO_SKIPS a skipped test fails the session: what it needs should be here."""
    if not os.environ.get("EDGETWIN_NO_SKIPS"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    reasons = {f"{report.nodeid}: {report.longrepr[2]}" for report in skipped}
    unexpected = sorted(r for r in reasons if not any(word in r for word in EXPECTED_SKIPS))
    if unexpected:
        print("\nskipped, though EDGETWIN_NO_SKIPS is set:", *unexpected, sep="\n  ")
        session.exitstatus = 1
