"""The storm of a scenario: which record is replayed, and whose outages each site takes."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from edgetwin.errors import Problem, ScenarioError, UsageError, did_you_mean
from edgetwin.inputs.folder import Folder, OutsideError
from edgetwin.inputs.topology import Findings
from edgetwin.model import Topology, numbered
from edgetwin.outages import Record, assign, grid_error_us, windowed
from edgetwin.units import DAY_US, duration_text

RULES = ("name", "rank", "sample", "grow")
"""How recorded sites find modelled ones. `grow`: the only kind of site gets one site for each
recorded one, called as in the record."""
DURATION_US = DAY_US
"""Length of a run that neither a record nor the topology sets. Chosen: every hour of a day."""
NAMED_MAX = 10
"""Unknown sites that are named one by one; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Storm:
    """A record at modelled sites, and the topology that fits it."""

    record: Record
    topology: Topology
    renamed: tuple[str, ...] = ()
    """Names of the sites, where they are the record's own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the caller asked for, beside the topology."""

    files: tuple[str, ...] = ()
    """Records that take the place of the topology's own."""
    rule: str | None = None
    mapping: Mapping[str, str] | str | Path | None = None
    seed: int = 0


def read(topology: Topology, folder: Folder, choice: Choice, findings: Findings) -> Storm | None:
    """Return the storm of *topology*; None if its problems, now in *findings*, do not let it be."""
    names = [name for kind, site in topology.sites.items() for name in numbered(kind, site.count)]
    if choice.rule is not None and choice.rule not in RULES:
        raise UsageError(f"unknown rule {choice.rule!r}; {did_you_mean(choice.rule, RULES)}")
    if not choice.files and topology.outages.generate is not None:
        return _generated(topology, choice.seed, findings)
    paths = [Path(file) for file in choice.files] or _own_file(topology, folder, findings)
    if paths is None:
        return None
    before = len(findings.problems)
    record = _read(paths, findings) if paths else _nothing(names)
    if record is None:
        return None
    if not record.sites:
        record = replace(record, sites=tuple(sorted(names)))
    placed = _assigned(record, topology, names, choice, paths, findings)
    if placed is None or len(findings.problems) > before:
        return None
    findings.notes.extend(placed.record.notes)
    return _timed(placed, findings)


# ---- which record --------------------------------------------------------------------------------


def _own_file(topology: Topology, folder: Folder, findings: Findings) -> list[Path] | None:
    """Return the topology's own record; empty if it wants none, None if there is a problem."""
    name = topology.outages.file
    steps = ("outages", "file")
    if name is None:
        return []
    try:
        path = folder.file(name)
    except OutsideError as error:
        findings.add(steps, f"{name!r} leads out of the scenario's folder", str(error))
        return None
    if not path.is_file():
        remedy = "add it, draw one by 'outages: {generate: ...}', or write 'file: null' for none"
        findings.add(steps, f"there is no outage record {name!r}", remedy)
        return None
    return [path]


def _nothing(names: Sequence[str]) -> Record:
    return Record(outages=(), unknown=(), sites=tuple(sorted(names)), window_us=(0, 0))


def _read(paths: Sequence[Path], findings: Findings) -> Record | None:
    """Return the record of the files; one with headings alone is a record of no outage."""
    from edgetwin.inputs.records import read as read_records
    from edgetwin.inputs.records.source import open_source

    try:
        if len(paths) == 1 and not (paths[0].parent / "sites.csv").is_file():
            source = open_source(paths[0])
            if source.headings[:3] == ("site", "start", "end") and not (
                source.table and source.table.rows
            ):
                return _nothing(())
        return read_records(paths)
    except ScenarioError as error:
        findings.problems.extend(error.problems)
    except UsageError as error:
        findings.problems.append(Problem(str(paths[0]), 0, "", str(error)))
    return None


