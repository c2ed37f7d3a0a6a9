"""The Pod that a workload makes: where it may run, what it mounts, what it demands."""

from dataclasses import dataclass
from typing import Any

from edgetwin.inputs import kubernetes_keys as keys
from edgetwin.inputs.containers import config_map_references, containers
from edgetwin.inputs.fields import Fields
from edgetwin.kubernetes import (
    DEFAULT_TERMINATION_GRACE_US,
    PodAffinity,
    PreferredNodes,
    Requirement,
    Selector,
    Toleration,
    TopologySpread,
)
from edgetwin.units import SECOND_US

PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""The classes that every cluster has."""
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a Pod that another object must bear."""

    kind: str
    name: str
    key: str
    """Of a ConfigMap: the key that is read; empty for all."""
    optional: bool
    where: Fields


def pod(spec: Fields, *, templates: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[Reference]]:
    """Return what a `Workload` takes from a Pod's *spec*, and what it refers to.

    *templates* are the names of volumes that a StatefulSet makes for each Pod.
    """
    spec.known(keys.POD)
    if not spec.data.get("containers"):
        spec.add((), "a Pod without containers", "add 'containers: [{name: ..., image: ...}]'")
    references, host_paths = _volumes(spec, templates)
    claims = [r.name for r in references if r.kind == "PersistentVolumeClaim"]
    mounted = [r.name for r in references if r.kind == "ConfigMap"]
    for group in ("initContainers", "containers"):
        for container in spec.items(group):
            for name, key, optional, where in config_map_references(container):
                references.append(Reference("ConfigMap", name, key, optional, where))
    grace = DEFAULT_TERMINATION_GRACE_US // SECOND_US
    node_name = spec.text("nodeName")
    required, preferred = _node_affinity(spec)
    attributes = {
        "node_selector": spec.labels("nodeSelector"),
        "node_affinity": required,
        "node_preferences": preferred,
        "pod_affinity": _pod_affinity(spec),
        "tolerations": tuple(toleration(each) for each in spec.items("tolerations")),
        "spread": tuple(_spread(each) for each in spec.items("topologySpreadConstraints")),
        "containers": containers(spec, "containers"),
        "init_containers": containers(spec, "initContainers"),
        "restart_policy": spec.choice("restartPolicy", ("Always", "OnFailure", "Never"), "Always"),
        "termination_grace_us": spec.whole("terminationGracePeriodSeconds", grace) * SECOND_US,
        "runtime_class": spec.name("runtimeClassName"),
        "claim_names": tuple(dict.fromkeys(claims)),
        "config_maps": tuple(dict.fromkeys(mounted)),
        "host_paths": host_paths,
        "host_ports": _host_ports(spec),
        "node_names": (node_name,) if node_name else (),
    }
    return attributes, references


def _volumes(spec: Fields, templates: tuple[str, ...]) -> tuple[list[Reference], bool]:
    """Return what the volumes refer to, and whether one is a path of the node."""
    references: list[Reference] = []
    names = list(templates)
    host_paths = False
    for volume in spec.items("volumes"):
        names.append(volume.text("name", required="data"))
        host_paths |= "hostPath" in volume.data
        if claim := volume.mapping("persistentVolumeClaim"):
            name = claim.text("claimName", required="data")
            references.append(Reference("PersistentVolumeClaim", name, "", False, claim))
        sources = [volume]
        if projected := volume.mapping("projected"):
            sources += projected.items("sources")
        for source in sources:
            if config := source.mapping("configMap"):
                name, optional = config.text("name", required="config"), config.flag("optional")
                keys_read = [item.text("key") for item in config.items("items")] or [""]
                references += [Reference("ConfigMap", name, k, optional, config) for k in keys_read]
    for group in ("initContainers", "containers"):
        for container in spec.items(group):
            for mount in container.items("volumeMounts"):
                name = mount.text("name", required="data")
                if name and name not in names:
                    known = f"volumes: {', '.join(names)}" if names else "the Pod has no volumes"
                    mount.add("name", f"no volume is called {name!r}", known)
    return [reference for reference in references if reference.name], host_paths


def _host_ports(spec: Fields) -> tuple[int, ...]:
    shared = spec.flag("hostNetwork")
    ports = []
    for group in ("initContainers", "containers"):
        for container in spec.items(group):
            for port in container.items("ports"):
                inside = port.whole("containerPort", 0, least=1, most=65_535)
                taken = port.whole("hostPort", inside if shared else 0, most=65_535)
                ports += [taken] if taken else []
    return tuple(sorted(set(ports)))


# ---- where it may run ----------------------------------------------------------------------------


def requirements(fields: Fields, key: str) -> tuple[Requirement, ...]:
    """Return the label tests in the list at *key*."""
    return tuple(_requirement(each) for each in fields.items(key))


