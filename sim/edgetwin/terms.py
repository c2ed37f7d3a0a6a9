"""The terms on which a history is judged: the little of a scenario that its judges need.

They travel with a saved history, in ``meta["terms"]``, so that it can be judged again without the
folder it came from.

>>> terms(stored(Terms("shop", "5f3c", Targets(availability=0.99)))).targets.availability_share_min
0.99
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ValidationError

from edgetwin import units
from edgetwin.errors import Problem, ScenarioError
from edgetwin.kubernetes import Workload
from edgetwin.model import Scenario, Site, Targets

RETENTION_US = 7 * units.DAY_US
"""Retention of a collection that was not settled by loading: the guide's 7 d."""


@dataclass(frozen=True)
class CollectionTerms:
    """What is asked of one collection."""

    data_class: str
    retention_us: int
    synced: bool
    """Meant for the cloud: not sensitive."""


@dataclass(frozen=True)
class RoomTerms:
    """What the Pods of one site ask of its nodes, and what these have."""

    cores_requested: float
    cores: float
    memory_bytes_requested: int
    memory_bytes: int


@dataclass(frozen=True)
class Terms:
    """Targets, and what they are about."""

    name: str
    digest: str
    targets: Targets = field(default_factory=Targets)
    collections: Mapping[str, CollectionTerms] = field(default_factory=dict)
    writers: Mapping[str, str] = field(default_factory=dict)
    """Class of request, as kind/group/class, to the collection that it writes."""
    budgets_us: Mapping[str, int] = field(default_factory=dict)
    """Class of request to the latency budget that its outcomes were judged by."""
    rooms: Mapping[str, RoomTerms] = field(default_factory=dict)
    """By kind of site."""
    record: str = ""
    """One line about the outage record."""


def terms_of(scenario: Scenario) -> Terms:
    """Return the terms on which a history of *scenario* is judged."""
    topology = scenario.topology
    return Terms(
        name=topology.name,
        digest=scenario.digest,
        targets=topology.targets,
        collections={
            name: CollectionTerms(
                data_class=collection.data_class,
                retention_us=collection.retention_us or RETENTION_US,
                synced=collection.data_class != "sensitive",
            )
            for name, collection in topology.collections.items()
        },
        writers={
            f"{kind}/{group}/{name}": request.collection
            for kind, site in topology.sites.items()
            for group, devices in site.devices.items()
            for name, request in devices.requests.items()
            if request.kind == "write" and request.collection
        },
        budgets_us={
            f"{kind}/{group}/{name}": request.budget_us
            for kind, site in topology.sites.items()
            for group, devices in site.devices.items()
            for name, request in devices.requests.items()
        },
        rooms={
            kind: _room(site, scenario.manifests.workloads) for kind, site in topology.sites.items()
        },
        record="; ".join(scenario.record.notes[:3]),
    )


def _room(site: Site, workloads: tuple[Workload, ...]) -> RoomTerms:
    """Sum what the Pods that select one of the site's nodes request; overheads apart."""
    cores_requested, memory_bytes_requested = 0.0, 0
    for workload in workloads:
        fitting = sum(
            node.count
            for node in site.nodes.values()
            if set(workload.node_selector) <= set(node.labels.items())
        )
        pods = fitting if workload.kind == "DaemonSet" else workload.replicas if fitting else 0
        cores_requested += pods * sum(c.cores_request for c in workload.containers)
        memory_bytes_requested += pods * sum(c.memory_bytes_request for c in workload.containers)
    return RoomTerms(
        cores_requested=cores_requested,
        cores=sum(node.count * node.cpu_cores for node in site.nodes.values()),
        memory_bytes_requested=memory_bytes_requested,
        memory_bytes=sum(node.count * node.memory_bytes for node in site.nodes.values()),
    )


def stored(given: Terms) -> dict[str, Any]:
    """Return *given* as plain JSON values, for ``History.meta["terms"]``."""
    targets = {}
    for name, info in Targets.model_fields.items():
        value = getattr(given.targets, name)
        if value is not None:
            # As a person writes it, because reading it back passes the same validators.
            written = value if value is True or "_writes_" in name else str(value)
            targets[info.alias or name] = f"{written}us" if name.endswith("_us_max") else written
    return {
        "name": given.name,
        "digest": given.digest,
        "targets": targets,
        "collections": {name: asdict(value) for name, value in given.collections.items()},
        "writers": dict(given.writers),
        "budgets_us": dict(given.budgets_us),
        "rooms": {name: asdict(value) for name, value in given.rooms.items()},
        "record": given.record,
    }


def terms(values: Mapping[str, Any], *, file: str = "meta.json") -> Terms:
    """Return the terms that `stored` gave; *file* is named where they are wrong.

    Raises ScenarioError if they are no such terms.
    """
    try:
        return Terms(
            name=str(values["name"]),
            digest=str(values["digest"]),
            targets=Targets.model_validate(values["targets"]),
            collections={
                str(name): CollectionTerms(
                    data_class=str(value["data_class"]),
                    retention_us=int(value["retention_us"]),
                    synced=bool(value["synced"]),
                )
                for name, value in values["collections"].items()
            },
            writers={str(name): str(value) for name, value in values["writers"].items()},
            budgets_us={str(name): int(us) for name, us in values["budgets_us"].items()},
            rooms={
                str(name): RoomTerms(
                    cores_requested=float(value["cores_requested"]),
                    cores=float(value["cores"]),
                    memory_bytes_requested=int(value["memory_bytes_requested"]),
                    memory_bytes=int(value["memory_bytes"]),
                )
                for name, value in values["rooms"].items()
            },
            record=str(values.get("record", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise ScenarioError(
            [Problem(file, 0, "terms", f"not the terms of a scenario: {error!r}"[:300])]
        ) from error
