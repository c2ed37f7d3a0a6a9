"""The storm of a scenario: which record is replayed, for how long, and how exact it is."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edgetwin.errors import Problem, ScenarioError, UsageError, did_you_mean
from edgetwin.inputs.assignment import RULES, Choice, Storm, assigned
from edgetwin.inputs.findings import Findings
from edgetwin.inputs.folder import Folder, OutsideError
from edgetwin.model import Topology, numbered
from edgetwin.outages import Record, grid_error_us, windowed
from edgetwin.units import DAY_US, duration_text

DURATION_US = DAY_US
"""Length of a run that neither a record nor the topology sets. Chosen: every hour of a day."""


def read(topology: Topology, folder: Folder, choice: Choice, findings: Findings) -> Storm | None:
    """Return the storm of *topology*; None if its problems, now in *findings*, do not let it be."""
    names = [name for kind, site in topology.sites.items() for name in numbered(kind, site.count)]
    if choice.rule is not None and choice.rule not in RULES:
        raise UsageError(f"unknown rule {choice.rule!r}; {did_you_mean(choice.rule, RULES)}")
    if not choice.files and topology.outages.generate is not None:
        if choice.moves:
            raise UsageError("the topology draws its storm; --window, --stretch and --shift are "
                             "for records: give one with --outages")  # fmt: skip
        return _generated(topology, choice.seed, findings)
    paths = [Path(file) for file in choice.files] or _own_file(topology, folder, findings)
    if paths is None:
        return None
    before = len(findings.problems)
    record = _read(paths, findings) if paths else _nothing(names)
    if record is None or any(_decides_sites(place) for place in findings.guessed):
        return None
    record = choice.moves.applied(record)
    if not record.sites:
        record = replace(record, sites=tuple(sorted(names)))
    placed = assigned(record, topology, names, choice, paths, findings)
    if placed is None or len(findings.problems) > before:
        return None
    findings.notes.extend(placed.record.notes)
    return _timed(placed, findings)


def _decides_sites(place: tuple[str | int, ...]) -> bool:
    """Tell whether which sites there are hangs on the value at *place*."""
    return place[0] == "sites" and (len(place) < 3 or place[2] == "count")


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
        # What is sound in the file is read none the less, to see whether its sites are known.
        with suppress(ScenarioError, UsageError):
            return read_records(paths, skip_bad=True)
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
