"""Whose outages each modelled site takes: by name, by a rule, or by a mapping."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from edgetwin.errors import Problem, UsageError, did_you_mean
from edgetwin.inputs.findings import Findings
from edgetwin.inputs.moved import Moves
from edgetwin.model import Topology, numbered
from edgetwin.outages import Record, assign
from edgetwin.ways import Ways

RULES = ("name", "rank", "sample", "grow")
"""How recorded sites find modelled ones. `grow`: the only kind of site gets one site for each
recorded one, called as in the record."""
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
    moves: Moves = field(default_factory=Moves)


def assigned(
    record: Record,
    topology: Topology,
    names: Sequence[str],
    choice: Choice,
    paths: Sequence[Path],
    findings: Findings,
) -> Storm | None:
    """Return the storm with recorded sites made modelled ones, None if that cannot be."""
    if choice.mapping is not None:
        targets = [*names, *topology.aggregators]
        mapping = _mapping(choice.mapping, record, targets, findings)
        if mapping is None:
            return None
        used = set(mapping.values())
        targets = [*names, *(name for name in topology.aggregators if name in used)]
        return Storm(assign(record, targets, mapping=mapping), topology)
    shared = _shared(record, topology, names)
    rule = choice.rule or _rule(record, topology, [*names, *shared], own=not choice.files)
    if rule == "grow":
        return _grown(record, topology, findings)
    if rule == "name":
        known = {*names, *shared}
        unknown = [site for site in record.sites if site not in known]
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
        return Storm(assign(record, [*names, *shared], rule=rule), topology)
    return Storm(assign(record, names, rule=rule, seed=choice.seed), topology)


def _shared(record: Record, topology: Topology, names: Sequence[str]) -> list[str]:
    """Return what the record names beside sites: aggregators, risk groups, links and nodes."""
    known = set(names)
    others = [name for name in record.sites if name not in known]
    if not others:
        return []
    kinds = [
        (name, kind)
        for kind, site in topology.sites.items()
        for name in numbered(kind, site.count)
    ]  # fmt: skip
    try:
        ways = Ways(topology, kinds)
    except (KeyError, ValueError):
        # Links that lead nowhere are reported already.
        return []
    return [name for name in others if ways.hit(name) is not None]


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
    targets: Sequence[str],
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
            (modelled, targets, "modelled"),
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
