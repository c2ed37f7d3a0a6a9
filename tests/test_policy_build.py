"""Committed bundles are what their sources give, and the lock says so."""

import json
import shutil

import pytest

from edgetwin.cli import main
from edgetwin.errors import ScenarioError, UsageError
from edgetwin.policy import building
from edgetwin.policy.tables import read_tables, run_table
from policy.modules import FIXTURES, POLICIES

needs_opa = pytest.mark.skipif(shutil.which("opa") is None, reason="opa is not on PATH")


@pytest.mark.parametrize("folder", [POLICIES, FIXTURES], ids=["shipped", "fixtures"])
def test_sources_and_bundles_are_what_the_lock_says(folder):
    assert building.locked_differences(folder) == []


@needs_opa
@pytest.mark.parametrize("folder", [POLICIES, FIXTURES], ids=["shipped", "fixtures"])
def test_building_again_gives_the_committed_bundles(folder):
    if (
        building.opa_version(building.opa_path())
        != json.loads((folder / building.LOCK).read_text())["opa"]
    ):
        pytest.skip("another version of opa")

    assert building.differences(folder, *building.build(folder)) == []


@needs_opa
def test_a_changed_source_is_told_by_the_check(tmp_path, capsys):
    copy = tmp_path / "policies"
    shutil.copytree(POLICIES, copy)
    rego = copy / "retail" / "egress.rego"
    rego.write_text(rego.read_text().replace('!= "sensitive"', '!= "secret"'))

    code = main(["policy", "build", "--check", str(copy)])
    locked = building.locked_differences(copy)

    assert code == 1
    assert "retail-egress-r1.tar.gz: is not what its sources give" in capsys.readouterr().out
    assert [problem.file for problem in locked] == [str(rego)]


def test_without_opa_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="go install"):
        building.build(POLICIES)


@needs_opa
def test_rego_that_does_not_compile_is_told_in_opas_words(tmp_path):
    (tmp_path / "a.rego").write_text("package a\np := nothing_like_this")
    (tmp_path / building.PLAN).write_text("bundles: {a: {entrypoints: [a/p], rego: [a.rego]}}")

    with pytest.raises(ScenarioError, match="nothing_like_this is unsafe"):
        building.build(tmp_path)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("[1]", "no map of bundles"),
        ("bundles: {a: 1}", "is no map"),
        ("bundles: {a: {entrypoints: [a/p]}}", "rego is no list"),
        ("bundles: {a: {entrypoints: [a/p], rego: [none.rego]}}", "no file none.rego"),
        ("bundles: {a: {entrypoints: [a/p], rego: [../x.rego]}}", "outside the folder"),
        ("bundles: {a: {entrypoint: [a/p], entrypoints: [a/p], rego: [x]}}", "did you mean"),
        ("bundles: [", "cannot be read"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path, plan, said):
    (tmp_path / building.PLAN).write_text(plan)

    with pytest.raises(ScenarioError, match=said):
        building.read_plan(tmp_path)


TABLES = [
    (path, table) for path in sorted(POLICIES.rglob("*_test.yaml")) for table in read_tables(path)
]


@pytest.mark.parametrize(
    ("path", "table"), TABLES, ids=[f"{p.name}-{t.bundle.name}" for p, t in TABLES]
)
def test_the_shipped_policies_decide_as_their_tables_say(path, table):
    failed = [outcome for outcome in run_table(table) if not outcome.passed]

    assert not failed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("bundle: a\nentrypoint: b\ncases: [{input: 1}]", "what must come out"),
        ("bundle: a\nentrypoint: b\ncases: [{result: 1, undefined: true}]", "what must come out"),
        ("bundle: a\nentrypoint: b\ncases: []", "no list of cases"),
        ("bundle: a\ncases: [{result: 1}]", "entrypoint"),
        ("tables: [{bundel: a}]", "did you mean 'bundle'"),
        ("tables: [1]", "is no table"),
        ("[", "cannot be read"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path, content, said):
    path = tmp_path / "a_test.yaml"
    path.write_text(content)

    with pytest.raises(ScenarioError, match=said):
        read_tables(path)
