"""What ``check`` and ``run`` do alike: load, simulate every reading, judge, save, report."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetwin.errors import ScenarioError, UsageError, did_you_mean

if TYPE_CHECKING:
    from edgetwin.history import History
    from edgetwin.model import Scenario
    from edgetwin.report.content import Report

READINGS = ("cut", "power", "mixed")
RULES = ("name", "rank", "sample", "grow")
"""How recorded sites become modelled ones where no file maps them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``check`` and ``run`` share to *parser*."""
    parser.add_argument(
        "--outages",
        action="append",
        default=[],
        metavar="FILE",
        help="outage record to replay in place of the topology's own; repeatable: several, such as "
        "the power's and the network's, are joined",
    )
    parser.add_argument(
        "--window",
        metavar="A..B",
        help="replay this part of the record: 2d..9d into it, or dates, 2024-05-01..2024-05-08",
    )
    parser.add_argument(
        "--stretch",
        metavar="X",
        help="then make outages and the times between them X times as long",
    )
    parser.add_argument(
        "--shift",
        metavar="D",
        help="then let outages come D later in the run; --shift=-2h: earlier",
    )
    parser.add_argument(
        "--map",
        metavar="FILE|RULE",
        help=f"recorded to modelled sites: a CSV file, or {', '.join(RULES)}",
    )
    parser.add_argument(
        "--reading",
        choices=(*READINGS, "all"),
        help="what a `network` row means; all: the three side by side (default with --outages "
        "where the record has such rows, else the topology's)",
    )
    parser.add_argument(
        "--record-error", metavar="D", help="error of the record's instants, such as 30m"
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="default 0")
    parser.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="processes (default: one for every few million requests, up to the processors)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="take VALUE for what the topology says at PATH, such as sync.interval=30s; repeatable",
    )
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the history, as Parquet")
    parser.add_argument("--span", metavar="D", help="block span of requests; changes no result")
    add_outputs(parser)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add ``-o`` to *parser*."""
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="FORMAT[:PATH]",
        help="text (default) or json, to standard output or a file; repeatable",
    )


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; write for example 7")
    return int(text)


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes; write 1 or more")
    return number


def assess(paths: Sequence[str], arguments: argparse.Namespace, command: str) -> "list[Report]":
    """Load the scenarios at *paths*, simulate and judge each, and write what was asked for.

    Everything that could be wrong with the call or an input is said before anything is run.
    """
    from edgetwin.report.outputs import outputs, write

    chosen = outputs(arguments.output)
    span_us = _duration_us("--span", arguments.span)
    scenarios, load_s = _load(paths, arguments)
    places = _places(arguments.save, scenarios)
    reports = []
    for path, scenario in scenarios.items():
        reports.append(
            _assessed(path, scenario, arguments, command, span_us, load_s[path], places.get(path))
        )
    write(chosen, reports)
    return reports


