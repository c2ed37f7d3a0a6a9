"""A scenario folder becomes a `Scenario`: all is read and checked, all faults come at once."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgetwin import units
from edgetwin.capacity import Capacity
from edgetwin.errors import Problem, ScenarioError, did_you_mean
from edgetwin.inputs import bundles, crosscheck, document, manifests, storm, topology
from edgetwin.inputs.assignment import Choice
from edgetwin.inputs.findings import Findings
from edgetwin.inputs.folder import Folder, OutsideError
from edgetwin.inputs.moved import moves
from edgetwin.model import Scenario, Topology

SYNC_INTERVAL = "sync_interval"
DATA_RETENTION = "data_retention"
"""Keys of a ConfigMap that set what the topology leaves open."""
SYNC_INTERVAL_US = 60 * units.SECOND_US
"""Where neither says: the guide's figure."""
RETENTION_US = 7 * units.DAY_US
"""Where neither says: the guide's figure."""


def load(
    path: str | os.PathLike[str],
    *,
    outages: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    mapping: Mapping[str, str] | str | Path | None = None,
    rule: str | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    window: str | None = None,
    stretch: float | str | None = None,
    shift: str | None = None,
) -> Scenario:
    """Return the scenario in the folder *path*, or of the topology file *path*.

    *outages* are files that take the place of the topology's own record. Recorded sites become
    modelled ones by *mapping* (recorded to modelled names, or a CSV file with those two columns)
    or by *rule*: ``name``, ``rank``, ``sample`` (drawn by *seed*) or ``grow``. *settings* are
    ``path=value`` and take the place of what the topology says. Of the record the *window*
    ``START..END`` is taken (``2d..9d`` into it, or dates), stretched by a factor, and its outages
    come by *shift* (``2h``, ``-30m``) later in the run, in this order.

    Raises ScenarioError with every problem of every file, UsageError if the call is wrong.
    """
    moved = moves(window=window, stretch=stretch, shift=shift)
    folder = Folder.of(path)
    problems: list[Problem] = []
    documents = document.read(folder.topology, problems, shown=folder.shown(folder.topology))
    if len(documents) != 1:
        if not problems:
            found = "the file is empty" if not documents else f"{len(documents)} YAML documents"
            file, line = folder.shown(folder.topology), documents[1].root.line if documents else 0
            problems.append(Problem(file, line, "", found, "a topology is one document"))
        raise ScenarioError(problems)
    findings = Findings(documents[0], problems)
    guess = topology.read(findings, settings)
    read = _manifests(guess, folder, findings)
    if guess is None:
        # Too little of it is sound to hold anything else against it.
        raise ScenarioError(problems)
    settled = _resolved(guess, read, findings)
    policies = bundles.read(settled, folder, findings)
    crosscheck.check(settled, read, findings)
    capacities = _capacities(settled, folder, findings)
    files = [outages] if isinstance(outages, str | os.PathLike) else list(outages or ())
    choice = Choice(tuple(os.fspath(each) for each in files), rule, mapping, seed, moved)
    played = storm.read(settled, folder, choice, findings)
    if problems or played is None:
        raise ScenarioError(problems)
    return Scenario(
        topology=played.topology,
        manifests=read.manifests,
        bundles=policies,
        record=played.record,
        folder=str(folder.path),
        lines=findings.document.lines(),
        notes=tuple(dict.fromkeys(findings.notes)),
        renamed=played.renamed,
        capacities=capacities,
    )


def _manifests(found: Topology | None, folder: Folder, findings: Findings) -> manifests.Read:
    """Read the manifests that the topology names, sound or not."""
    names = found.manifests if found else ("manifests.yaml",)
    paths: list[tuple[Path, str]] = []
    before = len(findings.problems)
    for number, name in enumerate(names):
        steps = ("manifests", number)
        try:
            files = folder.manifests(name)
        except OutsideError as error:
            findings.add(steps, f"{name!r} leads out of the scenario's folder", str(error))
            continue
        if not files:
            findings.add(steps, f"the folder {name!r} holds no YAML file", "put manifests there")
        for file in files:
            if file.is_file():
                paths.append((file, folder.shown(file)))
            else:
                near = sorted(p.name for p in folder.path.glob("*.y*ml") if p != folder.topology)
                remedy = did_you_mean(name, near) if near else "add it to the folder"
                findings.add(steps, f"there is no manifest file {name!r}", remedy)
    found_all = len(findings.problems) == before
    read = manifests.read(paths, findings.problems, findings.notes)
    read.whole &= found_all and ("manifests",) not in (place[:1] for place in findings.guessed)
    return read