def failure_domains(topology: Topology) -> dict[str, str]:
    """Return every site and its failure domain: the named one, else one for so many neighbours."""
    domains: dict[str, str] = {}
    for kind, site in topology.sites.items():
        for number, name in enumerate(numbered(kind, site.count)):
            group = f"{kind} domain {number // site.failure_domain_sites + 1}"
            domains[name] = site.failure_domain or group
    return domains


def _generated(topology: Topology, seed: int, findings: Findings) -> Storm | None:
    """Return a storm drawn by the topology's own law; its instants have no error."""
    from edgetwin import storms

    spec = topology.outages.generate
    assert spec is not None
    duration = topology.outages.duration_us
    if duration is None:
        steps = ("outages", "generate")
        findings.add(steps, "a drawn record needs a length", "add 'outages: {duration: 90d}'")
        return None
    try:
        record = storms.generate(spec, failure_domains(topology), 0, duration, seed)
    except ValueError as error:
        findings.add(("outages", "generate"), *str(error).split("; ", 1))
        return None
    findings.notes.extend(record.notes)
    return Storm(record, _resolved(topology, duration, topology.outages.record_error_us or 0))


# ---- whose outages -------------------------------------------------------------------------------


def _assigned(
    record: Record,
    topology: Topology,
    names: Sequence[str],
    choice: Choice,
    paths: Sequence[Path],
    findings: Findings,
) -> Storm | None:
    """Return the storm with recorded sites made modelled ones, None if that cannot be."""
    if choice.mapping is not None:
        mapping = _mapping(choice.mapping, record, names, findings)
        if mapping is None:
            return None
        return Storm(assign(record, names, mapping=mapping), topology)
    rule = choice.rule or _rule(record, topology, names, own=not choice.files)
    if rule == "grow":
        return _grown(record, topology, findings)
    if rule == "name":
        unknown = [site for site in record.sites if site not in set(names)]
        for site in unknown[:NAMED_MAX]:
            file, line = _where(paths, site)
            remedy = did_you_mean(site, names[:NAMED_MAX] if len(names) > 500 else names)
            remedy = remedy if remedy.startswith("did") else f"modelled: {_some(names)}"
            found = f"there is no site {site!r} in the topology"
            findings.problems.append(Problem(file, line, "site", found, remedy))
        if (more := len(unknown) - NAMED_MAX) > 0:
            file, _ = _where(paths, unknown[0])
            found = f"{more} more recorded sites are not in the topology"
            remedy = "assign them with a mapping or by rank, sample or grow"
            findings.problems.append(Problem(file, 0, "site", found, remedy))
        if unknown:
            return None
    return Storm(assign(record, names, rule=rule, seed=choice.seed), topology)


def _rule(record: Record, topology: Topology, names: Sequence[str], *, own: bool) -> str:
    """Return the rule where none is asked for.

    By name where a recorded site is a modelled one, or nearly so (then it is a slip, and is
    reported); a foreign record grows the only kind of site.
    """
    known = set(names)
    if own or len(topology.sites) > 1 or any(site in known for site in record.sites):
        return "name"
    few = names if len(names) <= 500 else names[:500]
    near = any(get_close_matches(site, few, n=1, cutoff=0.8) for site in record.sites[:50])
    return "name" if near else "grow"


def _grown(record: Record, topology: Topology, findings: Findings) -> Storm | None:
    """Return the storm with one site of the only kind for each recorded one."""
    if len(topology.sites) != 1:
        kinds = ", ".join(topology.sites)
        raise UsageError(f"rule 'grow' needs one kind of site, not {kinds}; write a mapping")
    ((kind, site),) = topology.sites.items()
    number = len(record.sites)
    if number != site.count:
        findings.notes.append(
            f"{kind!r} has {number} sites instead of {site.count}, one for each recorded site, "
            "called as there"
        )
    else:
        findings.notes.append(f"the {number} sites of {kind!r} are called as in the record")
    changed = site.model_copy(update={"count": number})
    topology = topology.model_copy(update={"sites": {kind: changed}})
    return Storm(assign(record, record.sites, rule="name"), topology, record.sites)


