"""Exports of monitoring systems become outage records: one importer a file, one record for all.

record = read(["outages.csv"])
record = read(sorted(Path("export").glob("*.json")), format="prometheus")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Any

from edgetwin.errors import Problem, ScenarioError, UsageError, did_you_mean
from edgetwin.inputs.records import (
    aws_iot,
    cstate,
    failure_trace_archive,
    heartbeats,
    icingadb,
    incident_tables,
    index,
    ioda,
    kubectl,
    last_seen,
    loss_table,
    mahimahi,
    matrix,
    nagios,
    outage_table,
    prometheus,
    ripe_atlas,
    smokeping,
    state_table,
    statuspage,
    throughput,
    upptime,
    uptime_kuma,
    zabbix,
)
from edgetwin.inputs.records.gathered import Gathered, Importer
from edgetwin.inputs.records.instants import zone_of
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source, open_source
from edgetwin.outages import Record, joined

IMPORTERS: tuple[Importer, ...] = (
    prometheus, kubectl, upptime, uptime_kuma, ripe_atlas, ioda, nagios, icingadb, zabbix,
    statuspage, cstate, aws_iot, smokeping, failure_trace_archive, last_seen, throughput,
    index, loss_table, *incident_tables.TABLES, state_table, outage_table,
    matrix, mahimahi, heartbeats,
)  # fmt: skip
"""Every format, the most particular first: the first that recognises a file reads it."""


def read(
    paths: str | Path | Iterable[str | Path],
    *,
    format: str | None = None,  # noqa: A002
    zone: str | tzinfo | None = None,
    **options: Any,
) -> Record:
    """Return the record of what the export *paths* say.

    *format* is an importer's NAME, or None to detect it; *zone* is that of times that name none;
    *options* are the fields of `Options`. Files of several formats become one record, as `joined`
    does. Raises ScenarioError with every row that is wrong, UsageError if the call is.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise UsageError("no file to read")
    chosen = replace(
        Options(**options), zone=zone_of(zone) if isinstance(zone, str) else zone
    )  # fmt: skip
    problems: list[Problem] = []
    groups: dict[str, tuple[Importer, list[Source]]] = {}
    for path in files:
        try:
            source = open_source(Path(path))
            importer = named(format) if format else detect(source)
            groups.setdefault(importer.NAME, (importer, []))[1].append(source)
        except ScenarioError as error:
            problems.extend(error.problems)
    if problems:
        raise ScenarioError(problems)
    return joined_records(
        [_taken(importer, sources, chosen) for importer, sources in groups.values()]
    )


def joined_records(records: Sequence[Record]) -> Record:
    """Return the only record, or all *records* as one."""
    return records[0] if len(records) == 1 else joined(records)


def _taken(importer: Importer, sources: Sequence[Source], options: Options) -> Record:
    gathered = Gathered(options)
    importer.take(sources, options, gathered)
    return gathered.record()


def named(name: str) -> Importer:
    """Return the importer called *name*; raises UsageError if there is none."""
    known = {importer.NAME: importer for importer in IMPORTERS}
    if name in known:
        return known[name]
    raise UsageError(f"unknown format {name!r}; {did_you_mean(name, known)}")


def detect(source: Source) -> Importer:
    """Return the importer that recognises *source*; raises ScenarioError if none does."""
    for importer in IMPORTERS:
        if importer.recognises(source):
            return importer
    if source.looks_like_json:
        # Where it is no JSON after all, this says where it breaks off.
        _ = source.json
    known = ", ".join(importer.NAME for importer in IMPORTERS)
    raise source.wrong(0, "not a format that is known", f"say which with --format: {known}")
