"""Objects that make Pods: Deployment, StatefulSet, DaemonSet, and the Pod itself."""

from dataclasses import replace

from edgetwin.errors import did_you_mean
from edgetwin.inputs import kubernetes_keys as keys
from edgetwin.inputs.fields import Fields
from edgetwin.inputs.objects import Gathered, claim_of
from edgetwin.inputs.pods import pod, selector
from edgetwin.kubernetes import Claim, Selector, Workload

_MIRROR = "kubernetes.io/config.source"
"""Annotation of a Pod that a kubelet read from its own folder: a static Pod."""
_SPECS = {
    "Deployment": keys.DEPLOYMENT,
    "StatefulSet": keys.STATEFUL_SET,
    "DaemonSet": keys.DAEMON_SET,
}


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


def workload(fields: Fields, name: str, namespace: str, gathered: Gathered) -> None:
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
            found.append(claim_of(inner, metadata.name("name", required=True), "default"))
    return tuple(found)


def bare_pod(fields: Fields, name: str, namespace: str, gathered: Gathered) -> None:
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


def with_priority(workload: Workload, name: str, spec: Fields, gathered: Gathered) -> Workload:
    """Return *workload* with the value of its priority class."""
    if not name:
        return replace(workload, priority=spec.whole("priority", 0, least=-(2**31)))
    if name not in gathered.priorities:
        remedy = did_you_mean(name, gathered.priorities)
        spec.add("priorityClassName", f"there is no PriorityClass {name!r}", remedy)
    return replace(workload, priority=gathered.priorities.get(name, 0))
