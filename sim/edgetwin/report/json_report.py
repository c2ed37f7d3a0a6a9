"""The result as JSON: a documented shape with a version, for programs.

::

    {"edgetwin": "0.1.0",                version of the program
     "schema": 1,                        version of this shape; names are only added within one
     "scenario": {"name", "path", "digest", "seed", "draws": 1, "readings": ["cut"],
                  "sites", "outages", "events", "start", "storm_us", "run_us"},
     "verdict": "pass|fail|unknown",     of all checks; agrees with the exit code of `check`
     "checks": [{"name", "result", "value", "target", "unit", "bound": "min|max", "reason",
                 "evidence": [{"site", "start", "end", "start_us", "end_us", "number", "what"}],
                 "details": {...}, "sites": {"pass", "fail", "unknown"},
                 "readings": {"cut": {"result", "value", "reason", "details"}}}],
     "sites": [{"site", "kind", "reading", "result", "outages", "offline_us", "requests",
                "availability_share", "offline_availability_share", "response_time_us_p99",
                "convergence_us_max", "lost_acked_writes", "checks": {name: result}}],
     "notes": ["..."],
     "measured": {...}}                  wall times; all else is the same in every run

`readings` of a check is empty where the record was read in one way; `sites` has a row for each
reading and site, the worst first. Shares are in 0..1, instants ISO 8601 in UTC. With several
scenarios the shape is ``{"edgetwin", "schema", "verdict", "scenarios": [the shape above, ...]}``.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from edgetwin.checks.verdict import Evidence, Result, SiteSummary, Verdict, worst
from edgetwin.report.content import Report

SCHEMA = 1


def render(reports: Sequence[Report]) -> str:
    """Return *reports* as JSON text with stable key order, ending in a newline."""
    if len(reports) == 1:
        shape = as_data(reports[0])
    else:
        shape = {
            "edgetwin": reports[0].version,
            "schema": SCHEMA,
            "verdict": worst(report.verdicts.result for report in reports),
            "scenarios": [as_data(report) for report in reports],
        }
    return json.dumps(shape, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_data(report: Report) -> dict[str, Any]:
    """Return *report* as plain JSON values, in the documented shape."""
    return {
        "edgetwin": report.version,
        "schema": SCHEMA,
        "scenario": {
            "name": report.name,
            "path": report.path,
            "digest": report.digest,
            "seed": report.seed,
            "draws": 1,
            "readings": list(report.readings),
            "sites": report.sites,
            "outages": report.outages,
            "events": report.events,
            "start": report.instant(0),
            "storm_us": report.storm_us,
            "run_us": report.run_us,
        },
        "verdict": str(report.verdicts.result),
        "checks": [_check(report, verdict) for verdict in report.verdicts.checks],
        "sites": [
            _site(reading, summary)
            for reading, summaries in report.verdicts.sites.items()
            for summary in summaries
        ],
        "notes": list(report.notes),
        "measured": dict(report.measured),
    }


def _check(report: Report, verdict: Verdict) -> dict[str, Any]:
    results = [answer.result for answer in verdict.sites]
    return {
        "name": verdict.name,
        "result": str(verdict.result),
        "value": verdict.value,
        "target": verdict.target,
        "unit": verdict.unit,
        "bound": verdict.bound,
        "reason": verdict.reason,
        "evidence": [_evidence(report, piece) for piece in verdict.evidence],
        "details": dict(verdict.details),
        "sites": {str(result): results.count(result) for result in Result},
        "readings": {
            name: {
                "result": str(one.result),
                "value": one.value,
                "reason": one.reason,
                "details": dict(one.details),
            }
            for name, one in verdict.readings.items()
        },
    }


def _evidence(report: Report, piece: Evidence) -> dict[str, Any]:
    return {
        "site": piece.site or None,
        "start": None if piece.start_us is None else report.instant(piece.start_us),
        "end": None if piece.end_us is None else report.instant(piece.end_us),
        "start_us": piece.start_us,
        "end_us": piece.end_us,
        "number": piece.number,
        "what": piece.what,
    }


def _site(reading: str, summary: SiteSummary) -> dict[str, Any]:
    values = {one.name: getattr(summary, one.name) for one in fields(summary)}
    row = {"site": values.pop("site"), "kind": values.pop("kind"), "reading": reading, **values}
    row["result"] = None if summary.result is None else str(summary.result)
    row["checks"] = {name: str(result) for name, result in summary.checks.items()}
    return row
