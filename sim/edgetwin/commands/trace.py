"""``edgetwin trace``: exports become outage records; what they say; storms that look like them."""

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgetwin.errors import ScenarioError, UsageError

HELP = "import, show, generate and fit outage records"

DAY_S = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions to *parser*."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    imported = actions.add_parser(
        "import",
        help="read exports of monitoring systems into outages.csv",
        description="Reads exports of monitoring systems, of one format or several, and writes one "
        "record: outages.csv, and beside it sites.csv and unknown.csv. Formats are detected.",
    )
    _add_reading(imported)
    imported.add_argument("-o", "--output", type=Path, metavar="CSV", help="default: to stdout")
    show = actions.add_parser("show", help="what a record says: rates, lengths, bursts, laws")
    _add_reading(show)
    show.add_argument("--plot", type=Path, metavar="FILE", help=".png, .svg or .json (Vega-Lite)")
    show.add_argument("-o", "--output", action="append", metavar="FORMAT[:PATH]",
                      help="text or json, repeatable; default text")  # fmt: skip
    show.add_argument("--local", default="+00:00", metavar="OFFSET", help="of hours and days")
    generate = actions.add_parser("generate", help="draw a record from laws")
    laws = "as fit writes them (default: those of 96 real sites)"
    generate.add_argument("settings", nargs="?", type=Path, metavar="YAML", help=laws)
    generate.add_argument("--sites", type=int, default=20, metavar="N", help="default 20")
    generate.add_argument("--domains", type=int, default=1, metavar="N", help="failure domains")
    generate.add_argument("--sites-from", type=Path, metavar="CSV", help="with site and group")
    generate.add_argument("--duration", default="90d", help="default 90d")
    generate.add_argument("--start", default="2025-01-01T00:00:00Z", help="of the window")
    generate.add_argument("--seed", type=int, default=0, help="of the draws; default 0")
    generate.add_argument("-o", "--output", type=Path, metavar="CSV", help="default: to stdout")
    fit = actions.add_parser(
        "fit",
        help="learn laws from a record, and test what they give against it",
        description="Learns the settings of a generator, draws storms from them and compares. "
        "0 if the record lies in the central 90 % of the storms in every respect, else 1.",
    )
    _add_reading(fit)
    fit.add_argument("-o", "--output", type=Path, metavar="YAML", help="default: to stdout")
    fit.add_argument("--runs", type=int, default=100, help="storms to compare with; default 100")
    fit.add_argument("--seed", type=int, default=0, help="of the storms drawn; default 0")
    fit.add_argument("--local", default="+00:00", metavar="OFFSET", help="of hours and days")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="export, or .gz of it")
    parser.add_argument("--format", metavar="NAME", help="instead of detecting it; 'list' lists")
    parser.add_argument("--zone", help="of times that name none: -03:00 or America/Sao_Paulo")
    parser.add_argument("--dates", choices=("dmy", "mdy"), help="what 03/04/2024 means")
    parser.add_argument("--window", metavar="START/END", help="when the sites were watched")
    parser.add_argument("--step", help="time between two samples, such as 5m")
    parser.add_argument("--gap", help="silence that counts as an outage, such as 1h")
    parser.add_argument("--grace", help="before Kubernetes says NotReady; default 40s")
    parser.add_argument("--site", help="name, or template such as 'sys{System}-n{node}'")
    parser.add_argument("--label", help="Prometheus label with the site; default instance")
    parser.add_argument("--kind", help="of every outage, such as power")
    parser.add_argument("--match", metavar="REGEX", help="names of Zabbix problems that count")
    parser.add_argument("--below", type=float, help="a sample under this is down")
    parser.add_argument("--above", type=float, help="a sample from this on is down")
    vantage = "more of a matrix's sites down is the prober's fault; default 0.5"
    parser.add_argument("--vantage", type=float, metavar="SHARE", help=vantage)
    parser.add_argument("--soft", action="store_true", help="SOFT problems of Nagios count too")
    parser.add_argument("--skip-bad", action="store_true", help="leave bad rows out, named")


def run(arguments: argparse.Namespace) -> int:
    """Carry the action out. Raises ScenarioError or UsageError if input or usage is wrong."""
    if arguments.action == "generate":
        return _generate(arguments)
    if arguments.format == "list":
        from edgetwin.inputs.records import IMPORTERS

        for importer in IMPORTERS:
            print(f"{importer.NAME:<12} {importer.WHAT}")
        return 0
    record = _read(arguments)
    if arguments.action == "import":
        return _import(record, arguments.output)
    if arguments.action == "show":
        return _show(record, arguments)
    return _fit(record, arguments)


def _read(arguments: argparse.Namespace) -> Any:
    from edgetwin.inputs.records import read
    from edgetwin.outages import KINDS

    if not arguments.files:
        raise UsageError("name the files to read")
    if arguments.kind is not None and arguments.kind not in KINDS:
        raise UsageError(f"--kind: unknown kind {arguments.kind!r}; one of {', '.join(KINDS)}")
    options: dict[str, Any] = {
        "dates": arguments.dates,
        "window_us": _window(arguments.window) if arguments.window else None,
        "step_us": _duration("--step", arguments.step),
        "gap_us": _duration("--gap", arguments.gap),
        "grace_us": _duration("--grace", arguments.grace),
        "site": arguments.site,
        "site_label": arguments.label,
        "kind": arguments.kind,
        "match": _pattern(arguments.match),
        "below": arguments.below,
        "above": arguments.above,
        "vantage_share": arguments.vantage,
        "soft": arguments.soft,
        "skip_bad": arguments.skip_bad,
    }
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return read(arguments.files, format=arguments.format, zone=arguments.zone, **given)
    except ScenarioError as error:
        if not arguments.skip_bad and any(
            problem.line or problem.place for problem in error.problems
        ):
            print("edgetwin: --skip-bad leaves wrong rows out, counted and named", file=sys.stderr)
        raise


