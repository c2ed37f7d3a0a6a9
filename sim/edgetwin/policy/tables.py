"""Decision tables: inputs and what must come out, as YAML beside the policy, run in CI.

    bundle: ../retail-authz-r1.tar.gz
    entrypoint: retail/authz/allow
    cases:
      - note: a small payment is taken while the site is cut off
        input: {role: cashier, action: pay, amount_cents: 4000, offline: true}
        result: true

A case may leave out ``input`` (none at all), give ``data`` in place of the bundle's, and say
``undefined: true`` in place of ``result``. A file is one table or a list of them under ``tables``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetwin.errors import Problem, ScenarioError, did_you_mean
from edgetwin.policy import documents, values
from edgetwin.policy.bundle import load_bundle
from edgetwin.policy.errors import DecisionError
from edgetwin.policy.policy import Policy
from edgetwin.policy.undefined import UNDEFINED

_TABLE_KEYS = {"bundle", "entrypoint", "cases"}
_CASE_KEYS = {"note", "input", "data", "result", "undefined"}


@dataclass(frozen=True)
class Case:
    """One row of a table."""

    note: str
    input: Any
    """UNDEFINED where the case gives none."""
    data: Any
    """UNDEFINED where the bundle's own data are meant."""
    result: Any
    """What must come out; UNDEFINED if nothing may."""


@dataclass(frozen=True)
class Table:
    """Cases for one entrypoint of one bundle."""

    bundle: Path
    entrypoint: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a case: ``found`` is the result, or the text of the fault."""

    table: Table
    case: Case
    passed: bool
    found: Any


def read_tables(path: Path) -> tuple[Table, ...]:
    """Return the tables in the file *path*; raise ScenarioError with every fault of it."""
    try:
        content = documents.from_yaml(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        words = " ".join(str(error).split())
        raise ScenarioError([Problem(str(path), 0, "", f"cannot be read: {words}")]) from None
    listed = content.get("tables") if isinstance(content, dict) and "tables" in content else None
    entries = listed if isinstance(listed, list) else [content]
    problems: list[Problem] = []
    tables = []
    for place, entry in enumerate(entries):
        where = f"tables[{place}]" if listed is not None else ""
        faults = list(_faults(entry))
        problems += [
            Problem(str(path), 0, f"{where}.{inside}".strip("."), found, remedy)
            for inside, found, remedy in faults
        ]
        if not faults:
            cases = tuple(_case(case) for case in entry["cases"])
            tables.append(Table(path.parent / entry["bundle"], entry["entrypoint"], cases))
    if problems:
        raise ScenarioError(problems)
    return tuple(tables)


def _faults(entry: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with one table: (place, found, remedy)."""
    if not isinstance(entry, dict):
        yield "", "is no table", f"keys: {', '.join(sorted(_TABLE_KEYS))}"
        return
    yield from (("", f"unknown key {k!r}", did_you_mean(k, _TABLE_KEYS))
                for k in entry if k not in _TABLE_KEYS)  # fmt: skip
    for key in ("bundle", "entrypoint"):
        if not isinstance(entry.get(key), str):
            yield key, "is no text", "name the file and what to ask it"
    cases = entry.get("cases")
    if not isinstance(cases, list) or not cases:
        yield "cases", "is no list of cases", ""
        return
    for place, case in enumerate(cases):
        if not isinstance(case, dict):
            yield f"cases[{place}]", "is no case", f"keys: {', '.join(sorted(_CASE_KEYS))}"
            continue
        yield from ((f"cases[{place}]", f"unknown key {k!r}", did_you_mean(k, _CASE_KEYS))
                    for k in case if k not in _CASE_KEYS)  # fmt: skip
        if ("result" in case) == (case.get("undefined") is True):
            yield (
                f"cases[{place}]",
                "says not what must come out",
                "give result, or undefined: true",
            )


def _case(fields: Mapping[str, Any]) -> Case:
    return Case(
        str(fields.get("note", "")),
        fields.get("input", UNDEFINED),
        fields.get("data", UNDEFINED),
        fields.get("result", UNDEFINED),
    )


def run_table(table: Table) -> list[Outcome]:
    """Decide every case of *table*; raise PolicyError or OSError if the bundle cannot be used."""
    bundle = load_bundle(table.bundle)
    policy = Policy(bundle)
    outcomes = []
    for case in table.cases:
        data = bundle.data if case.data is UNDEFINED else case.data
        policy.set_data(data)
        found: Any
        try:
            found = policy.decide(table.entrypoint, case.input)
            passed = _same(found, case.result)
        except DecisionError as error:
            found, passed = str(error), False
        outcomes.append(Outcome(table, case, passed, found))
    return outcomes


def _same(found: Any, wanted: Any) -> bool:
    if found is UNDEFINED or wanted is UNDEFINED:
        return found is wanted
    return values.equal(found, wanted)
