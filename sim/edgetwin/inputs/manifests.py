"""Kubernetes manifests as they are become `Manifests`; what the API would refuse, problems."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetwin.errors import Problem, did_you_mean
from edgetwin.inputs import document
from edgetwin.inputs import kubernetes_keys as keys
from edgetwin.inputs.element import Document
from edgetwin.inputs.fields import Fields, Findings, shown
from edgetwin.inputs.objects import (
    Gathered,
    claim,
    config_map,
    priority_class,
    runtime_class,
    service,
)
from edgetwin.inputs.workloads import bare_pod, with_priority, workload
from edgetwin.kubernetes import Manifests

_EVERYWHERE = ("kube-root-ca.crt",)
"""ConfigMaps that Kubernetes itself puts into every namespace."""


@dataclass(slots=True)
class Read:
    """Manifests, and where their objects stand."""

    manifests: Manifests
    places: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    """(kind, namespace, name) to (file, line)."""
    config_lines: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """(ConfigMap, key) to (file, line)."""
    whole: bool = True
    """False: a file is missing or broken, so that what is not here may be there."""

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of *kind*, sound or not."""
        return [name for each, _, name in self.places if each == kind]


def read(paths: Iterable[tuple[Path, str]], problems: list[Problem], notes: list[str]) -> Read:
    """Return the objects of the manifest files, each a path and how messages call it."""
    documents: list[Document] = []
    before = len(problems)
    for path, name in paths:
        documents += document.read(path, problems, shown=name)
    whole = len(problems) == before
    objects = gather(documents, problems, notes)
    objects.whole = whole
    return objects


def gather(documents: Sequence[Document], problems: list[Problem], notes: list[str]) -> Read:
    """Return the objects of *documents*; kinds that are not modelled are named in *notes*."""
    gathered = Gathered(Findings(problems, notes))
    for each in documents:
        if isinstance(each.data, dict):
            fields = Fields(each, gathered.findings, "", (), each.data)
            _object(fields, gathered)
        else:
            remedy = "begin with 'apiVersion:' and 'kind:'"
            line = each.root.line
            problems.append(
                Problem(each.file, line, "", f"{shown(each.data)} is no object", remedy)
            )
    workloads = tuple(with_priority(*each, gathered) for each in gathered.workloads)
    _check_references(gathered)
    manifests = Manifests(
        workloads=workloads,
        services=tuple(gathered.services),
        claims=tuple(gathered.claims),
        config_maps=tuple(gathered.config_maps),
        runtime_classes=tuple(gathered.runtime_classes),
    )
    return Read(manifests, gathered.places, gathered.config_lines)


def _object(fields: Fields, gathered: Gathered) -> None:
    """Read one object, or each item of a List."""
    kind = fields.text("kind", required="Deployment")
    fields.text("apiVersion", required="v1")
    if kind.endswith("List") and "items" in fields.data:
        for item in fields.items("items"):
            _object(item, gathered)
        return
    reader = _READERS.get(kind)
    where = f"{fields.document.file}:{fields.line}"
    metadata = fields.mapping("metadata")
    name = metadata.data.get("name", "") if metadata else ""
    fields.title = f"{kind} {name}".strip()
    if reader is None:
        if kind:
            note = f"{where}: {fields.title} is a kind that is not modelled; it is left out"
            gathered.findings.notes.append(note)
        return
    if metadata is None:
        fields.add((), "key 'metadata' is missing", "add 'metadata: {name: my-name}'")
        return
    metadata.title = fields.title
    metadata.known(keys.METADATA)
    metadata.name("name", required=True)
    metadata.labels("labels")
    namespace = metadata.name("namespace", "default")
    key = (kind, namespace, str(name))
    if key in gathered.places:
        file, line = gathered.places[key]
        metadata.add("name", f"{fields.title} stands twice, first at {file}:{line}", "rename one")
        return
    gathered.places[key] = (fields.document.file, fields.line)
    reader(fields, str(name), namespace, gathered)


_Reader = Callable[[Fields, str, str, Gathered], None]
_READERS: dict[str, _Reader] = {
    "Deployment": workload,
    "StatefulSet": workload,
    "DaemonSet": workload,
    "Pod": bare_pod,
    "Service": service,
    "ConfigMap": config_map,
    "PersistentVolumeClaim": claim,
    "RuntimeClass": runtime_class,
    "PriorityClass": priority_class,
}

# ---- references ----------------------------------------------------------------------------------


def _check_references(gathered: Gathered) -> None:
    """Find names in Pods that no object bears."""
    claims = {(claim.namespace, claim.name): claim for claim in gathered.claims}
    maps = {(each.namespace, each.name): each for each in gathered.config_maps}
    known: dict[str, dict[tuple[str, str], Any]] = {
        "PersistentVolumeClaim": claims,
        "ConfigMap": maps,
    }
    for namespace, reference in gathered.references:
        objects = known[reference.kind]
        place = "claimName" if reference.kind == "PersistentVolumeClaim" else "name"
        if reference.optional or reference.name in _EVERYWHERE:
            continue
        if (namespace, reference.name) not in objects:
            names = [name for space, name in objects if space == namespace]
            remedy = did_you_mean(reference.name, names) if names else "add one to the manifests"
            found = f"there is no {reference.kind} {reference.name!r}"
            reference.where.add(place, found, remedy)
        elif reference.key and reference.kind == "ConfigMap":
            data = dict(maps[namespace, reference.name].data)
            if reference.key not in data:
                remedy = did_you_mean(reference.key, data) if data else "add it there"
                found = f"ConfigMap {reference.name!r} has no key {reference.key!r}"
                reference.where.add((), found, remedy)
