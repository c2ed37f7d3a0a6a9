"""What only shows when topology and manifests are read together."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from edgetwin import profiles, units, versions
from edgetwin.errors import Problem, did_you_mean
from edgetwin.inputs import policy_agents, templates
from edgetwin.inputs.findings import Findings
from edgetwin.inputs.manifests import Read
from edgetwin.inputs.workloads import matches
from edgetwin.kubernetes import Requirement, Selector, Workload
from edgetwin.model import Node, RequestClass, Site, Topology, numbered
from edgetwin.ways import Ways

_SELF_SET = ("kubernetes.io/", "k8s.io/")
"""Labels under these domains are set by kubelet and K3s themselves."""
_K3S_RUNTIME_CLASSES = (
    "crun", "lunatic", "nvidia", "nvidia-experimental", "slight", "spin", "wasmedge", "wasmer",
    "wasmtime", "wws",
)  # fmt: skip
"""RuntimeClasses that K3s makes (facts/k3s.md, 3.6)."""
_TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def check(topology: Topology, read: Read, findings: Findings) -> None:
    """Add the problems and notes of *topology* and the manifests *read*, taken together.

    Retention, sync interval and claims must be resolved. Names are looked up among those written
    in the file, so that an entry with a fault of its own is not reported as missing too.
    """
    try:
        versions.defaults(topology.kubernetes)
    except ValueError as error:
        findings.add(("kubernetes",), *str(error).split("; ", 1))
    _requests(topology, read, findings)
    _services(topology, read, findings)
    _collections(topology, read, findings)
    _runtimes(topology, read, findings)
    _links(topology, findings)
    for kind, site in topology.sites.items():
        _site(kind, site, findings)
        _placeable(kind, site, read, findings)
    policy_agents.note(topology, findings)
    _unused(topology, findings)


def requests(topology: Topology) -> Iterator[tuple[tuple[str | int, ...], RequestClass]]:
    """Yield every request class and its place."""
    for kind, site in topology.sites.items():
        for group, devices in site.devices.items():
            for name, request in devices.requests.items():
                yield ("sites", kind, "devices", group, "requests", name), request


def written(findings: Findings, section: str) -> list[str]:
    """Return the names in a *section* of the file, sound or not."""
    data = findings.document.data
    entries: Any = data.get(section) if isinstance(data, dict) else None
    return list(entries) if isinstance(entries, dict) else []


def _name(
    findings: Findings, steps: tuple[str | int, ...], what: str, name: str, known: Collection[str]
) -> bool:
    """Tell whether *name* is one of *known*, and add a problem if not."""
    if name in known:
        return True
    remedy = did_you_mean(name, known) if known else f"the file has no {what}s yet; add it"
    findings.add(steps, f"there is no {what} {name!r}", remedy)
    return False


def _requests(topology: Topology, read: Read, findings: Findings) -> None:
    services = read.names("Service")
    for steps, request in requests(topology):
        if read.whole:
            _name(findings, (*steps, "service"), "Service", request.service, services)
        if request.collection is not None:
            known = written(findings, "collections")
            _name(findings, (*steps, "collection"), "collection", request.collection, known)
        elif request.kind == "write" and (*steps, "collection") not in findings.guessed:
            remedy = "add 'collection: NAME', or make it 'kind: read'"
            findings.add((*steps, "kind"), "a write without a collection", remedy)
        if request.policy is not None:
            known = written(findings, "policies")
            _name(findings, (*steps, "policy"), "policy", request.policy, known)
        elif request.input:
            remedy = "add 'policy: NAME', or leave the input out"
            findings.add((*steps, "input"), "an input that no policy reads", remedy)
        templates.check(request.input, findings, (*steps, "input"))
        if request.budget_us > request.timeout_us:
            remedy = "lower the budget, or raise the timeout"
            findings.add((*steps, "budget"), "the client gives up before the budget ends", remedy)


def _services(topology: Topology, read: Read, findings: Findings) -> None:
    manifests = read.manifests
    asked = {request.service for _, request in requests(topology)}
    for name in topology.services if read.whole else ():
        _name(findings, ("services", name), "Service", name, read.names("Service"))
    for service in manifests.services:
        chosen = Selector(labels=service.selector)
        backed = any(
            workload.namespace == service.namespace and matches(chosen, dict(workload.labels))
            for workload in manifests.workloads
        )
        file, line = read.places["Service", service.namespace, service.name]
        if service.selector and not backed and read.whole:
            wanted = ", ".join(f"{key}={value}" for key, value in service.selector)
            found, remedy = f"no workload's Pods carry {wanted}", _nearest(service.selector, read)
            place = f"Service {service.name}: spec.selector"
            findings.problems.append(Problem(file, line, place, found, remedy))
        elif not service.selector and service.name in asked:
            found = "a Service without a selector has no Pods, and requests ask it"
            place = f"Service {service.name}"
            findings.problems.append(Problem(file, line, place, found, "add 'selector: ...'"))


def _nearest(selector: tuple[tuple[str, str], ...], read: Read) -> str:
    """Return the remedy for a Service that selects nothing."""
    carried = [f"{k}={v}" for workload in read.manifests.workloads for k, v in workload.labels]
    if not carried:
        return "add a workload"
    return did_you_mean(f"{selector[0][0]}={selector[0][1]}", sorted(set(carried)))


def _collections(topology: Topology, read: Read, findings: Findings) -> None:
    claims = {claim.name: claim for claim in read.manifests.claims}
    largest: dict[str, int] = {}
    for _, request in requests(topology):
        if request.collection is not None and request.kind == "write":
            size = max(largest.get(request.collection, 0), request.payload_bytes)
            largest[request.collection] = size
    for name, collection in topology.collections.items():
        steps = ("collections", name)
        if collection.egress is not None:
            known = written(findings, "policies")
            _name(findings, (*steps, "egress"), "policy", collection.egress, known)
        if collection.merge is not None:
            known = written(findings, "policies")
            _name(findings, (*steps, "merge"), "policy", collection.merge, known)
        claim = None if collection.claim is None else claims.get(collection.claim)
        if claim is None and collection.claim is not None and read.whole:
            known = read.names("PersistentVolumeClaim")
            _name(findings, (*steps, "claim"), "PersistentVolumeClaim", collection.claim, known)
        interval, retention = topology.sync.interval_us, collection.retention_us
        if interval is not None and retention is not None and retention < interval:
            found = (
                f"records are kept {units.duration_text(retention)}, less than the sync interval "
                f"of {units.duration_text(interval)}: they are pruned before they are sent"
            )
            findings.add((*steps, "retention"), found, "keep them longer, or sync more often")
        write = largest.get(name, 0) + topology.sync.write_overhead_bytes
        batch = topology.sync.batch_writes_max * write
        if claim is not None and name in largest and 0 < claim.size_bytes < batch:
            found = (
                f"a batch of {topology.sync.batch_writes_max} writes takes "
                f"{units.size_text(batch)}, more than the volume {claim.name!r} holds "
                f"({units.size_text(claim.size_bytes)})"
            )
            findings.add(("sync", "batch"), found, "send smaller batches, or ask for more storage")


def _runtimes(topology: Topology, read: Read, findings: Findings) -> None:
    known = profiles.pod_names()
    for runtime_class, profile in topology.runtimes.items():
        if profile not in known:
            remedy = did_you_mean(profile, known)
            findings.add(("runtimes", runtime_class), f"no start-up profile {profile!r}", remedy)
    made = {*_K3S_RUNTIME_CLASSES, *(each.name for each in read.manifests.runtime_classes)}
    mapped = {*topology.runtimes, *profiles.RUNTIME_CLASSES}
    for workload in read.manifests.workloads:
        name = workload.runtime_class
        if not name:
            continue
        file, line = read.places[_kind(workload), workload.namespace, workload.name]
        title = f"{workload.kind} {workload.name}"
        if name not in mapped:
            remedy = f"add 'runtimes: {{{name}: {known[0]}}}' to the topology"
            found = f"no start-up profile is known for RuntimeClass {name!r}"
            findings.problems.append(Problem(file, line, title, found, remedy))
        if name not in made:
            findings.notes.append(
                f"{file}:{line}: {title}: K3s makes no RuntimeClass {name!r} and the manifests "
                "have none; on a real cluster its Pods would be refused (facts/k3s.md, 3.6)"
            )


def _kind(workload: Workload) -> str:
    """Return the kind that stands in the manifest."""
    return "Pod" if workload.kind == "StaticPod" else workload.kind


# ---- links ---------------------------------------------------------------------------------------


def _links(topology: Topology, findings: Findings) -> None:
    """Every uplink ends at an aggregator or the cloud, and every aggregator has a way there."""
    known = written(findings, "aggregators")
    sites = {name for kind, site in topology.sites.items() for name in numbered(kind, site.count)}
    before = len(findings.problems)
    for name in topology.aggregators:
        if name in sites:
            found = f"a site is called {name!r} too: a record could not tell them apart"
            findings.add(("aggregators", name), found, "give the aggregator another name")
    owners = [("aggregators", topology.aggregators), ("sites", topology.sites)]
    for section, entries in owners:
        for name, owner in entries.items():  # type: ignore[attr-defined]
            for key, uplink in owner.uplinks.items():
                steps = (section, name, "uplinks", key, "via")
                if uplink.via is not None and section == "aggregators" and uplink.via == name:
                    findings.add(steps, "an aggregator's uplink leads to itself", "name another")
                elif uplink.via is not None:
                    _name(findings, steps, "aggregator", uplink.via, known)
    if len(findings.problems) > before or set(known) != set(topology.aggregators):
        return
    for name in Ways(topology, ()).stranded():
        found = "no way leads from here to the cloud"
        remedy = "leave 'via' out of one of its uplinks: that one ends at the cloud"
        findings.add(("aggregators", name), found, remedy)


# ---- sites ---------------------------------------------------------------------------------------


def servers(site: Site) -> int:
    """Return how many nodes of *site* run a K3s server, the defaults of `Node.server` applied."""
    asked = sum(node.count for node in site.nodes.values() if node.server)
    if any(node.server is not None for node in site.nodes.values()):
        return asked
    total = sum(node.count for node in site.nodes.values())
    return min(total, {"cloud": 0, "local": 1, "local-ha": 3}[site.control_plane])


def _site(kind: str, site: Site, findings: Findings) -> None:
    number, steps = servers(site), ("sites", kind)
    if site.control_plane == "local-ha" and (number < 3 or number % 2 == 0):
        found = f"local-ha has {number} K3s servers"
        remedy = "etcd needs an odd number, at least 3: set the count of nodes, or 'server: true'"
        findings.add((*steps, "control_plane"), found, remedy)
    if site.control_plane == "local" and number != 1:
        found = f"local has {number} K3s servers"
        remedy = "it is one server on SQLite; for several write 'control_plane: local-ha'"
        findings.add((*steps, "control_plane"), found, remedy)
    if site.control_plane == "cloud" and number:
        found = f"the control plane is in the cloud, and {number} nodes here run a server"
        findings.add((*steps, "control_plane"), found, "leave 'server' out, or write 'local'")
    for name, node in site.nodes.items():
        for place, taint in enumerate(node.taints):
            key, _, effect = taint.rpartition(":")
            if not key or effect not in _TAINT_EFFECTS:
                remedy = "write key=value:NoSchedule (or NoExecute, PreferNoSchedule)"
                where = (*steps, "nodes", name, "taints", place)
                findings.add(where, f"{taint!r} is no taint", remedy)


def _placeable(kind: str, site: Site, read: Read, findings: Findings) -> None:
    """Note workloads for whose node selector a kind of site has no node."""
    for workload in read.manifests.workloads:
        wanted = [
            (key, value)
            for key, value in workload.node_selector
            if not key.partition("/")[0].endswith(tuple(d.rstrip("/") for d in _SELF_SET))
        ]
        if any(_has(node, wanted, workload.node_affinity) for node in site.nodes.values()):
            continue
        file, line = read.places[_kind(workload), workload.namespace, workload.name]
        labels = ", ".join(f"{key}={value}" for key, value in wanted) or "its node affinity"
        findings.notes.append(
            f"{file}:{line}: {workload.kind} {workload.name}: no node of a {kind!r} site has "
            f"{labels}; its Pods stay pending there"
        )


def _has(
    node: Node, wanted: list[tuple[str, str]], affinity: tuple[tuple[Requirement, ...], ...]
) -> bool:
    if any(node.labels.get(key) != value for key, value in wanted):
        return False
    own = [[test for test in term if test.key in node.labels] for term in affinity]
    return not affinity or any(
        matches(Selector(requirements=tuple(term)), dict(node.labels)) for term in own
    )


def _unused(topology: Topology, findings: Findings) -> None:
    """Note what the file describes and nothing touches."""
    used: Mapping[str, set[str | None]] = {
        "collections": {request.collection for _, request in requests(topology)},
        "policies": {request.policy for _, request in requests(topology)}
        | {collection.egress for collection in topology.collections.values()}
        | {collection.merge for collection in topology.collections.values()},
        "services": {request.service for _, request in requests(topology)},
    }
    words = {"collections": "collection", "policies": "policy", "services": "Service"}
    for section, word in words.items():
        for name in getattr(topology, section):
            cloud = section == "collections" and topology.collections[name].cloud_writes
            if name not in used[section] and not cloud:
                line = findings.document.line((section, name))
                where = f"{findings.document.file}:{line}"
                findings.notes.append(f"{where}: {word} {name!r} is used by no request")
