"""Prometheus range queries: ``/api/v1/query_range?query=probe_success&start=&end=&step=``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgetwin.inputs.records.entries import first_object
from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.sampled import common_step_us, samples
from edgetwin.inputs.records.source import Source

NAME = "prometheus"
WHAT = "the matrix of a range query, such as probe_success; several files join"


def recognises(source: Source) -> bool:
    document = first_object(source)
    return "status" in document and ("data" in document or "errorType" in document)


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    sighted: dict[str, list[tuple[int, str]]] = {}
    for source in sources:
        for k, series in enumerate(_series(source)):
            place = f"data.result[{k}]"
            labels = series.get("metric") if isinstance(series, dict) else None
            values = series.get("values") if isinstance(series, dict) else None
            if not isinstance(labels, dict) or not isinstance(values, list):
                gathered.reject(source, 0, place, "no metric with values", "export a range query")
                continue
            site = labels.get(options.site_label)
            if not isinstance(site, str):
                known = ", ".join(sorted(map(str, labels)))
                gathered.reject(
                    source, 0, f"{place}.metric", f"no label {options.site_label!r}",
                    f"say --label with one of {known}",
                )  # fmt: skip
                continue
            states = sighted.setdefault(site, [])
            for n, sample in enumerate(values):
                gathered.rows += 1
                try:
                    states.append(_state(sample))
                except (ValueError, TypeError, IndexError) as fault:
                    gathered.reject(source, 0, f"{place}.values[{n}]", str(fault))
    if not sighted:
        gathered.raise_if_wrong()
        raise sources[0].wrong(0, "the query gave no series", "check the query and its window")
    # One step for all, so that a series with a single sample has one too.
    step = options.step_us or min(
        (s for s in (_step(states) for states in sighted.values()) if s), default=None
    )  # fmt: skip
    for site in sorted(sighted):
        samples(gathered, site, sighted[site], step_us=step)
    if all(state == "up" for states in sighted.values() for _, state in states):
        gathered.note(
            "every sample is up: if the edge writes its gaps later (remote write), outages are "
            "invisible here"
        )


def _step(states: Sequence[tuple[int, str]]) -> int | None:
    return common_step_us(sorted(at for at, _ in states))


def _series(source: Source) -> list[Any]:
    document = source.json
    if not isinstance(document, dict):
        raise source.wrong(0, "not a reply of the Prometheus API", "give one reply a file")
    if document.get("status") != "success":
        kind, error = document.get("errorType", "error"), document.get("error", "no reason given")
        raise source.wrong(0, f"Prometheus refused the query: {kind}: {error}", "mend the query")
    data = document.get("data")
    found = data.get("resultType") if isinstance(data, Mapping) else None
    if found != "matrix":
        raise source.wrong(
            0, f"a {found or 'reply'}, not a matrix: it holds one instant",
            "ask /api/v1/query_range with start, end and step",
            "data.resultType",
        )  # fmt: skip
    result = data.get("result") if isinstance(data, Mapping) else None
    if not isinstance(result, list):
        raise source.wrong(0, "no list of series", "export it again", "data.result")
    return result


def _state(sample: Any) -> tuple[int, str]:
    """Return the instant and state of a sample ``[time, "value"]``."""
    at, value = sample
    at_us = epoch_us(at, "s")
    number = float(value)
    if math.isnan(number):
        return at_us, "unknown"
    if number not in (0.0, 1.0):
        raise ValueError(f"{value!r} is neither 0 nor 1; query probe_success or up, not a rate")
    return at_us, "up" if number else "down"