def _duration(option: str, text: str | None) -> int | None:
    from edgetwin.units import duration_us

    if text is None:
        return None
    try:
        return duration_us(text)
    except ValueError as fault:
        raise UsageError(f"{option}: {fault}") from None


def _pattern(text: str | None) -> str | None:
    try:
        re.compile(text or "")
    except re.error as fault:
        raise UsageError(f"--match: {text!r} is no regular expression: {fault}") from None
    return text


def _window(text: str) -> tuple[int, int]:
    """Return the window START/END in microseconds; each end in epoch seconds or ISO with a zone."""
    from edgetwin.inputs.records.instants import Clock

    parts = text.split("/")
    try:
        if len(parts) != 2:
            raise ValueError("write START/END")
        start, end = (Clock([part]).us(part) for part in parts)
    except ValueError as fault:
        raise UsageError(f"--window: {fault}") from None
    if end <= start:
        raise UsageError("--window: it ends before it starts")
    return start, end


def _import(record: Any, output: Path | None) -> int:
    """Write the record; what was taken goes to stdout, or to stderr if the record does."""
    from edgetwin.outages import summary
    from edgetwin.record_tables import outages_csv, write

    if output is None:
        sys.stdout.write(outages_csv(record))
        told: Iterable[str] = ()
        stream = sys.stderr
    else:
        told = [f"wrote {path}" for path in write(record, output)]
        stream = sys.stdout
    for line in (f"{record.rows} rows: {summary(record)}", *record.notes, *told):
        print(line, file=stream)
    return 0


def _offset_us(text: str) -> int:
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", text)
    if match is None:
        raise UsageError(f"--local: {text!r} is no offset; write for example -03:00")
    return (-1 if match[1] == "-" else 1) * (int(match[2]) * 3600 + int(match[3]) * 60) * 1_000_000


def _show(record: Any, arguments: argparse.Namespace) -> int:
    from edgetwin.climate import climate
    from edgetwin.record_tables import replace_text
    from edgetwin.report.outputs import outputs
    from edgetwin.report.storm_text import as_json, as_text

    chosen = outputs(arguments.output or ())
    offset_us = _offset_us(arguments.local)
    seen = climate(record)
    if arguments.plot:
        from edgetwin.report.storm_plot import chart, save

        title = ", ".join(path.name for path in arguments.files[:3])
        save(chart(seen, title=title, offset_us=offset_us), arguments.plot)
    for output in chosen:
        render = as_json if output.format == "json" else as_text
        text = render(record, seen, offset_us)
        if output.path:
            replace_text(output.path, text + "\n")
        else:
            print(text)
    return 0


def _generate(arguments: argparse.Namespace) -> int:
    from edgetwin.inputs.records.instants import Clock
    from edgetwin.inputs.storm_file import read
    from edgetwin.storms import StormSpec, generate

    spec = read(arguments.settings) if arguments.settings else StormSpec()
    try:
        start_us = Clock([arguments.start]).us(arguments.start)
    except ValueError as fault:
        raise UsageError(f"--start: {fault}") from None
    duration_us = _duration("--duration", arguments.duration)
    if not duration_us:
        raise UsageError("--duration: a storm of no length holds nothing")
    try:
        record = generate(spec, _sites(arguments), start_us, duration_us, arguments.seed)
    except ValueError as fault:
        raise UsageError(str(fault)) from None
    return _import(record, arguments.output)


def _sites(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the sites to draw for, and their failure domains."""
    if arguments.sites_from:
        from edgetwin.inputs.records.source import open_source

        source = open_source(arguments.sites_from)
        if source.table is None or "site" not in source.headings:
            raise source.wrong(1, "no column 'site'", "give a table with site and group")
        site = source.headings.index("site")
        group = source.headings.index("group") if "group" in source.headings else site
        return {
            cells[site]: cells[group] or cells[site]
            for _, cells in source.table.rows
            if len(cells) > max(site, group) and cells[site]
        }
    if arguments.sites < 1 or arguments.domains < 1:
        raise UsageError("--sites and --domains: at least one")
    width = max(3, len(str(arguments.sites)))
    return {
        f"site-{k + 1:0{width}}": f"domain-{k * arguments.domains // arguments.sites + 1}"
        for k in range(arguments.sites)
    }


def _fit(record: Any, arguments: argparse.Namespace) -> int:
    from edgetwin.inputs.storm_file import written
    from edgetwin.record_tables import replace_text
    from edgetwin.report.storm_text import comparison, reasons
    from edgetwin.storm_fit import learn

    if arguments.runs < 20:
        raise UsageError("--runs: the central 90 % of fewer than 20 storms is no interval")
    _offset_us(arguments.local)
    learned, compared = learn(
        record, zone=arguments.local, seed=arguments.seed, runs=arguments.runs
    )
    stream = sys.stdout
    if arguments.output is None:
        sys.stdout.write(written(learned.spec))
        stream = sys.stderr
    else:
        replace_text(arguments.output, written(learned.spec))
    print(reasons(learned), file=stream)
    print(comparison(compared, arguments.runs), file=stream)
    if arguments.output is not None:
        print(f"wrote {arguments.output}", file=stream)
    return 0 if all(row.inside for row in compared) else 1