def _capacities(found: Topology, folder: Folder, findings: Findings) -> dict[str, Capacity]:
    """Return the traces that uplinks name, each read once."""
    from edgetwin.inputs.capacities import read

    capacities: dict[str, Capacity] = {}
    for kind, site in found.sites.items():
        for key, uplink in site.uplinks.items():
            name = uplink.capacity
            if name is None or name in capacities:
                continue
            steps = ("sites", kind, "uplinks", key, "capacity")
            try:
                path = folder.file(name)
            except OutsideError as error:
                findings.add(steps, f"{name!r} leads out of the scenario's folder", str(error))
                continue
            if not path.is_file():
                found_text, remedy = f"there is no trace {name!r}", "add it to the folder"
                findings.add(steps, found_text, remedy)
                continue
            try:
                capacity = read(path)
            except ScenarioError as error:
                findings.problems.extend(error.problems)
                continue
            if capacity.bytes_a_period == 0:
                findings.add(steps, f"the trace {name!r} never carries anything", "take another")
            capacities[name] = capacity
    for name, aggregator in found.aggregators.items():
        for key, uplink in aggregator.uplinks.items():
            if uplink.capacity is not None:
                steps = ("aggregators", name, "uplinks", key, "capacity")
                remedy = "give it to the sites' uplinks: sites share no bandwidth"
                findings.add(steps, "an aggregator's uplink takes no trace", remedy)
    return capacities


def _resolved(found: Topology, read: manifests.Read, findings: Findings) -> Topology:
    """Return the topology with sync interval, retention and claims settled, noting whence."""
    sync, collections = found.sync, dict(found.collections)
    if sync.interval_us is None:
        interval = _configured(SYNC_INTERVAL, read, findings)
        sync = sync.model_copy(update={"interval_us": interval or SYNC_INTERVAL_US})
    if any(collection.retention_us is None for collection in collections.values()):
        retention = _configured(DATA_RETENTION, read, findings) or RETENTION_US
        for name, collection in collections.items():
            if collection.retention_us is None:
                collections[name] = collection.model_copy(update={"retention_us": retention})
    claims = [claim.name for claim in read.manifests.claims]
    for name, collection in collections.items():
        if collection.claim is not None:
            continue
        if len(claims) == 1:
            collections[name] = collection.model_copy(update={"claim": claims[0]})
        elif claims:
            remedy = f"add 'claim: {claims[0]}' (known: {', '.join(claims)})"
            findings.add(
                ("collections", name), "several PersistentVolumeClaims, none named", remedy
            )
        else:
            findings.notes.append(
                f"collection {name!r} has no PersistentVolumeClaim: the node's disk is its limit"
            )
    return found.model_copy(update={"sync": sync, "collections": collections})


def _configured(key: str, read: manifests.Read, findings: Findings) -> int | None:
    """Return the duration that a ConfigMap sets for *key*, the first one, in microseconds."""
    chosen: int | None = None
    for config in read.manifests.config_maps:
        text = dict(config.data).get(key)
        if text is None:
            continue
        file, line = read.config_lines[config.name, key]
        try:
            value = units.duration_us(text)
            if value == 0:
                raise ValueError(f"{text!r} is no time at all; write for example '60s'")
        except ValueError as error:
            found, _, remedy = str(error).partition("; ")
            place = f"ConfigMap {config.name}: data.{key}"
            findings.problems.append(Problem(file, line, place, found, remedy))
            continue
        if chosen is None:
            chosen = value
            findings.notes.append(f"{file}:{line}: {key} {text} is taken from {config.name!r}")
        elif chosen != value:
            findings.notes.append(f"{file}:{line}: {key} {text} differs; the first one counts")
    return chosen
