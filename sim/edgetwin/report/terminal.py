"""The result for a person: worst sites first, then a paragraph each check, at most 100 columns."""

import textwrap
from collections.abc import Sequence

from edgetwin.checks.verdict import Evidence, Result, SiteSummary, Verdict
from edgetwin.report.content import Report, site_rows
from edgetwin.units import duration_text

WIDTH = 100
SITES_MAX = 10
"""Rows of the site table. Chosen: with eight checks below it, the whole fits two screens."""
EVIDENCE_MAX = 3
INDENT = 12
"""Columns before the name and the reason of a check: a glyph and UNKNOWN."""

GLYPHS = {Result.PASS: "✓", Result.FAIL: "✗", Result.UNKNOWN: "?"}
ASCII_GLYPHS = {Result.PASS: "+", Result.FAIL: "x", Result.UNKNOWN: "?"}
_ASCII = str.maketrans({"✓": "+", "✗": "x", "≥": ">=", "≤": "<=", "…": "~"})
_COLORS = {Result.PASS: "32", Result.FAIL: "1;31", Result.UNKNOWN: "33"}


def render(reports: Sequence[Report], *, color: bool = False, ascii_only: bool = False) -> str:
    """Return *reports* as text; with ANSI colours only if *color*."""
    text = "\n".join("\n".join(_report(report, color)) + "\n" for report in reports)
    return text.translate(_ASCII) if ascii_only else text


def _report(report: Report, color: bool) -> list[str]:
    several = len(report.readings) > 1
    reading = f"reading{'s' if several else ''} {', '.join(report.readings)}"
    lines = _wrapped(
        f"edgetwin {report.version}  {report.name}: {report.sites:,} sites, "
        f"{report.outages:,} outages in {report.events:,} events over "
        f"{duration_text(report.storm_us)} from {report.instant(0)}"
    )
    lines += _wrapped(
        f"seed {report.seed}, one draw  {reading}  quiet after the storm "
        f"{duration_text(report.run_us - report.storm_us)}  digest {report.digest}"
    )
    lines += ["", *_site_table(report, color), ""]
    if report.judged:
        for verdict in report.verdicts.checks:
            lines += _check(report, verdict, color)
        lines += ["", *_summary(report, color)]
    lines += [line for note in report.notes for line in _wrapped(f"note: {note}", 6)]
    lines += [line for step in report.next_steps for line in _wrapped(f"next: {step}", 6)]
    return lines


def _wrapped(text: str, indent: int = 2, first: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH - 1,
        initial_indent=first or " ",
        subsequent_indent=" " * (indent + 1),
        break_on_hyphens=False,
    )


# ---- sites -------------------------------------------------------------------------------------


def _site_table(report: Report, color: bool) -> list[str]:
    rows = site_rows(report)
    several = len(report.readings) > 1
    while_offline = [f"offl. {name}" if several else "while offline" for name in report.readings]
    head = ["worst sites", "outages", "offline", "answered", *while_offline, "p99", "drain", "lost"]
    table = [head]
    results: list[Result | None] = []
    for row in rows[:SITES_MAX]:
        first, results_of = next(iter(row.values())), [s.result for s in row.values()]
        results.append(results_of[0] if len(set(results_of)) == 1 else Result.UNKNOWN)
        table.append(_site_cells(first, row))
    if not report.judged:
        results = [None] * len(results)
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    widths[0] = min(widths[0], WIDTH - 12 - sum(widths[1:]) - 2 * len(widths))
    lines = [" " + _cells(head, widths)]
    for cells, result in zip(table[1:], results, strict=True):
        mark = "" if result is None else "  " + _mark(result, color)
        lines.append(f" {_cells(cells, widths)}{mark}")
    hidden = rows[SITES_MAX:]
    if hidden:
        counts = [next(iter(row.values())).result for row in hidden]
        text = f" and {len(hidden):,} more sites"
        if report.judged and not several:
            parts = [f"{counts.count(r):,} {r}" for r in Result if counts.count(r)]
            text += f": {', '.join(parts)}"
        lines.append(text)
    if several:
        lines.append(" answered, p99, drain, lost: the worst of the readings; offl.: while offline")
    return lines


