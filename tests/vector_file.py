"""Conflict vectors: files of small explicit histories with expected verdicts, run one case each.

The format is the header of ``conflicts.yaml``. Whatever the format does not know is an error, so
that a vector cannot pass by being misread.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgetwin.analysis.anomalies import merge_policy
from edgetwin.checks.consistency import check_consistency
from edgetwin.checks.consistency_counts import AppInvariant
from edgetwin.checks.consistency_trace import canonical
from edgetwin.checks.verdict import Verdict
from edgetwin.engine.replica import ReplicaPlace, ReplicaWorld
from edgetwin.engine.replicas_site import ReplicaOptions
from edgetwin.merge.by_policy import MergePolicy

MS = 1000
VERBS = ("put", "del", "inc", "add", "rem", "setf", "delf", "emit")
STEPS = (
    "push", "sync", "exchange", "cut", "cut_oneway", "heal", "clock", "crash", "restart", "gc",
    "policy", "read",
)  # fmt: skip
COUNTS = (
    "conflicts", "duplicates_applied", "duplicates_suppressed", "dropped", "rejected_writes",
    "clock_rejected", "failed_pushes", "lost_acks", "tombstones_collected", "policy_undefined",
    "silent_divergence",
)  # fmt: skip
VECTOR_KEYS = {
    "id", "title", "replicas", "authority", "no_link", "classes", "options", "policies",
    "app_invariants", "history", "cases", "notes",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One vector under one strategy."""

    vector: Mapping[str, Any]
    case: Mapping[str, Any]

    def __str__(self) -> str:
        name = f"-{self.case['name']}" if "name" in self.case else ""
        return f"{self.vector['id']}-{self.case['strategy']}{name}"


@dataclass(frozen=True)
class Outcome:
    """What a case came to."""

    world: ReplicaWorld
    reads: Mapping[str, Any]
    verdicts: Mapping[str, Verdict]