def _duration_us(option: str, text: str | None) -> int | None:
    from edgetwin import units

    if text is None:
        return None
    try:
        duration = units.duration_us(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
    if duration <= 0:
        raise UsageError(f"{option}: {text!r} is no time at all; write for example '1m'")
    return duration


def _load(
    paths: Sequence[str], arguments: argparse.Namespace
) -> "tuple[dict[str, Scenario], dict[str, float]]":
    """Load every scenario; the problems of all of them are raised together."""
    from edgetwin.inputs.scenario import load

    rule, mapping = None, None
    if arguments.map in RULES:
        rule = arguments.map
    elif arguments.map is not None:
        mapping = Path(arguments.map)
        if not mapping.is_file():
            hint = did_you_mean(arguments.map, RULES)
            raise UsageError(f"--map: no file and no rule {arguments.map!r}; {hint}")
    settings = list(arguments.set)
    if arguments.record_error is not None:
        _duration_us("--record-error", arguments.record_error)
        settings.append(f"outages.record_error={arguments.record_error}")
    problems, scenarios, load_s = [], {}, {}
    for path in dict.fromkeys(paths):
        start_s = time.perf_counter()
        try:
            scenarios[path] = load(
                path,
                outages=arguments.outages or None,
                mapping=mapping,
                rule=rule,
                settings=settings,
                seed=arguments.seed,
                window=arguments.window,
                stretch=arguments.stretch,
                shift=arguments.shift,
            )
        except ScenarioError as error:
            problems += error.problems
        load_s[path] = time.perf_counter() - start_s
    if problems:
        raise ScenarioError(problems)
    return scenarios, load_s


def _places(save: Path | None, scenarios: "dict[str, Scenario]") -> dict[str, Path]:
    """Return where each scenario's history is saved; UsageError if it could not be."""
    from edgetwin.report.outputs import check_writable

    if save is None:
        return {}
    if save.exists():
        raise UsageError(f"--save: {str(save)!r} exists; name a new directory for the history")
    check_writable(save, "--save")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UsageError("--save: histories are Parquet; install edgetwin[parquet]") from error
    if len(scenarios) == 1:
        return dict.fromkeys(scenarios, save)
    names = [scenario.topology.name for scenario in scenarios.values()]
    if len(set(names)) < len(names):
        raise UsageError(f"--save: two scenarios of one name ({', '.join(names)}); save them apart")
    return {path: save / scenario.topology.name for path, scenario in scenarios.items()}


def readings_of(
    scenario: "Scenario", asked: str | None, *, replaced: bool
) -> tuple[tuple[str, ...], str]:
    """Return the readings to simulate, and what to say about them.

    A record *replaced* by ``--outages`` whose rows are ambiguous is read in all three ways unless
    *asked* for one; a record without such rows reads alike in every way.
    """
    from edgetwin.outages import AMBIGUOUS_KINDS

    ambiguous = any(outage.kind in AMBIGUOUS_KINDS for outage in scenario.record.outages)
    reading = asked or ("all" if replaced else scenario.topology.outages.reading)
    if reading != "all":
        return (reading,), ""
    if not ambiguous:
        return ("cut",), "" if asked is None else (
            "no row of the record is of kind `network`, so its three readings are one"
        )
    note = "the record does not say whether a link or the power failed: three readings side by side"
    return READINGS, note


def _assessed(
    path: str,
    scenario: "Scenario",
    arguments: argparse.Namespace,
    command: str,
    span_us: int | None,
    load_s: float,
    place: Path | None,
) -> "Report":
    from edgetwin import __version__
    from edgetwin.checks import check
    from edgetwin.engine.run import simulate
    from edgetwin.report.content import report_of
    from edgetwin.report.progress import Progress
    from edgetwin.terms import stored, terms_of

    terms = terms_of(scenario)
    readings, note = readings_of(scenario, arguments.reading, replaced=bool(arguments.outages))
    histories: dict[str, History] = {}
    measured: dict[str, Any] = {"load_s": round(load_s, 3)}
    for reading in readings:
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        with Progress(f"{scenario.topology.name} {reading}") as progress:
            history = simulate(
                scenario,
                seed=arguments.seed,
                reading=reading,
                jobs=arguments.jobs or processes_for(scenario),
                span_us=span_us,
                progress=progress,
            )
        measured[f"simulate_{reading}_s"] = round(time.perf_counter() - start_s, 3)
        measured[f"simulate_{reading}_cpu_s"] = round(time.process_time() - start_cpu_s, 3)
        measured[f"requests_{reading}"] = int(history.column("outcomes", "issued").sum())
        histories[reading] = replace(history, meta={**history.meta, "terms": stored(terms)})
    start_s = time.perf_counter()
    verdicts = check(terms, histories)
    measured["check_s"] = round(time.perf_counter() - start_s, 3)
    if place is not None:
        save(histories, place)
    return report_of(
        terms,
        histories,
        verdicts,
        path=path,
        version=__version__,
        notes=(*scenario.notes, *((note,) if note else ())),
        next_steps=_next_steps(path, arguments, command, readings, place, verdicts.result),
        measured=measured,
    )


REQUESTS_A_PROCESS = 4_000_000
"""Requests that pay for another process. Chosen: about a second of work."""


def processes_for(scenario: "Scenario") -> int:
    """Return how many processes a run is worth, at most one a processor."""
    import os

    outages = scenario.topology.outages
    start_us, end_us = scenario.record.window_us
    rate_per_us = sum(
        site.count * devices.count / request.every_us
        for site in scenario.topology.sites.values()
        for devices in site.devices.values()
        for request in devices.requests.values()
    )
    requests = rate_per_us * ((outages.duration_us or end_us - start_us) + outages.settle_us)
    return max(1, min(os.cpu_count() or 1, int(requests / REQUESTS_A_PROCESS)))


def save(histories: "dict[str, History]", place: Path) -> None:
    """Save one history at *place*, or several below it, a directory a reading; all or none."""
    import shutil
    import tempfile

    place.parent.mkdir(parents=True, exist_ok=True)
    if len(histories) == 1:
        next(iter(histories.values())).save(place)
        return
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        for reading, history in histories.items():
            history.save(work / reading)
        work.rename(place)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _next_steps(
    path: str,
    arguments: argparse.Namespace,
    command: str,
    readings: Sequence[str],
    place: Path | None,
    result: str,
) -> tuple[str, ...]:
    record = "".join(f" --outages {file}" for file in arguments.outages)
    record += f" --map {arguments.map}" if arguments.map else ""
    for name in ("window", "stretch", "shift"):
        given = getattr(arguments, name)
        record += f" --{name}={given}" if given is not None else ""
    steps = []
    if len(readings) > 1 and result != "pass":
        steps.append(
            f"edgetwin {command} {path}{record} --reading cut   if you know what the record means"
        )
    if place is not None:
        steps.append(f"edgetwin report {place} -o json:result.json   the same results again")
    else:
        steps.append(
            f"edgetwin {command} {path}{record} --save run   the history, to look at with pandas"
        )
    return tuple(steps)
