"""A record, a fit and a comparison in words and tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetwin.climate import LENGTHS_US, Climate
from edgetwin.laws import KS_FITS_MAX, Fit
from edgetwin.outages import Record, summary
from edgetwin.storm_fit import Compared, Learned
from edgetwin.units import duration_text

_BANDS = ((1, 1), (2, 4), (5, 19), (20, 10**9))
"""Sizes of groups that start together, as in facts/traces.md, 3."""

_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def figures(record: Record, seen: Climate, offset_us: int) -> dict[str, Any]:
    """Return every figure of *seen* by name, for programs and for the text."""
    sizes = seen.group_sizes
    total = max(seen.outages, 1)
    months = np.maximum(seen.watched_us, 1) / (30 * 86_400e6)
    rates = np.sort(seen.counts / months) if len(seen.sites) else np.zeros(1)
    worst = np.sort(seen.downtime_us)[::-1]
    return {
        "sites": len(seen.sites),
        "outages": seen.outages,
        "degraded_periods": len(seen.degraded_us),
        "kinds": dict(sorted(Counter(seen.kinds).items())),
        "site_months": round(seen.site_months, 3),
        "unknown_us": sum(gap.end_us - gap.start_us for gap in record.unknown),
        "rate_per_site_month": seen.rate_per_month,
        "rate_per_site_month_min": float(rates[0]),
        "rate_per_site_month_median": float(np.median(rates)),
        "rate_per_site_month_max": float(rates[-1]),
        "duration_us": {
            name: round(seen.length_quantile_us(share))
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
        },
        "longer_than": [
            {"length_us": length, "outages_share": share, "downtime_share": held}
            for length in LENGTHS_US
            for share, held in (seen.beyond(length),)
        ],
        "downtime_us": int(seen.downtime_us.sum()),
        "availability_mean": float(seen.availability.mean()) if len(seen.sites) else None,
        "availability_median": float(np.median(seen.availability)) if len(seen.sites) else None,
        "sites_below_99_percent_share": float((seen.availability < 0.99).mean()),
        "worst_ten_downtime_share": float(worst[:10].sum() / max(int(worst.sum()), 1)),
        "gap_variation": seen.gap_variation,
        "start_together_share": seen.together_share,
        "group_outages_share": {
            f"{low}-{high}" if high < 10**9 else f"{low}+": float(
                sizes[(sizes >= low) & (sizes <= high)].sum() / total
            )
            for low, high in _BANDS
        },
        "largest_group": int(sizes.max()) if len(sizes) else 0,
        "most_down_at_once": seen.down_at_once,
        "hours": seen.hours(offset_us).round(3).tolist(),
        "days": seen.days(offset_us).round(3).tolist(),
        "grid_us": seen.grid_us,
        "duration_laws": [_law(fit) for fit in seen.length_fits()],
        "gap_laws": [_law(fit) for fit in seen.gap_fits()],
    }


def _law(fit: Fit) -> dict[str, Any]:
    parameters = {
        name: value for name, value in vars(fit.law).items() if isinstance(value, int | float)
    }
    return {"law": fit.law.name, **parameters, "log_likelihood": fit.log_likelihood, "ks": fit.ks}


def as_json(record: Record, seen: Climate, offset_us: int) -> str:
    """Return the figures as JSON, with what the importer said."""
    return json.dumps({**figures(record, seen, offset_us), "notes": list(record.notes)}, indent=1)


def as_text(record: Record, seen: Climate, offset_us: int) -> str:
    """Return the figures as a page of text."""
    found = figures(record, seen, offset_us)
    length = found["duration_us"]
    bands = ", ".join(f"{name}: {share:.0%}" for name, share in
                      found["group_outages_share"].items())  # fmt: skip
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["kinds"].items())
    lines = [
        summary(record),
        *(f"  {note}" for note in record.notes),
        "",
        f"sites          {found['sites']}, watched {found['site_months']:.1f} site-months",
        f"kinds          {kinds or 'none'}; {found['degraded_periods']} degraded periods",
        f"rate           {found['rate_per_site_month']:.2f} outages a site-month (sites: "
        f"{found['rate_per_site_month_min']:.2f} to {found['rate_per_site_month_max']:.2f}, "
        f"median {found['rate_per_site_month_median']:.2f})",
        "duration       "
        + ", ".join(f"{name} {duration_text(value)}" for name, value in length.items())
        + " (wholly seen ones)",
        f"downtime       {duration_text(found['downtime_us'])} in all",
        *(
            f"  over {duration_text(row['length_us']):<9} {row['outages_share']:6.1%} of outages, "
            f"{row['downtime_share']:6.1%} of downtime"
            for row in found["longer_than"]
        ),
        *_availability(found),
        f"bursts         gaps vary {found['gap_variation']:.2f} times as much as they last "
        "(1 if outages came at random)",
        f"together       {found['start_together_share']:.1%} start within 5 min of one elsewhere; "
        f"in groups of {bands}; largest {found['largest_group']}; "
        f"{found['most_down_at_once']} sites down at once",
        "hours          " + _bars(found["hours"]),
        "days           "
        + " ".join(f"{name} {x:.2f}" for name, x in zip(_WEEK, found["days"], strict=True)),
        f"resolution     all instants lie on a grid of {duration_text(found['grid_us'])}",
        *_laws("duration", found["duration_laws"]),
        *_laws("gap", found["gap_laws"]),
    ]
    return "\n".join(lines)


def _availability(found: dict[str, Any]) -> list[str]:
    if found["availability_mean"] is None:
        return []
    return [
        f"availability   mean {found['availability_mean']:.2%}, median "
        f"{found['availability_median']:.2%}; {found['sites_below_99_percent_share']:.0%} of sites "
        f"under 99 %; the worst ten hold {found['worst_ten_downtime_share']:.0%} of the downtime"
    ]


def _bars(weights: Sequence[float]) -> str:
    """Return one block a value, as high as it is; the peak by name."""
    blocks = "▁▂▃▄▅▆▇█"
    top = max(weights) or 1.0
    peak = max(range(len(weights)), key=lambda hour: weights[hour])
    drawn = "".join(blocks[min(7, int(weight / top * 8))] for weight in weights)
    return f"{drawn}  0 to 23 h; most at {peak:02}:00, {weights[peak]:.1f} times the mean"


def _laws(what: str, laws: Sequence[dict[str, Any]]) -> list[str]:
    if not laws:
        return [f"{what + ' law':<14} too few for a law: resample"]
    lines = []
    for k, law in enumerate(laws):
        numbers = ", ".join(
            f"{name} {value:.4g}"
            for name, value in law.items()
            if name not in ("law", "log_likelihood", "ks")
        )
        lines.append(
            f"{what + ' law' if k == 0 else '':<14} {law['law']:<12} {numbers} (seconds); "
            f"log-likelihood {law['log_likelihood']:.0f}, KS {law['ks']:.3f}"
        )
    if laws[0]["ks"] > KS_FITS_MAX:
        lines.append(f"{'':<14} none fits within {KS_FITS_MAX}: resample")
    return lines


def reasons(learned: Learned) -> str:
    """Return which law was taken for what, and why."""
    return "\n".join(
        f"{choice.what:<10} {choice.law:<12} {choice.reason}" for choice in learned.choices
    )


def comparison(rows: Sequence[Compared], runs: int) -> str:
    """Return the record's figures beside those of the storms drawn."""
    lines = [f"{'':<16} {'record':>10} {'5 %':>10} {'50 %':>10} {'95 %':>10}   of {runs} storms"]
    for row in rows:
        verdict = "inside" if row.inside else "OUTSIDE"
        lines.append(
            f"{row.trait.name:<16} {row.trait.value:>10.3f} {row.low:>10.3f} {row.middle:>10.3f} "
            f"{row.high:>10.3f}   {verdict}  {row.trait.unit}"
        )
    return "\n".join(lines)
