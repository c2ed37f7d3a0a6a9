"""What every format shows: one scenario, its histories' frame, and what was judged of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from edgetwin.checks.verdict import Result, SiteSummary, Verdicts
from edgetwin.history import History
from edgetwin.terms import Terms

EXIT_CODES = {Result.PASS: 0, Result.FAIL: 1, Result.UNKNOWN: 3}
"""Exit codes of results; 2 is wrong input, 70 a bug of ours, 130 an interruption."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One scenario's results."""

    version: str
    name: str
    path: str
    """Where the scenario or the history was read from; for messages."""
    digest: str
    seed: int
    readings: tuple[str, ...]
    sites: int
    outages: int
    """Of the first reading, as all others."""
    events: int
    start_epoch_us: int
    storm_us: int
    run_us: int
    verdicts: Verdicts
    notes: tuple[str, ...] = ()
    """Of loading, then of judging."""
    next_steps: tuple[str, ...] = ()
    """Commands that would be useful now."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """Wall times, which differ from run to run and decide nothing."""

    @property
    def judged(self) -> bool:
        """Whether any target was there to judge."""
        return bool(self.verdicts.checks)

    @property
    def exit_code(self) -> int:
        """What a gate returns."""
        return EXIT_CODES[self.verdicts.result]

    def instant(self, us: int) -> str:
        """Return the UTC instant *us* after the start of the run, in ISO 8601 to the second."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.start_epoch_us + us)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def report_of(
    terms: Terms,
    histories: Mapping[str, History],
    verdicts: Verdicts,
    *,
    path: str,
    version: str,
    notes: tuple[str, ...] = (),
    next_steps: tuple[str, ...] = (),
    measured: Mapping[str, Any] | None = None,
) -> Report:
    """Return the report on *histories*, by reading, and their *verdicts*."""
    first = next(iter(histories.values()))
    walls = {
        name: dict(history.meta["measured"])
        for name, history in histories.items()
        if history.meta.get("measured")
    }
    return Report(
        version=version,
        name=terms.name,
        path=path,
        digest=terms.digest,
        seed=int(first.meta["seed"]),
        readings=tuple(histories),
        sites=first.rows("sites"),
        outages=first.rows("outages"),
        events=len(set(first.column("outages", "event").tolist())),
        start_epoch_us=int(first.meta["start_epoch_us"]),
        storm_us=int(first.meta["storm_end_us"]),
        run_us=int(first.meta["end_us"]),
        verdicts=verdicts,
        notes=(*notes, *verdicts.notes),
        next_steps=next_steps,
        measured={**(measured or {}), **({"histories": walls} if walls else {})},
    )


def site_rows(report: Report) -> list[dict[str, SiteSummary]]:
    """Return each site's summaries by reading, the worst sites first.

    Over several readings a site stands where its worst one does among equals: failed in all
    before failed in one, and by the mean share answered while offline.
    """
    by_site: dict[str, dict[str, SiteSummary]] = {}
    for reading, summaries in report.verdicts.sites.items():
        for summary in summaries:
            by_site.setdefault(summary.site, {})[reading] = summary

    def badness(row: dict[str, SiteSummary]) -> tuple[Any, ...]:
        results = [summary.result for summary in row.values()]
        shares = [
            2.0 if share is None else share
            for summary in row.values()
            for share in (summary.offline_availability_share, summary.availability_share)
        ]
        failed = sum(
            result is Result.FAIL for summary in row.values() for result in summary.checks.values()
        )
        passed = sum(result is Result.PASS for result in results)
        failing = sum(result is Result.FAIL for result in results)
        site = next(iter(row.values())).site
        return -failing, passed, -failed, sum(shares[::2]), sum(shares[1::2]), site

    return sorted(by_site.values(), key=badness)