def _requirement(fields: Fields) -> Requirement:
    operator = fields.choice("operator", _OPERATORS, "")
    values = fields.texts("values")
    if not operator and fields.data.get("operator") is None:
        fields.add((), "key 'operator' is missing", "add for example 'operator: In'")
    if operator in ("In", "NotIn") and not values:
        fields.add((), f"operator {operator} needs values", "add 'values: [...]'")
    if operator in ("Exists", "DoesNotExist") and values:
        fields.add("values", f"operator {operator} takes no values", "leave them out")
    if operator in ("Gt", "Lt") and not (len(values) == 1 and values[0].lstrip("-").isdecimal()):
        fields.add((), f"operator {operator} needs one whole number", "add \"values: ['3']\"")
    key = fields.text("key", required="node-type")
    return Requirement(key=key, operator=operator or "Exists", values=values)  # type: ignore[arg-type]


def selector(fields: Fields | None) -> Selector:
    """Return a label selector with its labels and expressions."""
    if fields is None:
        return Selector()
    fields.known(frozenset({"matchLabels", "matchExpressions"}))
    labels, tests = fields.labels("matchLabels"), requirements(fields, "matchExpressions")
    return Selector(labels=labels, requirements=tests)


def _term(fields: Fields) -> tuple[Requirement, ...]:
    """Return the tests of a node-affinity term; a field ``metadata.name`` is a label to us."""
    return requirements(fields, "matchExpressions") + requirements(fields, "matchFields")


def _node_affinity(
    spec: Fields,
) -> tuple[tuple[tuple[Requirement, ...], ...], tuple[PreferredNodes, ...]]:
    affinity = spec.mapping("affinity")
    nodes = affinity.mapping("nodeAffinity") if affinity else None
    if nodes is None:
        return (), ()
    nodes.known(frozenset({_REQUIRED, _PREFERRED}))
    required = nodes.mapping(_REQUIRED)
    terms = required.items("nodeSelectorTerms") if required else []
    preferred = []
    for each in nodes.items(_PREFERRED):
        weight = each.whole("weight", 1, least=1, most=100)
        preference = each.needed("preference")
        if preference:
            preferred.append(PreferredNodes(weight=weight, requirements=_term(preference)))
    return tuple(tests for term in terms if (tests := _term(term))), tuple(preferred)


def _pod_affinity(spec: Fields) -> tuple[PodAffinity, ...]:
    affinity = spec.mapping("affinity")
    if affinity is None:
        return ()
    affinity.known(frozenset({"nodeAffinity", "podAffinity", "podAntiAffinity"}))
    found = []
    for key, anti in (("podAffinity", False), ("podAntiAffinity", True)):
        terms = affinity.mapping(key)
        if terms is None:
            continue
        terms.known(frozenset({_REQUIRED, _PREFERRED}))
        found += [_pod_term(term, anti=anti, weight=None) for term in terms.items(_REQUIRED)]
        for each in terms.items(_PREFERRED):
            weight = each.whole("weight", 1, least=1, most=100)
            if term := each.needed("podAffinityTerm"):
                found.append(_pod_term(term, anti=anti, weight=weight))
    return tuple(found)


def _pod_term(fields: Fields, *, anti: bool, weight: int | None) -> PodAffinity:
    return PodAffinity(
        selector=selector(fields.mapping("labelSelector")),
        topology_key=fields.text("topologyKey", required="kubernetes.io/hostname"),
        anti=anti,
        weight=weight,
    )


def toleration(fields: Fields) -> Toleration:
    """Return one toleration, as written."""
    operator = fields.choice("operator", ("Exists", "Equal"), "Equal")
    effect = fields.choice("effect", _EFFECTS, "")
    key = fields.text("key")
    if not key and operator == "Equal":
        fields.add((), "a toleration without a key", "add 'key: ...' or 'operator: Exists'")
    seconds = fields.data.get("tolerationSeconds")
    if seconds is not None and effect != "NoExecute":
        fields.add("tolerationSeconds", "only NoExecute is borne for a time", "add its effect")
    bound = fields.whole("tolerationSeconds", 0, least=-(2**31))
    return Toleration(
        key=key,
        operator=operator,  # type: ignore[arg-type]
        value=fields.text("value"),
        effect=effect or None,  # type: ignore[arg-type]
        toleration_us=None if seconds is None else max(bound, 0) * SECOND_US,
    )


def _spread(fields: Fields) -> TopologySpread:
    options = ("DoNotSchedule", "ScheduleAnyway")
    return TopologySpread(
        selector=selector(fields.mapping("labelSelector")),
        topology_key=fields.text("topologyKey", required="kubernetes.io/hostname"),
        max_skew=fields.whole("maxSkew", 1, least=1),
        required=fields.choice("whenUnsatisfiable", options, "DoNotSchedule") == options[0],
        min_domains=fields.whole("minDomains", 1, least=1),
    )
