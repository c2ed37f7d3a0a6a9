"""Kubernetes manifests as they are become `Manifests`; what the API would refuse, problems."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgetwin.errors import Problem, did_you_mean
from edgetwin.inputs import document
from edgetwin.inputs import kubernetes_keys as keys
from edgetwin.inputs.element import Document
from edgetwin.inputs.fields import Fields, Findings, shown
from edgetwin.inputs.pods import PRIORITIES, Reference, pod, selector, toleration
from edgetwin.kubernetes import (
    LOCAL_PATH,
    Claim,
    ConfigMap,
    Manifests,
    RuntimeClass,
    Selector,
    Service,
    Workload,
)

_ACCESS_MODES = ("ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "ReadWriteMany")
_EVERYWHERE = ("kube-root-ca.crt",)
"""ConfigMaps that Kubernetes itself puts into every namespace."""
_MIRROR = "kubernetes.io/config.source"
"""Annotation of a Pod that a kubelet read from its own folder: a static Pod."""


@dataclass(slots=True)
class Read:
    """Manifests, and where their objects stand."""

    manifests: Manifests
    places: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    """(kind, namespace, name) to (file, line)."""
    config_lines: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """(ConfigMap, key) to (file, line)."""


@dataclass(slots=True)
class _Gathered:
    findings: Findings
    places: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    config_lines: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    workloads: list[tuple[Workload, str, Fields]] = field(default_factory=list)
    """Each with the name of its priority class."""
    references: list[tuple[str, Reference]] = field(default_factory=list)
    """Each with the namespace in which it looks."""
    services: list[Service] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    config_maps: list[ConfigMap] = field(default_factory=list)
    runtime_classes: list[RuntimeClass] = field(default_factory=list)
    priorities: dict[str, int] = field(default_factory=lambda: dict(PRIORITIES))


def read(paths: Iterable[tuple[Path, str]], problems: list[Problem], notes: list[str]) -> Read:
    """Return the objects of the manifest files, each a path and how messages call it."""
    documents: list[Document] = []
    for path, name in paths:
        documents += document.read(path, problems, shown=name)
    return gather(documents, problems, notes)


def gather(documents: Sequence[Document], problems: list[Problem], notes: list[str]) -> Read:
    """Return the objects of *documents*; kinds that are not modelled are named in *notes*."""
    gathered = _Gathered(Findings(problems, notes))
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
    workloads = tuple(_with_priority(*each, gathered) for each in gathered.workloads)
    _check_references(gathered)
    manifests = Manifests(
        workloads=workloads,
        services=tuple(gathered.services),
        claims=tuple(gathered.claims),
        config_maps=tuple(gathered.config_maps),
        runtime_classes=tuple(gathered.runtime_classes),
    )
    return Read(manifests, gathered.places, gathered.config_lines)


def _object(fields: Fields, gathered: _Gathered) -> None:
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


# ---- workloads -----------------------------------------------------------------------------------


def _workload(fields: Fields, name: str, namespace: str, gathered: _Gathered) -> None:
    """Read a Deployment, StatefulSet or DaemonSet."""
    fields.known(keys.OBJECT)
    kind = fields.data["kind"]
    spec = fields.needed("spec")
    if spec is None:
        return
    spec.known(_SPECS[kind])
    chosen = _needed_selector(spec)
    template = spec.needed("template")
    if template is None:
        return
    template.known(keys.TEMPLATE)
    metadata = template.mapping("metadata")
    labels = metadata.labels("labels") if metadata else ()
    if chosen is not None and not matches(chosen, dict(labels)):
        wanted = ", ".join(f"{key}={value}" for key, value in chosen.labels) or "its expressions"
        place = ("template", "metadata", "labels") if metadata else ("template",)
        spec.add(place, "the selector does not match the template's labels", f"set {wanted}")
    templates = _claim_templates(spec) if kind == "StatefulSet" else ()
    pod_spec = template.needed("spec", "{containers: [...]}")
    if pod_spec is None:
        return
    attributes, references = pod(pod_spec, templates=tuple(each.name for each in templates))
    if attributes["restart_policy"] != "Always":
        pod_spec.add("restartPolicy", f"a {kind} restarts its Pods always", "leave it out")
    ways = ("OrderedReady", "Parallel")
    workload = Workload(
        kind=kind,
        name=name,
        namespace=namespace,
        replicas=1 if kind == "DaemonSet" else spec.whole("replicas", 1, most=100_000),
        labels=labels,
        claim_templates=templates,
        pod_management=spec.choice("podManagementPolicy", ways, ways[0]),  # type: ignore[arg-type]
        **attributes,
    )
    gathered.workloads.append((workload, pod_spec.text("priorityClassName"), pod_spec))
    gathered.references += [(namespace, reference) for reference in references]


def _needed_selector(spec: Fields) -> Selector | None:
    """Return the selector that a workload must have."""
    fields = spec.needed("selector", "{matchLabels: {app: my-app}}")
    if fields is None:
        return None
    chosen = selector(fields)
    if not chosen.labels and not chosen.requirements:
        spec.add("selector", "the selector is empty", "add 'matchLabels: {app: my-app}'")
        return None
    return chosen


def _claim_templates(spec: Fields) -> tuple[Claim, ...]:
    found = []
    for template in spec.items("volumeClaimTemplates"):
        metadata, inner = template.needed("metadata"), template.needed("spec")
        if metadata and inner:
            found.append(_claim_of(inner, metadata.name("name", required=True), "default"))
    return tuple(found)


def _bare_pod(fields: Fields, name: str, namespace: str, gathered: _Gathered) -> None:
    """Read a Pod that no workload makes; one that a kubelet made itself is static."""
    fields.known(keys.OBJECT)
    spec, metadata = fields.needed("spec"), fields.mapping("metadata")
    if spec is None or metadata is None:
        return
    attributes, references = pod(spec)
    static = dict(metadata.plain("annotations")).get(_MIRROR) == "file"
    workload = Workload(
        kind="StaticPod" if static else "Pod",
        name=name,
        namespace=namespace,
        labels=metadata.labels("labels"),
        **attributes,
    )
    gathered.workloads.append((workload, spec.text("priorityClassName"), spec))
    gathered.references += [(namespace, reference) for reference in references]


def _with_priority(workload: Workload, name: str, spec: Fields, gathered: _Gathered) -> Workload:
    """Return *workload* with the value of its priority class."""
    if not name:
        return replace(workload, priority=spec.whole("priority", 0, least=-(2**31)))
    if name not in gathered.priorities:
        remedy = did_you_mean(name, gathered.priorities)
        spec.add("priorityClassName", f"there is no PriorityClass {name!r}", remedy)
    return replace(workload, priority=gathered.priorities.get(name, 0))


# ---- other kinds ---------------------------------------------------------------------------------


def _service(fields: Fields, name: str, namespace: str, gathered: _Gathered) -> None:
    fields.known(keys.OBJECT)
    spec = fields.needed("spec")
    if spec is None:
        return
    spec.known(keys.SERVICE)
    ports = spec.items("ports")
    numbers = [port.whole("port", 0, least=1, most=65_535) for port in ports]
    for port in ports:
        if port.data.get("port") is None:
            port.add((), "key 'port' is missing", "add 'port: 8080'")
    traffic = spec.choice("internalTrafficPolicy", ("Cluster", "Local"), "Cluster")
    service = Service(
        name=name,
        namespace=namespace,
        selector=spec.labels("selector"),
        internal_traffic_policy=traffic,  # type: ignore[arg-type]
        ports=tuple(numbers),
    )
    gathered.services.append(service)


def _config_map(fields: Fields, name: str, namespace: str, gathered: _Gathered) -> None:
    fields.known(keys.CONFIG_MAP)
    data = fields.plain("data")
    for key, _ in data:
        line = fields.document.line((*fields.steps, "data", key))
        gathered.config_lines[name, key] = (fields.document.file, line)
    gathered.config_maps.append(ConfigMap(name=name, namespace=namespace, data=data))


def _claim(fields: Fields, name: str, namespace: str, gathered: _Gathered) -> None:
    fields.known(keys.OBJECT)
    if spec := fields.needed("spec"):
        gathered.claims.append(_claim_of(spec, name, namespace))


def _claim_of(spec: Fields, name: str, namespace: str) -> Claim:
    spec.known(keys.CLAIM)
    modes = spec.texts("accessModes")
    for place, mode in enumerate(modes):
        if mode not in _ACCESS_MODES:
            remedy = did_you_mean(mode, _ACCESS_MODES)
            spec.add(("accessModes", place), f"{shown(mode)} is no access mode", remedy)
    if not modes:
        spec.add((), "key 'accessModes' is missing", "add 'accessModes: [ReadWriteOnce]'")
    resources = spec.needed("resources", "{requests: {storage: 10Gi}}")
    requests = resources.needed("requests", "{storage: 10Gi}") if resources else None
    size = requests.quantity("storage", "10Gi") if requests else None
    if requests and requests.data.get("storage") is None:
        requests.add((), "key 'storage' is missing", "add 'storage: 10Gi'")
    return Claim(
        name=name,
        namespace=namespace,
        access_modes=modes or ("ReadWriteOnce",),
        storage_class=spec.text("storageClassName", LOCAL_PATH),
        size_bytes=round(size or 0),
    )


def _runtime_class(fields: Fields, name: str, namespace: str, gathered: _Gathered) -> None:
    fields.known(keys.RUNTIME_CLASS)
    scheduling, overhead = fields.mapping("scheduling"), fields.mapping("overhead")
    fixed = overhead.mapping("podFixed") if overhead else None
    tolerations = scheduling.items("tolerations") if scheduling else []
    runtime_class = RuntimeClass(
        name=name,
        handler=fields.name("handler", name, required=True),
        node_selector=scheduling.labels("nodeSelector") if scheduling else (),
        tolerations=tuple(toleration(each) for each in tolerations),
        cores_overhead=(fixed.quantity("cpu", "10m") if fixed else None) or 0.0,
        memory_bytes_overhead=round((fixed.quantity("memory", "16Mi") if fixed else None) or 0),
    )
    gathered.runtime_classes.append(runtime_class)


def _priority_class(fields: Fields, name: str, namespace: str, gathered: _Gathered) -> None:
    fields.known(keys.PRIORITY_CLASS)
    gathered.priorities[name] = fields.whole("value", 0, least=-(2**31), most=10**9)


_Reader = Callable[[Fields, str, str, _Gathered], None]
_READERS: dict[str, _Reader] = {
    "Deployment": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _workload,
    "Pod": _bare_pod,
    "Service": _service,
    "ConfigMap": _config_map,
    "PersistentVolumeClaim": _claim,
    "RuntimeClass": _runtime_class,
    "PriorityClass": _priority_class,
}
_SPECS = {
    "Deployment": keys.DEPLOYMENT,
    "StatefulSet": keys.STATEFUL_SET,
    "DaemonSet": keys.DAEMON_SET,
}


# ---- references ----------------------------------------------------------------------------------


def matches(chosen: Selector, labels: dict[str, str]) -> bool:
    """Tell whether *labels* satisfy every part of the selector *chosen*."""
    if any(labels.get(key) != value for key, value in chosen.labels):
        return False
    for test in chosen.requirements:
        value = labels.get(test.key)
        holds = {
            "In": value in test.values,
            "NotIn": value not in test.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds.get(test.operator, False):
            return False
    return True


def _check_references(gathered: _Gathered) -> None:
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
