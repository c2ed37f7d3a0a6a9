"""Objects that make no Pods: services, settings, storage, classes."""

from dataclasses import dataclass, field

from edgetwin.errors import did_you_mean
from edgetwin.inputs import kubernetes_keys as keys
from edgetwin.inputs.fields import Fields, Findings, shown
from edgetwin.inputs.pods import PRIORITIES, Reference, toleration
from edgetwin.kubernetes import LOCAL_PATH, Claim, ConfigMap, RuntimeClass, Service, Workload

_ACCESS_MODES = ("ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "ReadWriteMany")


@dataclass(slots=True)
class Gathered:
    """The objects read so far, and where they stand."""

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


def service(fields: Fields, name: str, namespace: str, gathered: Gathered) -> None:
    """Read a Service."""
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


def config_map(fields: Fields, name: str, namespace: str, gathered: Gathered) -> None:
    """Read a ConfigMap; its values are text."""
    fields.known(keys.CONFIG_MAP)
    data = fields.plain("data")
    for key, _ in data:
        line = fields.document.line((*fields.steps, "data", key))
        gathered.config_lines[name, key] = (fields.document.file, line)
    gathered.config_maps.append(ConfigMap(name=name, namespace=namespace, data=data))


def claim(fields: Fields, name: str, namespace: str, gathered: Gathered) -> None:
    """Read a PersistentVolumeClaim."""
    fields.known(keys.OBJECT)
    if spec := fields.needed("spec"):
        gathered.claims.append(claim_of(spec, name, namespace))


def claim_of(spec: Fields, name: str, namespace: str) -> Claim:
    """Return the claim that *spec* describes, of a claim or of a template of one."""
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


def runtime_class(fields: Fields, name: str, namespace: str, gathered: Gathered) -> None:
    """Read a RuntimeClass."""
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


def priority_class(fields: Fields, name: str, namespace: str, gathered: Gathered) -> None:
    """Read a PriorityClass: its value."""
    fields.known(keys.PRIORITY_CLASS)
    gathered.priorities[name] = fields.whole("value", 0, least=-(2**31), most=10**9)
