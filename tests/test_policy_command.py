"""``edgetwin policy``: what it prints and how it exits."""

import json

import pytest

from edgetwin.cli import main
from policy.modules import FIXTURES, PAYMENT, POLICIES

R1 = str(POLICIES / "retail-authz-r1.tar.gz")
PLAIN = str(FIXTURES / "plain.tar.gz")


def test_inspect_says_what_is_in_a_bundle(capsys):
    assert main(["policy", "inspect", R1, "--json"]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert facts["revision"] == "r1"
    assert facts["entrypoints"] == ["retail/authz/allow"]
    assert facts["pure"] is True
    assert facts["builtins"] == []
    assert facts["abi"] == "1.3"


def test_inspect_names_what_this_host_lacks(capsys):
    assert main(["policy", "inspect", str(FIXTURES / "lacking.tar.gz")]) == 0

    shown = capsys.readouterr().out
    assert "not provided      graphql.parse_query, rego.parse_module" in shown


def test_eval_prints_opas_shape(capsys, tmp_path):
    given = tmp_path / "input.json"
    given.write_text(json.dumps(PAYMENT))
    data = tmp_path / "data.json"
    data.write_text('{"retail": {"limits": {"offline_limit_cents": 1}}}')

    assert main(["policy", "eval", R1, "-i", str(given)]) == 0
    assert main(["policy", "eval", R1, "-i", str(given), "-d", str(data)]) == 0
    assert main(["policy", "eval", PLAIN, "-e", "plain/conflict"]) == 0

    shown = capsys.readouterr().out
    assert shown == '{\n  "result": true\n}\n{\n  "result": false\n}\n{}\n'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", PLAIN], "say which entrypoint with -e: plain/conflict, plain/document"),
        (["eval", R1, "-e", "retail/authz/alow"], "did you mean 'retail/authz/allow'"),
        (["eval", R1, "-i", "/nowhere.json"], "/nowhere.json: cannot be read"),
        (["inspect", "/nowhere.tar.gz"], "/nowhere.tar.gz: cannot be read"),
        (["inspect", __file__], "test_policy_command.py: is neither"),
        (["eval", str(FIXTURES / "lacking.tar.gz")], "needs the built-ins graphql.parse_query"),
        (["test", str(FIXTURES)], "no *_test.yaml"),
        (["inspect", R1, "--key", R1], "is not signed"),
    ],
)
def test_wrong_input_exits_with_two_and_says_what_would_be_right(arguments, said, capsys):
    assert main(["policy", *arguments]) == 2

    assert said in capsys.readouterr().err


def test_tables_that_fail_exit_with_one_and_show_the_difference(tmp_path, capsys):
    table = tmp_path / "a_test.yaml"
    table.write_text(
        f"bundle: {R1}\nentrypoint: retail/authz/allow\n"
        "cases: [{note: strangers may, result: true}, {result: false}]\n"
    )

    assert main(["policy", "test", str(tmp_path)]) == 1

    shown = capsys.readouterr().out
    assert "strangers may" in shown
    assert "expected true, found False" in shown
    assert "1 passed, 1 failed" in shown


def test_bench_measures_every_way_of_asking(capsys):
    assert main(["policy", "bench", R1, "--seconds", "0.05"]) == 0

    shown = capsys.readouterr().out
    for way in ("one by one", "no deadline", "public API", "remembered", "fuel"):
        assert way in shown