def _mapping(
    given: Mapping[str, str] | str | Path,
    record: Record,
    names: Sequence[str],
    findings: Findings,
) -> dict[str, str] | None:
    """Return recorded to modelled names, from a mapping or a two-column CSV file."""
    rows: list[tuple[str, int, str, str]] = []
    if isinstance(given, Mapping):
        rows = [("--map", 0, recorded, modelled) for recorded, modelled in given.items()]
    else:
        try:
            text = Path(given).read_bytes()[: 2**24].decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "this is not UTF-8 text"
            findings.problems.append(Problem(str(given), 0, "", reason, "give a readable file"))
            return None
        reader = csv.reader(text.splitlines())
        for row in reader:
            if row and [cell.strip() for cell in row] != ["recorded", "modelled"]:
                cells = [*(cell.strip() for cell in row), "", ""]
                rows.append((str(given), reader.line_num, cells[0], cells[1]))
    before = len(findings.problems)
    mapping: dict[str, str] = {}
    for file, line, recorded, modelled in rows:
        for name, known, what in (
            (recorded, record.sites, "recorded"),
            (modelled, names, "modelled"),
        ):
            if name not in known:
                found = f"there is no {what} site {name!r}"
                remedy = did_you_mean(name, known)
                findings.problems.append(Problem(file, line, what, found, remedy))
        if recorded in mapping:
            found = f"{recorded!r} is mapped twice"
            findings.problems.append(Problem(file, line, "recorded", found, "keep one of the two"))
        mapping[recorded] = modelled
    if not mapping:
        remedy = "write a line 'recorded,modelled' for each"
        findings.problems.append(Problem(str(given), 0, "", "no site is mapped", remedy))
    return mapping if len(findings.problems) == before else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" ... {names[-1]}" if len(names) > 3 else "")


def _where(paths: Sequence[Path], site: str) -> tuple[str, int]:
    """Return the file and line in which *site* is first named, as far as that can be told."""
    from edgetwin.inputs.records.source import open_source

    for path in paths:
        for near in (path, path.parent / "sites.csv"):
            if near.is_file():
                for number, line in enumerate(open_source(near).text.splitlines(), 1):
                    if site in (cell.strip().strip('"') for cell in line.split(",")):
                        return str(near), number
    return (str(paths[0]) if paths else "outages"), 0


# ---- how long, how exact -------------------------------------------------------------------------


def _timed(storm: Storm, findings: Findings) -> Storm:
    """Return *storm* with its duration and the error of its instants settled."""
    record, outages = storm.record, storm.topology.outages
    start, end = record.window_us
    duration = outages.duration_us
    if duration is None:
        duration = end - start
        if not record.outages and duration <= 1:
            duration = DURATION_US
            findings.notes.append(
                f"the record holds no outage: the run lasts {duration_text(duration)}"
            )
    if duration < end - start:
        record = windowed(record, start, start + duration)
        findings.notes.append(f"of the record, the first {duration_text(duration)} are replayed")
    elif end - start <= 1:
        record = replace(record, window_us=(start, start + duration))
    error = outages.record_error_us
    own_errors = any(each.start_err_us or each.end_err_us for each in record.outages)
    if error is None and not own_errors:
        error = grid_error_us(record)
        if error:
            findings.notes.append(
                f"the record gives no errors: its instants lie on a grid of "
                f"{duration_text(error)}, which is taken for their error"
            )
    if error is not None:
        record = replace(
            record,
            outages=tuple(
                replace(each, start_err_us=error, end_err_us=error) for each in record.outages
            ),
        )
    largest = max((max(o.start_err_us, o.end_err_us) for o in record.outages), default=0)
    topology = _resolved(storm.topology, duration, largest if error is None else error)
    return Storm(record, topology, storm.renamed)


def _resolved(topology: Topology, duration_us: int, error_us: int) -> Topology:
    """Return *topology* with nothing left open in its outages."""
    settled = {"duration_us": duration_us, "record_error_us": error_us}
    return topology.model_copy(update={"outages": topology.outages.model_copy(update=settled)})
