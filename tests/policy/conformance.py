"""OPA's own test cases, run through this host: prints passed, failed, refused.

usage: python tests/policy/conformance.py FOLDER [--least N] [--verbose]

FOLDER holds NNNN.wasm and cases.jsonl as the case compiler in tools/opa-cases writes them (see
.ci/run). A case is compared as OPA's own Wasm test does (facts/opa-wasm.md, section 4): results in
value form, sets sorted in OPA's order, result sets compared as sets. Exit code 1 if any case fails
or fewer than N pass. What may be refused stands in ``refused.yaml`` beside this file, by built-in
or by case, each with its reason; a refusal that is not listed there is a failure, and so is a
listed case that passes.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetwin.policy import Policy, documents, errors, load_bundle, values
from edgetwin.policy.context import DecisionContext, NoNetwork

REFUSED = Path(__file__).with_name("refused.yaml")
LEAST = 2_076
"""Passes that are required of the v1 cases: facts/opa-wasm.md, section 4."""

CONFLICTS = ("var assignment conflict", "object insert conflict")


class Loopback(NoNetwork):
    """A network on which there is nothing but this host."""

    def lookup(self, name: str) -> list[str]:
        if name != "localhost":
            return super().lookup(name)
        return ["127.0.0.1", "::1"]


@dataclass
class Tally:
    """What became of the cases, each as (note, why)."""

    passed: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    not_compiled: list[tuple[str, str]] = field(default_factory=list)


def cases(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the cases of *folder*, in file order, numbers exact."""
    with open(folder / "cases.jsonl", "rb") as lines:
        for line in lines:
            yield json.loads(line, parse_float=values.number)


def refusals() -> tuple[dict[str, str], dict[str, str]]:
    """Return the reasons for refusing, by built-in and by case."""
    listed = documents.from_yaml(REFUSED.read_text(encoding="utf-8"))
    return listed["builtins"], listed["cases"]


def run(folder: Path) -> Tally:
    """Run every case of *folder*."""
    builtins, listed = refusals()
    tally = Tally()
    for case in cases(folder):
        note = case["note"]
        if "wasm" not in case:
            tally.not_compiled.append((note, case["why"]))
            continue
        try:
            fault = outcome(folder, case)
        except errors.MissingBuiltinsError as error:
            unlisted = [name for name in error.names if name not in builtins]
            reason = "; ".join(f"{name}: {builtins.get(name)}" for name in error.names)
            if unlisted:
                tally.failed.append((note, f"refused, not listed: {', '.join(unlisted)}"))
            else:
                tally.refused.append((note, reason))
            continue
        if note in listed and fault:
            tally.refused.append((note, listed[note]))
        elif note in listed:
            tally.failed.append((note, "passes, but is listed as refused"))
        elif fault:
            tally.failed.append((note, fault))
        else:
            tally.passed.append(note)
    return tally


def outcome(folder: Path, case: dict[str, Any]) -> str:
    """Return what is wrong with how *case* comes out; empty if nothing is."""
    bundle = load_bundle((folder / case["wasm"]).read_bytes(), name=case["note"])
    environment = {"env": case["env"]} if case.get("env") else {}
    context = DecisionContext(environment=environment, network=Loopback())
    policy = Policy(bundle, context=context)
    try:
        if case.get("data") is not None:
            policy.set_data(case["data"])
        if case.get("input_term") is not None:
            raw = values.dump(values.parse(case["input_term"])).encode()
        elif "input" in case:
            raw = values.json_bytes(case["input"])
        else:
            raw = None
        answer = values.parse(policy.evaluate(policy.entrypoints[0], raw))
    except errors.DecisionError as error:
        return _fault(case, error)
    if case.get("want_defined") is not None:
        return "" if bool(len(answer)) == case["want_defined"] else f"got {answer}"
    if case.get("want_result") is not None:
        return _difference(case["want_result"], answer, case.get("sort_bindings", False))
    if case.get("strict_error"):
        return _difference([], answer, False)
    return f"no error, but {case.get('want_error') or case.get('want_error_code')} was expected"


def _fault(case: dict[str, Any], error: errors.DecisionError) -> str:
    if case.get("want_error_code") == "eval_conflict_error" and not case.get("strict_error"):
        return "" if any(text in str(error) for text in CONFLICTS) else str(error)
    return f"unexpected {type(error).__name__}: {error}"


def _difference(wanted: list[dict[str, Any]], answer: Any, sort_bindings: bool) -> str:
    got = []
    for binding in answer:
        names = values.to_json(binding)
        if sort_bindings:
            names = {
                key: sorted(value, key=values.order_key) if isinstance(value, list) else value
                for key, value in names.items()
            }
        got.append(names)
    if values.equal(values.RegoSet(wanted), values.RegoSet(got)):
        return ""
    return f"expected {json.dumps(wanted, default=str)[:300]} but got {values.dump(got)[:300]}"


def summary(tally: Tally) -> str:
    """Return the counts in one line."""
    return (
        f"{len(tally.passed)} passed, {len(tally.failed)} failed, {len(tally.refused)} refused, "
        f"{len(tally.not_compiled)} not compiled by opa"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--least", type=int, default=LEAST, help="passes below which it fails")
    parser.add_argument("--verbose", action="store_true", help="print each refused case")
    arguments = parser.parse_args()
    tally = run(arguments.folder)
    for note, why in tally.failed:
        print(f"FAILED  {note}: {why}")
    if arguments.verbose:
        for note, why in tally.refused:
            print(f"refused {note}: {why}")
    print(summary(tally))
    return 1 if tally.failed or len(tally.passed) < arguments.least else 0


if __name__ == "__main__":
    sys.exit(main())