def cases(path: Path) -> Iterator[Case]:
    """Yield the cases of the vector file *path*."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert data["format"] == 1, f"{path}: format {data['format']} is unknown"
    for vector in data["vectors"]:
        assert set(vector) <= VECTOR_KEYS, f"{vector['id']}: {set(vector) - VECTOR_KEYS}"
        for case in vector["cases"]:
            known = {"strategy", "name", "options", "expect", "notes"}
            assert set(case) <= known, f"{vector['id']}: {set(case) - known}"
            yield Case(vector, case)


def options(case: Case) -> tuple[ReplicaOptions, int | None]:
    """Return the options of *case* and its staleness bound in microseconds."""
    given = {**case.vector.get("options", {}), **case.case.get("options", {})}
    bound = given.pop("staleness_bound_ms", None)
    for name in ("retention", "max_drift"):
        if f"{name}_ms" in given:
            given[f"{name}_us"] = given.pop(f"{name}_ms") * MS
    return ReplicaOptions(**given), None if bound is None else bound * MS


@cache
def compiled(source: str) -> MergePolicy:
    """Return the Rego *source* as a policy, compiled by the real opa and run in the Wasm host."""
    opa = shutil.which("opa")
    if opa is None:
        pytest.skip("opa is not on PATH, so no policy can be compiled")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "merge.rego").write_text(source, encoding="utf-8")
        command = [opa, "build", "-t", "wasm", "-e", "sync/merge", "-o", "bundle.tar.gz"]
        built = subprocess.run(
            [*command, "merge.rego"], cwd=folder, check=False, capture_output=True, text=True
        )
        assert built.returncode == 0, built.stderr
        return merge_policy(Path(folder, "bundle.tar.gz"))[1]


def world(case: Case, policies: Mapping[str, MergePolicy]) -> ReplicaWorld:
    """Return the world of *case* before its history begins. Clocks tick in milliseconds."""
    vector = case.vector
    places = {}
    for name, given in vector["replicas"].items():
        given = dict(given or {})
        zone = given.pop("zone", "cloud" if name == "cloud" else "edge")
        offset_us, drift_ppm = given.pop("offset_ms", 0) * MS, given.pop("drift_ppm", 0)
        assert not given, f"{case}: replica {name}: {given}"
        places[name] = ReplicaPlace(zone, offset_us, drift_ppm)
    return ReplicaWorld(
        places,
        case.case["strategy"],
        authority=vector.get("authority", "cloud"),
        no_link=[tuple(pair) for pair in vector.get("no_link", [])],
        classes=vector.get("classes"),
        options=options(case)[0],
        policies=policies,
        clock_resolution_us=MS,
    )


def run(case: Case) -> Outcome:
    """Run *case* and judge it."""
    sources = case.vector.get("policies", {}) if case.case["strategy"] == "rego" else {}
    place = world(case, {name: compiled(source) for name, source in sources.items()})
    reads: dict[str, Any] = {}
    for number, step in enumerate(case.vector["history"]):
        _step(place, dict(step), reads, f"{case} step {number}")
    invariants = [_invariant(dict(one)) for one in case.vector.get("app_invariants", [])]
    verdicts = check_consistency(
        place.history(), staleness_bound_us=options(case)[1], invariants=invariants
    )
    return Outcome(place, reads, verdicts)


def _invariant(given: dict[str, Any]) -> AppInvariant:
    forbid = given.pop("forbid", ())
    return AppInvariant(**given, forbid=(forbid,) if isinstance(forbid, dict) else tuple(forbid))


def _step(place: ReplicaWorld, step: dict[str, Any], reads: dict[str, Any], where: str) -> None:
    verbs = [verb for verb in (*VERBS, *STEPS) if verb in step]
    assert len(verbs) == 1, f"{where}: one verb a step, not {verbs}"
    verb, time_us = verbs[0], step.pop("t") * MS
    argument = step.pop(verb)
    if verb in VERBS:
        _write(place, time_us, verb, argument, step)
    elif verb == "read":
        name = step.pop("id")
        reads[name] = place.read(
            time_us, step.pop("at"), argument, name=name, session=step.pop("session", None)
        )
    elif verb in ("push", "sync", "exchange"):
        if verb != "push":
            assert not {"max_ops", "only"} & set(step), f"{where}: {step}"
        getattr(place, verb)(time_us, *argument, **step)
        step.clear()
    elif verb in ("cut", "cut_oneway", "heal"):
        getattr(place, verb)(time_us, *argument)
    elif verb == "clock":
        place.set_clock(time_us, argument[0], argument[1] * MS)
    elif verb == "policy":
        place.set_policy(time_us, *argument)
    elif verb == "crash":
        place.crash(time_us, argument, lose=step.pop("lose", "none"))
    elif verb == "restart":
        place.restart(time_us, argument, identity=step.pop("as", None))
    else:
        place.collect(time_us, argument)
    assert not step, f"{where}: {verb} does not know {step}"


def _write(
    place: ReplicaWorld, time_us: int, verb: Any, argument: Any, step: dict[str, Any]
) -> None:
    field = value = None
    if verb == "del":
        key = argument
    elif verb == "setf":
        key, field, value = argument
    elif verb == "delf":
        key, field = argument
    else:
        key, value = argument
    place.write(
        time_us, step.pop("at"), verb, key, value, field=field, name=step.pop("id"),
        session=step.pop("session", None), blind=step.pop("blind", False),
    )  # fmt: skip


def differences(case: Case, outcome: Outcome) -> list[str]:
    """Return where *outcome* is not what *case* expects; empty if it is."""
    expect = dict(case.case.get("expect", {}))
    found: list[str] = []
    for replica, keys in expect.pop("final", {}).items():
        live = [name for name, one in outcome.world.replicas.items() if one.up]
        for name in live if replica == "all" else [replica]:
            for key, value in keys.items():
                _compare(found, f"{key} at {name}", outcome.world.value(name, key), value)
    for name, value in expect.pop("reads", {}).items():
        _compare(found, f"read {name}", outcome.reads.get(name), value)
    for name, result in expect.pop("verdict", {}).items():
        verdict = outcome.verdicts[name]
        if verdict.result != result:
            found.append(f"{name} is {verdict.result}, not {result}: {verdict.reason}")
    for name, witness in expect.pop("witness", {}).items():
        shown = outcome.verdicts[name].details["witness"]
        if _unordered(shown) != _unordered(witness):
            found.append(f"witness of {name} is {shown}, not {witness}")
    if "dead_letters" in expect:
        letters = expect.pop("dead_letters")
        for name, replica in outcome.world.replicas.items():
            if sorted(replica.dead_letters) != sorted(letters.get(name, [])):
                found.append(f"dead letters of {name}: {replica.dead_letters}")
    if "max_staleness_ms" in expect:
        stale = outcome.verdicts["bounded_staleness"].details["max_staleness_us"]
        _compare(found, "staleness", stale, expect.pop("max_staleness_ms") * MS)
    for name, count in expect.pop("counts", {}).items():
        assert name in COUNTS, f"{case}: unknown count {name}"
        _compare(found, name, outcome.world.ledger.counts[name], count)
    assert not expect, f"{case}: expects what is not known: {expect}"
    return found


def _compare(found: list[str], what: str, value: Any, expected: Any) -> None:
    # A map without fields is an absent key.
    if canonical(None if value == {} else value) != canonical(expected or None if expected == {}
                                                              else expected):  # fmt: skip
        found.append(f"{what} is {value!r}, not {expected!r}")


def _unordered(witness: Any) -> Any:
    if isinstance(witness, dict):
        return {key: _unordered(one) for key, one in witness.items() if one != []}
    return sorted(witness) if isinstance(witness, list) else witness
