"""The cluster held against recordings of real controllers: ``pytest tests -k timelines``.

``--timelines DIR`` names the recordings, else the folder ``k8s-timeline`` in EDGETWIN_DATA. One
number is fitted per file, the phase of the monitor's pass. What is compared: facts/k3s.md, 1.2.
"""

import os
from pathlib import Path

import pytest

from timeline_replay import (
    Events,
    Instants,
    Recording,
    fit,
    most_in_one_pass,
    nearest,
    owner,
    quantiles,
    read,
    replay_events,
    table,
    to_instants,
    worst_gap,
)

SEEDS_OF_FEW, SEEDS_OF_MANY = range(1, 61), range(1, 16)
"""The order within a pass and the race are random, so each file is replayed with several seeds:
more of them where few nodes are lost."""

FEW = 6
"""Up to so many nodes in one pass are compared one by one, more by their quantiles."""

COMPARED = {"node Unknown": 0.3, "+NoExecute": 1.0, "Pod deletion": 1.0}
"""Largest difference in seconds where few nodes change in one pass."""

OFF_BY_A_PASS = 1 / 30
"""Share of nodes, and one of ten or more, that may turn Unknown a pass earlier or later there: a
grace that is over within milliseconds of a pass goes either way, in the real one too (1.2)."""

QUANTILE_S = 2.0
"""Largest difference of a quantile elsewhere."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "recorded" not in metafunc.fixturenames:
        return
    files = recordings(metafunc.config.getoption("--timelines"))
    if not files:
        reason = "no recordings: set EDGETWIN_DATA or give --timelines DIR"
        metafunc.parametrize("recorded", [pytest.param(None, marks=pytest.mark.skip(reason))])
    else:
        metafunc.parametrize("recorded", [(file, read(file)) for file in files], ids=_name)


def recordings(given: str | None) -> list[Path]:
    """Return the files to replay: those of the folder *given*, else of EDGETWIN_DATA."""
    if given:
        return sorted(Path(given).glob("*.csv"))
    data = os.environ.get("EDGETWIN_DATA")
    if not data:
        return []
    places = [Path(data) / "k8s-timeline", Path(data) / "data" / "k8s-timeline"]
    return next((found for each in places if (found := sorted(each.glob("*.csv")))), [])


def _name(value: tuple[Path, Recording]) -> str:
    return value[0].stem


def deleted(events: Events) -> set[str]:
    """Return the workloads of which a controller deleted Pods."""
    return {owner(entity[4:])[1] for _, entity, what, _ in events if what == "deletion"}


def deletions(events: Events, workloads: set[str]) -> list[float]:
    """Return when Pods of *workloads* were deleted, sorted."""
    return sorted(
        t_s
        for t_s, entity, what, _ in events
        if what == "deletion" and owner(entity[4:])[1] in workloads
    )


def course(events: Events) -> dict[str, list[str]]:
    """Return, by owner, what happened to its Pods in order; what comes within 2 s is sorted."""
    by_owner: dict[str, list[tuple[float, str]]] = {}
    for t_s, entity, what, _ in events:
        if entity.startswith("pod/") and what in ("deletion", "created", "bound", "gone"):
            by_owner.setdefault(owner(entity[4:])[1], []).append((t_s, what))
    found = {}
    for name, rows in by_owner.items():
        spells: list[list[str]] = []
        last = -1e9
        for t_s, what in sorted(rows):
            if t_s - last > 2:
                spells.append([])
            spells[-1].append(what)
            last = t_s
        found[name] = [what for spell in spells for what in sorted(spell)]
    return found


def random_count(counts: list[int], total: int) -> tuple[float, float]:
    """Return the range in which a recorded count lies for all but one in a few hundred."""
    mean = sum(counts) / len(counts)
    spread = 3 * (mean * max(0.0, 1 - mean / total)) ** 0.5 + 1
    return mean - spread, mean + spread


def test_timelines(recorded: tuple[Path, Recording], capsys: pytest.CaptureFixture[str]) -> None:
    file, recording = recorded
    real = recording.instants()
    real_events = [
        (row.t_s, row.object, row.what, row.detail)
        for row in recording.rows
        if row.actor not in ("start", "script")
    ]

    phase_us = fit(recording)
    seeds = SEEDS_OF_FEW if len(real.get("node Unknown", [])) < 20 else SEEDS_OF_MANY
    replays = [replay_events(recording, phase_us, seed) for seed in seeds]
    modelled = [to_instants(each) for each in replays]
    chosen = nearest(recording, replays)
    typical = to_instants(chosen)

    with capsys.disabled():
        print(f"\n== {file.name}: phase of the pass {phase_us / 1e6:.2f} s")
        print(table(real, typical))
    unknown = real.get("node Unknown", [])
    assert len(unknown) == len(typical.get("node Unknown", []))
    counts = [len(each.get("+NoExecute", [])) for each in modelled]
    decided = set(counts) == {len(real.get("+NoExecute", []))}
    if not decided:
        # A race of milliseconds decides (k3s.md, 1.3): its probability is what is modelled.
        low, high = random_count(counts, len(unknown))
        assert low <= len(real.get("+NoExecute", [])) <= high, (counts, real.get("+NoExecute"))
    if decided:
        agreed = deleted(real_events) ^ deleted(chosen)
        assert len(agreed) <= len(unknown) // 15, f"treated differently: {sorted(agreed)}"
        both = deleted(real_events) & deleted(chosen)
        real["Pod deletion"] = deletions(real_events, both)
        typical["Pod deletion"] = deletions(chosen, both)
    _hold(real, typical, few=most_in_one_pass(unknown) <= FEW, decided=decided)
    if recording.scenario == "workloads":
        assert course(chosen) == course(real_events)
    if recording.scenario in ("flapping", "server-down"):
        assert not deleted(chosen)
    if recording.scenario == "whole-cluster":
        # Among the draws with as many tainted there are some with as many taken back.
        outcomes = [
            tuple(len(each.get(kind, [])) for kind in ("+NoExecute", "-NoExecute"))
            for each in (real, *modelled)
        ]
        assert outcomes[0] in outcomes[1:], outcomes


def _hold(real: Instants, typical: Instants, *, few: bool, decided: bool) -> None:
    """Assert that the instants agree, one by one if *few*, else by quantiles."""
    for kind, limit_s in COMPARED.items():
        one, other = real.get(kind, []), typical.get(kind, [])
        if kind != "node Unknown" and not decided:
            continue
        if not one or not other:
            assert not one, kind
            assert not other, kind
        elif few and len(one) == len(other):
            off = sum(abs(a - b) > limit_s for a, b in zip(one, other, strict=True))
            assert off <= max(OFF_BY_A_PASS * len(one), len(one) >= 10), (kind, one, other)
        else:
            gap = worst_gap(quantiles(one), quantiles(other))
            assert gap <= QUANTILE_S, (kind, quantiles(one), quantiles(other))
