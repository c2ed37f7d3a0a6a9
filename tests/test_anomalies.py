"""The table of strategies against anomalies says what the strategies are known to permit."""

import argparse
import json
from pathlib import Path

import pytest

from edgetwin.analysis.anomalies import (
    VARIANTS,
    AnomalyRow,
    drawn,
    measured,
    played,
    table,
    with_policy,
)
from edgetwin.commands import anomalies as command
from edgetwin.errors import ScenarioError, UsageError

SEEDS = range(60)


@pytest.fixture(scope="module")
def rows() -> dict[str, AnomalyRow]:
    return {row.variant.name: row for row in measured(VARIANTS, SEEDS)}


PERMITTED = {
    "lww": {"no_lost_updates", "no_resurrected_deletes", "read_your_writes", "real_time_winner"},
    "lww, tombstones 60 s": {
        "no_lost_updates", "no_resurrected_deletes", "read_your_writes", "real_time_winner",
        "causal_order",
    },
    "hlc": {"no_lost_updates", "real_time_winner"},
    "cloud-wins": {"no_revoked_acks"},
    "edge-wins": {"no_lost_updates"},
    "siblings": set(),
    "lwwmap": {"no_lost_updates"},
    "orset": set(),
    "gcounter": set(),
    "pncounter": set(),
    "counter-op": set(),
    "counter-op, no dedupe": {"convergence", "exactly_once"},
    "stream": set(),
    "stream, outbox 3": {"no_lost_acked_writes", "no_lost_updates", "exactly_once"},
}  # fmt: skip
"""Checks that fail in these storms; after facts/verification.md, 2.6."""


@pytest.mark.parametrize("name", PERMITTED)
def test_a_strategy_permits_what_it_is_known_for(name: str, rows: dict[str, AnomalyRow]) -> None:
    failed = {check for check, count in rows[name].failed.items() if count}

    assert failed - {"bounded_staleness"} == PERMITTED[name]


def test_the_same_seeds_give_the_same_table(rows: dict[str, AnomalyRow]) -> None:
    assert measured(VARIANTS[:1], SEEDS)[0] == rows["lww"]


def test_the_first_failing_seed_fails(rows: dict[str, AnomalyRow]) -> None:
    seed = rows["hlc"].first_seed["real_time_winner"]

    (alone,) = measured([rows["hlc"].variant], [seed])
    assert alone.failed["real_time_winner"] == 1


def test_a_client_that_overwrites_blindly_loses_updates_at_the_hub() -> None:
    cloud_wins = next(one for one in VARIANTS if one.name == "cloud-wins")

    (row,) = measured([cloud_wins], SEEDS, blind_share=0.5)

    assert row.failed["no_lost_updates"] > 0


def test_a_lawful_policy_converges_and_an_unlawful_one_does_not() -> None:
    policies = {
        "later": lambda asked: {
            "decision": "local"
            if (asked["local"]["ts"], asked["local"]["origin"])
            >= (asked["remote"]["ts"], asked["remote"]["origin"])
            else "remote"
        },
        "mine": lambda asked: {"decision": "local"},
    }
    variants = [with_policy("later"), with_policy("mine"), with_policy("mine", central=True)]

    lawful, unlawful, central = measured(variants, SEEDS, policies)

    assert lawful.failed["convergence"] == 0
    assert unlawful.failed["convergence"] > 0
    assert central.failed["convergence"] == 0


def test_a_table_tells_none_from_some_from_not_judged(rows: dict[str, AnomalyRow]) -> None:
    heading, stream = table([rows["stream"]])
    cells = dict(zip(heading, stream, strict=True))
    rare = AnomalyRow(rows["stream"].variant, 1000, {"convergence": 3}, {"convergence": 1000}, {})

    assert (cells["overtaken"], cells["diverges"]) == ("0", "-")
    assert table([rare])[1][1] == "<1 %"


def test_a_storm_does_not_hang_on_the_strategy() -> None:
    storm = drawn(5)

    histories = [played(storm, variant) for variant in VARIANTS[:4]]

    writes = [{(one.time_us, one.replica, one.key) for one in h.events if hasattr(one, "verb")}
              for h in histories]  # fmt: skip
    assert all(one == writes[0] for one in writes)


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)

    printed = {}
    for form in ("text", "md", "json"):
        assert command.run(parser.parse_args(["--storms", "2", "--format", form])) == 0
        printed[form] = capsys.readouterr().out

    assert printed["text"].splitlines()[0].split("  ")[0] == "strategy"
    assert (
        printed["md"].splitlines()[1].count("---") == printed["md"].splitlines()[0].count("|") - 1
    )
    assert [one["strategy"] for one in json.loads(printed["json"])] == [v.name for v in VARIANTS]
    with pytest.raises(UsageError, match="--storms 0"):
        command.run(parser.parse_args(["--storms", "0"]))


def test_a_storm_is_explained_saved_edited_and_judged_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    file = tmp_path / "history.jsonl"

    explain = ["--explain", "siblings", "--seed", "3", "--save", str(file)]
    assert command.run(parser.parse_args(explain)) == 0
    explained = capsys.readouterr().out
    assert command.run(parser.parse_args(["--judge", str(file)])) == 0
    assert capsys.readouterr().out == explained

    lines = file.read_text().splitlines()
    struck = next(line for line in lines if '"Delivery"' in line and '"replica": "cloud"' in line)
    file.write_text("\n".join(line for line in lines if line != struck))
    assert command.run(parser.parse_args(["--judge", str(file)])) == 1
    judged = capsys.readouterr().out
    assert "FAIL     no_lost_acked_writes: 1 of" in judged
    assert f"{json.loads(struck)['operation']}: " in judged


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--explain", "siblngs"], "did you mean 'siblings'"),
        (["--save", "x"], "say which with --explain"),
        (["--judge", "absent.jsonl"], "absent.jsonl: cannot be read"),
    ],
)
def test_a_wrong_use_is_explained(arguments: list[str], told: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)

    with pytest.raises((UsageError, ScenarioError), match=told):
        command.run(parser.parse_args(arguments))
