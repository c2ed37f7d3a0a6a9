"""cState: one Markdown file an incident, with its facts in the front matter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import iso_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import MINUTE_US

NAME = "cstate"
WHAT = "incident files (Markdown with front matter); give them all"

TYPED_ERR_US = 5 * MINUTE_US
"""People write incidents down after they noticed them. Chosen: no source says how late."""

_KIND = {"down": "network", "disrupted": "degraded", "notice": ""}


def recognises(source: Source) -> bool:
    return source.head.lstrip().startswith("---") and "resolvedWhen:" in source.head


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    notices = 0
    for source in sources:
        gathered.rows += 1
        fields = _front_matter(source.text)
        severity = str(fields.get("severity", ""))
        if severity not in _KIND:
            found = f"unknown severity {severity!r}"
            gathered.reject(source, 1, "severity", found, f"one of {', '.join(_KIND)}")
            continue
        if not _KIND[severity]:
            notices += 1
            continue
        _take_incident(source, fields, _KIND[severity], options, gathered)
    if notices:
        gathered.note(f"{notices} notices are left out")


def _front_matter(text: str) -> Mapping[str, str | list[str]]:
    """Read the plain keys and the lists between the two lines of dashes."""
    fields: dict[str, str | list[str]] = {}
    listed = ""
    for line in text.lstrip().split("---", 2)[1].splitlines():
        item = re.fullmatch(r"\s+-\s+(.*)", line) or re.fullmatch(r"-\s+(.*)", line)
        pair = re.fullmatch(r"(\w+):\s*(.*)", line)
        if item and listed:
            values = fields[listed]
            assert isinstance(values, list)
            values.append(item[1].strip().strip("\"'"))
        elif pair:
            value = pair[2].split(" #")[0].strip()
            listed = pair[1] if not value or value.startswith("[") else ""
            inline = [v.strip().strip("\"'") for v in value.strip("[]").split(",") if v.strip()]
            fields[pair[1]] = inline if listed else value.strip("\"'")
    return fields


def _take_incident(
    source: Source, fields: Mapping[str, str | list[str]], kind: str, options: Options,
    gathered: Gathered,
) -> None:  # fmt: skip
    affected = fields.get("affected")
    sites = affected if isinstance(affected, list) else []
    when, resolved = str(fields.get("resolvedWhen") or ""), fields.get("resolved") == "true"
    when = "" if when == "[]" else when
    if not sites:
        gathered.reject(source, 1, "affected", "names no system", "list what was affected")
        return
    try:
        start = iso_us(str(fields.get("date", "")), options.zone)
        end = iso_us(when, options.zone) if when else None
    except ValueError as fault:
        gathered.reject(source, 1, "", str(fault))
        return
    if bool(when) != resolved:
        # Both occur in real files; trust the written time, and say so.
        gathered.note(f"{source.name}: resolved is {resolved}, resolvedWhen {when or 'is empty'}")
    if end is None and resolved:
        gathered.reject(source, 1, "resolvedWhen", "resolved, but not when", "fill it in")
        return
    if end is not None and end <= start:
        gathered.reject(source, 1, "resolvedWhen", "resolved before it started")
        return
    for site in sites:
        gathered.down(site, start, end, kind=kind, cause=str(fields.get("title", "")),
                      err_us=(TYPED_ERR_US, TYPED_ERR_US))  # fmt: skip
