"""A record at a glance, as a Vega-Lite chart: lengths, gaps, hours, sites, the whole timeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgetwin.climate import Climate
from edgetwin.errors import UsageError
from edgetwin.laws import Floats, Law

POINTS_MAX = 400
"""Points of a curve. Chosen: more than a panel has pixels to tell apart."""

SITES_MAX = 120
"""Sites on the timeline, the most afflicted first. Chosen: a line of three pixels each."""

OUTAGES_MAX = 20_000
"""Bars on the timeline, the longest first; a picture of more is only larger."""

HINT = "a picture needs the png extra: pip install 'edgetwin[png]'; FILE.json gives Vega-Lite"


def chart(seen: Climate, *, title: str, offset_us: int = 0) -> dict[str, Any]:
    """Return the Vega-Lite description of *seen*; hours are local by *offset_us*."""
    length_fits, gap_fits = seen.length_fits(), seen.gap_fits()
    curves = [
        _curve("Outages that last longer", seen.length_us / 1e6,
               length_fits[0].law if length_fits else None),
        _curve("Gaps between starts that are longer", seen.gaps_us / 1e6,
               gap_fits[0].law if gap_fits else None),
    ]  # fmt: skip
    hours = seen.hours(offset_us)
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": title,
        "vconcat": [
            {"hconcat": curves, "resolve": {"scale": {"color": "independent"}}},
            {"hconcat": [_hours(hours), _sites(seen)]},
            _timeline(seen),
        ],
        "resolve": {"scale": {"color": "independent"}},
    }


def _curve(title: str, values_s: Floats, law: Law | None) -> dict[str, Any]:
    """Share of values beyond each length, and the same of the best law."""
    positive = np.sort(values_s[values_s > 0])
    rows: list[dict[str, Any]] = []
    if len(positive):
        last = len(positive) - 1
        # Every one of the longest: the tail is what the picture is for.
        spread = np.concatenate((np.linspace(0, last, POINTS_MAX), np.arange(last - 80, last + 1)))
        places = np.unique(np.maximum(spread, 0).astype(int))
        for k in places.tolist():
            share = 1 - k / len(positive)
            rows.append({"length": float(positive[k]), "share": share, "what": "record"})
        if law is not None:
            grid = np.geomspace(positive[0], positive[-1], POINTS_MAX)
            beyond = 1 - law.cdf(grid)
            rows += [
                {"length": float(x), "share": float(y), "what": law.name}
                for x, y in zip(grid, beyond, strict=True)
                if y > 0.5 / len(positive)
            ]
    return {
        "title": title,
        "width": 360,
        "height": 200,
        "data": {"values": rows},
        "mark": {"type": "line", "interpolate": "step-after"},
        "encoding": {
            "x": {"field": "length", "type": "quantitative", "scale": {"type": "log"},
                  "title": "seconds"},
            "y": {"field": "share", "type": "quantitative", "scale": {"type": "log"},
                  "title": "share beyond"},
            "color": {"field": "what", "type": "nominal", "title": None},
        },
    }  # fmt: skip


def _hours(weights: Floats) -> dict[str, Any]:
    rows = [{"hour": hour, "weight": float(weight)} for hour, weight in enumerate(weights)]
    return {
        "title": "Starts in each hour against the mean",
        "width": 360,
        "height": 160,
        "data": {"values": rows},
        "mark": "bar",
        "encoding": {
            "x": {"field": "hour", "type": "ordinal", "title": "hour of the day"},
            "y": {"field": "weight", "type": "quantitative", "title": "times the mean"},
        },
    }


def _sites(seen: Climate) -> dict[str, Any]:
    down = np.sort(seen.downtime_us)[::-1]
    total = max(int(down.sum()), 1)
    held = np.cumsum(down) / total
    rows = [{"site": k + 1, "share": float(share)} for k, share in enumerate(held)]
    return {
        "title": "Share of all downtime that the worst sites hold",
        "width": 360,
        "height": 160,
        "data": {"values": rows},
        "mark": "line",
        "encoding": {
            "x": {"field": "site", "type": "quantitative", "title": "sites, the worst first"},
            "y": {"field": "share", "type": "quantitative", "title": "share of downtime"},
        },
    }


def _timeline(seen: Climate) -> dict[str, Any]:
    worst = np.argsort(-seen.downtime_us, kind="stable")[:SITES_MAX]
    shown = np.isin(seen.site, worst)
    places = np.flatnonzero(shown)
    places = places[np.argsort(-seen.length_us[places], kind="stable")][:OUTAGES_MAX]
    day_us = 86_400e6
    rows = [
        {
            "site": seen.sites[int(seen.site[k])],
            "from": (float(seen.start_us[k]) - seen.window_us[0]) / day_us,
            "to": (float(seen.end_us[k]) - seen.window_us[0]) / day_us,
            "kind": seen.kinds[k],
        }
        for k in sorted(places.tolist())
    ]
    return {
        "title": f"Outages of the {len(worst)} sites that were down longest",
        "width": 800,
        "height": {"step": 4},
        "data": {"values": rows},
        "mark": {"type": "bar", "minBandSize": 2},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "title": "days"},
            "x2": {"field": "to"},
            "y": {"field": "site", "type": "nominal", "axis": None,
                  "sort": [seen.sites[int(k)] for k in worst]},
            "color": {"field": "kind", "type": "nominal"},
        },
    }  # fmt: skip


def save(description: dict[str, Any], path: Path) -> None:
    """Write the chart to *path*: .json as it is, .svg or .png drawn.

    Raises UsageError if the ending is another, or drawing needs an extra that is not there.
    """
    kind = path.suffix.lower()
    if kind == ".json":
        content = (json.dumps(description, indent=1) + "\n").encode()
    elif kind in (".svg", ".png"):
        try:
            import vl_convert
        except ImportError:
            raise UsageError(HINT) from None
        if kind == ".svg":
            content = str(vl_convert.vegalite_to_svg(description)).encode()
        else:
            content = bytes(vl_convert.vegalite_to_png(description, scale=2))
    else:
        raise UsageError(f"{path}: a plot is written as .png, .svg or .json")
    try:
        path.write_bytes(content)
    except OSError as fault:
        raise UsageError(f"{path} cannot be written: {fault.strerror}") from None
