"""What a check answers: PASS, FAIL or UNKNOWN, with the numbers and the places they come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Result(StrEnum):
    """Three values, because too little evidence is no evidence of absence."""

    PASS = "pass"
    UNKNOWN = "unknown"
    FAIL = "fail"


_ORDER = (Result.PASS, Result.UNKNOWN, Result.FAIL)
EVIDENCE_ROWS_MAX = 10
"""Pieces of evidence that a verdict carries. Chosen: a screenful; the history holds the rest."""


def worst(results: Iterable[Result]) -> Result:
    """Return the merged result: fail before unknown before pass; of nothing, unknown.

    >>> str(worst([Result.PASS, Result.UNKNOWN])), str(worst([]))
    ('unknown', 'unknown')
    """
    return max(results, key=_ORDER.index, default=Result.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One place that bears a verdict out."""

    what: str
    number: float | int
    site: str = ""
    start_us: int | None = None
    """From the start of the run; an instant has no `end_us`."""
    end_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class SiteResult:
    """A check's answer about one site."""

    site: str
    result: Result
    value: float | int | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A check's answer about one history, or about several readings of one record."""

    name: str
    result: Result
    reason: str
    value: float | int | None = None
    target: float | int | None = None
    unit: str = ""
    """Of value and target: share, us, writes, or nothing where they are yes and no."""
    bound: str = "max"
    """Whether the target is the least (min) or the most (max) that the value may be."""
    evidence: tuple[Evidence, ...] = ()
    sites: tuple[SiteResult, ...] = ()
    """In the order of the history's sites; empty where a check is about the whole fleet."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers, by name; plain JSON values."""
    readings: Mapping[str, "Verdict"] = field(default_factory=dict)
    """By reading of the record, where there are several."""


@dataclass(frozen=True, kw_only=True)
class SiteSummary:
    """One site in one history, judged or not."""

    site: str
    kind: str
    result: Result | None
    """Of all its checks; None: none was about single sites."""
    outages: int
    offline_us: int
    requests: int
    availability_share: float | None
    offline_availability_share: float | None
    """Of the requests issued while offline; None: there were none."""
    response_time_us_p99: int | None
    convergence_us_max: int | None
    """Longest drain after a heal; None: nothing had to drain."""
    lost_acked_writes: int
    checks: Mapping[str, Result] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """All that was judged of one scenario."""

    result: Result
    checks: tuple[Verdict, ...]
    sites: Mapping[str, tuple[SiteSummary, ...]]
    """By reading; each with the worst sites first."""
    notes: tuple[str, ...] = ()
    """What the reader should know beside the checks: faults that did not bite, nothing judged."""

    def __getitem__(self, name: str) -> Verdict:
        """Return the verdict of the check *name*; KeyError if it was not judged."""
        for verdict in self.checks:
            if verdict.name == name:
                return verdict
        raise KeyError(name)


READING_WORDS = {"cut": "link cuts", "power": "power losses", "mixed": "both by turns"}


def side_by_side(verdicts: Mapping[str, Verdict]) -> Verdict:
    """Return one verdict for the *verdicts* that the readings of one record gave one check.

    Where they agree their result stands, over the range of values; where they do not it is
    UNKNOWN, because the record does not say which of them happened.
    """
    several = list(verdicts.values())
    if len(several) == 1:
        return several[0]
    first = several[0]
    agreed = all(verdict.result is first.result for verdict in several)
    known = [verdict.value for verdict in several if verdict.value is not None]
    worst_value = (min if first.bound == "min" else max)(known, default=None)
    if agreed:
        reason = "; ".join(f"{name}: {verdict.reason}" for name, verdict in verdicts.items())
    else:
        reason = ", ".join(
            f"{verdict.result.upper()} if the record means {READING_WORDS.get(name, name)}"
            for name, verdict in verdicts.items()
        )
    evidence = [piece for verdict in several for piece in verdict.evidence[:3]]
    return Verdict(
        name=first.name,
        result=first.result if agreed else Result.UNKNOWN,
        reason=reason,
        value=worst_value,
        target=first.target,
        unit=first.unit,
        bound=first.bound,
        evidence=tuple(dict.fromkeys(evidence))[:EVIDENCE_ROWS_MAX],
        sites=_sites_side_by_side(verdicts),
        details={"value_range": [min(known), max(known)] if known else None},
        readings=dict(verdicts),
    )


def _sites_side_by_side(verdicts: Mapping[str, Verdict]) -> tuple[SiteResult, ...]:
    by_site: dict[str, list[tuple[str, SiteResult]]] = {}
    for name, verdict in verdicts.items():
        for answer in verdict.sites:
            by_site.setdefault(answer.site, []).append((name, answer))
    pick = min if next(iter(verdicts.values())).bound == "min" else max
    merged = []
    for site, answers in by_site.items():
        results = [answer.result for _, answer in answers]
        known = [answer.value for _, answer in answers if answer.value is not None]
        merged.append(
            SiteResult(
                site=site,
                result=results[0] if len(set(results)) == 1 else Result.UNKNOWN,
                value=pick(known, default=None),
                reason=", ".join(f"{name} {answer.result}" for name, answer in answers),
            )
        )
    return tuple(merged)