def _site_cells(first: SiteSummary, row: dict[str, SiteSummary]) -> list[str]:
    several = list(row.values())
    slowest = max((s.response_time_us_p99 for s in several if s.response_time_us_p99), default=None)
    longest = max((s.convergence_us_max for s in several if s.convergence_us_max), default=None)
    answered = [s.availability_share for s in several if s.availability_share is not None]
    return [
        first.site,
        f"{max(s.outages for s in several):,}",
        duration_text(max(s.offline_us for s in several)),
        percent(min(answered, default=None)),
        *(percent(summary.offline_availability_share) for summary in several),
        "-" if slowest is None else duration_text(slowest),
        "-" if longest is None else duration_text(longest),
        f"{max(s.lost_acked_writes for s in several):,}",
    ]


def _cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    name = cells[0] if len(cells[0]) <= widths[0] else cells[0][: widths[0] - 1] + "…"
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([name.ljust(widths[0]), *rest])


def percent(share: float | None) -> str:
    """Return *share* for a table; 100% and 0% only where it is exactly so.

    >>> percent(1.0), percent(0.99999999), percent(0.98765), percent(None)
    ('100%', '99.99%', '98.77%', '-')
    """
    if share is None:
        return "-"
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return f"{min(max(share, 0.0001), 0.9999):.2%}"


# ---- checks ------------------------------------------------------------------------------------


def _mark(result: Result, color: bool) -> str:
    text = f"{GLYPHS[result]} {result.upper()}"
    return f"\x1b[{_COLORS[result]}m{text}\x1b[0m" if color else text


def _check(report: Report, verdict: Verdict, color: bool) -> list[str]:
    padding = " " * (INDENT - 1 - len(_mark(verdict.result, False)))
    line = f" {_mark(verdict.result, color)}{padding}{verdict.name}"
    if verdict.value is not None and not verdict.readings:
        line += f"  {_value(verdict.value, verdict.unit)}"
    if verdict.target is not None and verdict.unit:
        sign = "≥" if verdict.bound == "min" else "≤"
        line += f"  (target {sign} {_value(verdict.target, verdict.unit)})"
    lines = [line, *_reasons(verdict)]
    if verdict.result is not Result.PASS:
        for piece in verdict.evidence[:EVIDENCE_MAX]:
            lines += _indented(_evidence_text(report, piece, verdict.unit), 2)
    return lines


def _reasons(verdict: Verdict) -> list[str]:
    """Give the reason; of several readings their results, and the reasons that tell them apart."""
    if not verdict.readings:
        return _indented(verdict.reason)
    lines = _indented(
        "   ".join(
            f"{name}: {_value(one.value, verdict.unit)} {one.result.upper()}"
            for name, one in verdict.readings.items()
        )
    )
    several = list(verdict.readings.values())
    if len({one.result for one in several}) > 1:
        lines += _indented(verdict.reason)
        for name, one in verdict.readings.items():
            lines += _indented(f"{name}: {one.reason}")
        return lines
    # They agree: the one with the worst value says enough.
    telling = next((one for one in several if one.value == verdict.value), several[0])
    return lines + _indented(telling.reason)


def _indented(text: str, more: int = 0) -> list[str]:
    return _wrapped(text, INDENT + 1 + more, " " * (INDENT + more))


def _evidence_text(report: Report, piece: Evidence, unit: str) -> str:
    """Say where, when and how much; a shortage says its numbers itself."""
    when = ""
    if piece.start_us is not None and piece.start_us > 0:
        when = report.instant(piece.start_us).replace("T", " ").removesuffix("Z")
        if piece.end_us is not None:
            when += f" +{duration_text(piece.end_us - piece.start_us)}"
    if unit == "us":
        what = f"{duration_text(round(piece.number))} {piece.what}"
    else:
        what = piece.what if unit == "shortages" else f"{piece.number:,} {piece.what}"
    return "  ".join(part for part in (piece.site, when, what) if part)


def _value(value: float | int | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "share":
        text = percent(float(value))
        return text.replace(".00%", "%")
    if unit == "us":
        return duration_text(round(value))
    return f"{value:,}"


def _summary(report: Report, color: bool) -> list[str]:
    results = [verdict.result for verdict in report.verdicts.checks]
    order = (Result.PASS, Result.FAIL, Result.UNKNOWN)
    counts = ", ".join(f"{results.count(r)} {r}" for r in order if results.count(r))
    return [f" {_mark(report.verdicts.result, color)}: {counts}  (exit code {report.exit_code})"]
