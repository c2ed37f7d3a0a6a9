"""What an architect writes in ``topology.yaml``: frozen, complete, every quantity in one unit.

A `Topology` is the file; a `Scenario` is the topology with everything that it names: manifests,
policy bundles, the outage record. Nothing reads a file once a `Scenario` exists.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edgetwin import units
from edgetwin.kubernetes import Manifests
from edgetwin.links import distance_km, fibre_latency_us
from edgetwin.outages import Record
from edgetwin.storms import StormSpec

if TYPE_CHECKING:
    from edgetwin.capacity import Capacity


def _written(parse: Any, example: str) -> BeforeValidator:
    """Accept text that *parse* understands, and no bare number where a unit is needed."""

    def read(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not a quantity; write for example {example}")
        return parse(str(value))

    return BeforeValidator(read, json_schema_input_type=str)


def _either(parse: Any, example: str) -> BeforeValidator:
    """Like `_written`, but a bare number is fine, as in Kubernetes."""

    def read(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not a quantity; write for example {example}")
        return parse(str(value))

    return BeforeValidator(read, json_schema_input_type=str | int | float)


Duration = Annotated[int, _written(units.duration_us, "'60s'")]
Size = Annotated[int, _either(units.size_bytes, "'10Gi'")]
Cores = Annotated[float, _either(units.cores, "'500m'")]
Bandwidth = Annotated[int, _written(units.bits_per_s, "'10Mbit/s'")]
Share = Annotated[float, _either(units.share, "'99%'")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=63)]


class Written(BaseModel):
    """Anything that stands in a topology file: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _latency_may_be_reckoned(schema: dict[str, Any]) -> None:
    """A schema cannot say that coordinates stand in for the latency; loading says it."""
    schema["required"] = [name for name in schema["required"] if name != "latency"]


class Law(Written):
    """A distribution of durations; drawn by its inverse, one draw a request."""

    law: Literal["fixed", "exponential", "lognormal", "uniform"] = "fixed"
    value_us: Duration | None = Field(None, alias="value")
    """fixed: the duration itself."""
    mean_us: Duration | None = Field(None, alias="mean")
    """exponential: the mean."""
    median_us: Duration | None = Field(None, alias="median")
    """lognormal: the median."""
    sigma: float | None = Field(None, gt=0, le=4)
    """lognormal: standard deviation of the logarithm."""
    min_us: Duration | None = Field(None, alias="min")
    max_us: Duration | None = Field(None, alias="max")
    """uniform: from min to max."""

    @model_validator(mode="after")
    def _has_its_parameters(self) -> "Law":
        needed = {
            "fixed": ("value",),
            "exponential": ("mean",),
            "lognormal": ("median", "sigma"),
            "uniform": ("min", "max"),
        }[self.law]
        given = {
            "value": self.value_us, "mean": self.mean_us, "median": self.median_us,
            "sigma": self.sigma, "min": self.min_us, "max": self.max_us,
        }  # fmt: skip
        if missing := [name for name in needed if given[name] is None]:
            raise ValueError(f"law {self.law} needs {' and '.join(missing)}")
        if extra := [
            name for name, value in given.items() if value is not None and name not in needed
        ]:
            raise ValueError(f"law {self.law} does not use {' or '.join(extra)}")
        if self.law == "uniform" and self.max_us < self.min_us:  # type: ignore[operator]
            raise ValueError("max is less than min")
        return self

    @property
    def mean_of_law_us(self) -> float:
        """The mean, in microseconds."""
        if self.law == "fixed":
            return float(self.value_us or 0)
        if self.law == "exponential":
            return float(self.mean_us or 0)
        if self.law == "uniform":
            return ((self.min_us or 0) + (self.max_us or 0)) / 2
        return (self.median_us or 0) * math.exp((self.sigma or 0) ** 2 / 2)


class Keys(Written):
    """Which keys of a collection requests touch."""

    count: int = Field(1_000, ge=1, le=100_000_000)
    law: Literal["uniform", "zipf"] = "uniform"
    exponent: float = Field(1.0, gt=0, le=3)
    """zipf: key number r is asked for in proportion to r**-exponent."""


class Node(Written):
    """A machine at a site. Its count makes copies with a number behind the name."""

    count: int = Field(1, ge=1, le=100)
    cpu_cores: Cores = Field(4.0, alias="cpu", gt=0)
    memory_bytes: Size = Field(8 * 2**30, alias="memory", gt=0)
    disk_bytes: Size = Field(32 * 2**30, alias="disk", gt=0)
    system_bytes: Size = Field(4 * 2**30, alias="system")
    """Disk that the operating system and K3s take. Chosen: a minimal Debian with K3s and its
    bundled images stays under it; measure yours."""
    labels: dict[str, str] = {}
    taints: tuple[str, ...] = ()
    """As kubectl writes them: ``key=value:NoSchedule``."""
    boot: Law = Law.model_validate({"law": "uniform", "min": "25s", "max": "40s"})
    """From power to a working K3s. Default: 25 to 40 s, a blog's figure for K3s on a Pi 5
    (facts/startup.md, 11, low trust); an assumption, so set your own."""
    server: bool | None = None
    """Runs the K3s server. Default: the first node of a `local` site, the first three of
    `local-ha`, none of `cloud`."""


class Uplink(Written):
    """A way of a site, or of an aggregator, towards the cloud."""

    model_config = ConfigDict(json_schema_extra=_latency_may_be_reckoned)

    latency_us: Duration = Field(alias="latency")
    """One-way delay while the link is up; written ``18ms``. Default: that of cable along the great
    circle, where both ends have coordinates."""
    jitter_us: Duration = Field(0, alias="jitter")
    """A request forwarded to the cloud is delayed by up to this much more, uniformly."""
    bandwidth_bps: Bandwidth = Field(alias="bandwidth", gt=0)
    """Of the upward direction, which sync uses; written ``10Mbit/s``."""
    loss_share: Share = Field(0.0, alias="loss", lt=1)
    """Share of messages dropped; sync sends them again, so it lowers the useful bandwidth."""
    via: Name | None = None
    """The aggregator at its far end. Default: the cloud itself."""
    capacity: str | None = None
    """A trace of its changing upward capacity, which sync then has in place of `bandwidth`:
    mahimahi's milliseconds, or columns epoch and mbit_s; it repeats from the run's start."""
    priority: int = Field(1, ge=1, le=100)
    """The lowest number that is up carries the traffic; higher ones are backups. Of equal ones
    the shorter way does."""
    risk_group: str | None = None
    """What hits a site's first uplink hits its others of the same group; a row of the record that
    names the group hits all links in it, at all sites."""
    cut: Literal["drop", "refuse", "hang"] = "drop"
    """What a cut does to connections: packets vanish, connections are refused, or a peer takes
    them and never answers. What agents notice, and when, hangs on it (facts/opa-agent.md, 2).
    Chosen: a line that is down drops packets."""


FAILOVER_US = 15_000_000
"""From the loss of the way in use to the use of another. Chosen: three probes missed, one every
5 s. A link that drops silently is noticed no earlier; connections that stand take longer, 45 s
(30 s idle and 15 s ping; facts/k3s.md, 1.5), and are modelled where they are."""

Coordinates = tuple[
    Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-180, le=180)]
]


class Aggregator(Written):
    """A shared hop: what cuts it cuts every site behind it. Sites share no bandwidth there."""

    uplinks: dict[Name, Uplink] = Field(min_length=1)
    """Its ways to the cloud, or to other aggregators."""
    coordinates: Coordinates | None = None
    """Latitude and longitude in degrees."""
    failover_us: Duration = Field(FAILOVER_US, alias="failover", ge=0)
    """How long its traffic is lost when its way fails and another is up."""


class Cloud(Written):
    """Where the cloud is."""

    coordinates: Coordinates | None = None
    """Latitude and longitude in degrees."""


class Clock(Written):
    """A site's wall clock against true time."""

    offset_us: Duration = Field(0, alias="offset")
    """The largest offset; each site draws its own from -offset to +offset."""
    drift_ppm: float = Field(0.0, ge=0, le=1_000)
    """The largest drift in parts per million; each site draws its own within it."""


class RequestClass(Written):
    """One kind of request that the devices of a group issue."""

    service: str
    """The Kubernetes Service that is asked."""
    every_us: Duration = Field(alias="every", gt=0)
    """Mean time between two requests of one device."""
    arrival: Literal["poisson", "periodic"] = "poisson"
    """poisson: independent; periodic: each device keeps its own phase."""
    kind: Literal["read", "write"] = "read"
    payload_bytes: Size = Field(400, alias="payload", gt=0)
    """What a write adds to its collection, before index overhead."""
    collection: str | None = None
    policy: str | None = None
    """The policy that authorises the request; none: nothing is asked."""
    input: dict[str, Any] = {}
    """The policy's input: constants, ``{one_of: [...]}``, ``{integer: [lo, hi]}`` (drawn for each
    request) and ``{state: offline}`` (true while the site has no way to its cloud)."""
    service_time: Law = Law.model_validate({"law": "exponential", "mean": "8ms"})
    """Time that the request holds a worker, beside the policy's decision. Default: 8 ms mean, the
    common workload of facts/peers.md, 5."""
    budget_us: Duration = Field(50_000, alias="budget", gt=0)
    """An answer after this is `late`. Default: the guide's 50 ms."""
    timeout_us: Duration = Field(5_000_000, alias="timeout", gt=0)
    """The client gives up after this; its request goes on, its write is then `info`."""
    retries: int = Field(0, ge=0, le=10)
    """How often a client tries again what failed or timed out. Default: never."""
    backoff_us: Duration = Field(1_000_000, alias="backoff", gt=0)
    """Wait before the first retry; doubles each time."""


class Devices(Written):
    """A group of alike devices at every site of its kind."""

    count: int = Field(ge=1, le=1_000_000)
    power: Literal["own", "site"] = "own"
    """own: they go on asking when the site's power fails; site: they are dark too."""
    requests: dict[Name, RequestClass] = Field(min_length=1)


class Site(Written):
    """A kind of site, written once; `count` of them exist, named NAME-001 and so on."""

    count: int = Field(1, ge=1, le=100_000)
    control_plane: Literal["cloud", "local", "local-ha"]
    """Where its control plane is; every answer depends on it (facts/k3s.md, 0)."""
    zone_label: bool = False
    """Each site is its own topology zone. Turns evictions on where one zone would stop them."""
    failure_domain: str | None = None
    """Sites of one domain are hit by shared events together."""
    failure_domain_sites: int = Field(8, ge=1)
    """How many neighbouring sites share a domain when it is not named."""
    ups_us: Duration = Field(0, alias="ups")
    """How long the nodes run on after the power fails."""
    coordinates: Coordinates | None = None
    """Latitude and longitude in degrees; an uplink without a latency then has its cable's."""
    failover_us: Duration = Field(FAILOVER_US, alias="failover", ge=0)
    """How long the site is cut off when the uplink in use fails and another is up. Default: 15 s,
    three probes missed, one every 5 s (chosen); back to the better one without a gap."""
    nodes: dict[Name, Node] = Field(min_length=1)
    uplinks: dict[Name, Uplink] = Field(min_length=1)
    devices: dict[Name, Devices] = {}
    clock: Clock = Clock()


class ServiceBehaviour(Written):
    """How the pods behind a Kubernetes Service work; what manifests do not say."""

    workers: int = Field(1, ge=1, le=256)
    """Requests that one pod handles at once."""
    queue_limit: int | None = Field(None, ge=0)
    """Requests that may wait in one pod; more are `rejected`. Default: no limit, stated."""
    memory_per_request_bytes: Size = Field(0, alias="memory_per_request")
    """What each request in a pod adds to its memory; over the limit the kernel kills the pod."""
    keep_alive_us: Duration | None = Field(None, alias="keep_alive")
    """Scale to zero: an idle instance is dropped after this, and the next request starts one."""
    fallback: Literal["none", "cloud"] = "none"
    """Where requests go when no local pod is ready: nowhere, or over the uplink to the cloud."""
    cloud_service_time: Law = Law.model_validate({"law": "exponential", "mean": "8ms"})
    """Time in the cloud of a request that was forwarded; the cloud has room for all."""

    @model_validator(mode="after")
    def _one_instance(self) -> "ServiceBehaviour":
        if self.keep_alive_us is not None and self.workers > 1:
            raise ValueError("keep_alive needs workers: 1; an instance handles one request at once")
        return self


class CloudWrites(Written):
    """Writes that others make in the cloud to the same keys of a site's collection."""

    every_us: Duration = Field(alias="every", gt=0)
    """Mean time between two such writes to one site's keys (Poisson)."""
    payload_bytes: Size = Field(400, alias="payload", gt=0)


class Collection(Written):
    """Keyed records in a site's store; each site shares its keys with the cloud alone."""

    data_class: Literal["public", "internal", "sensitive"] = Field("internal", alias="class")
    """sensitive never leaves its site: it is not synced."""
    keys: Keys = Keys()
    retention_us: Duration | None = Field(None, alias="retention", gt=0)
    """Records older than this are pruned, synced or not. Default: `data_retention` of a ConfigMap,
    else 7 d, the guide's figure."""
    strategy: Literal[
        "last-writer-wins",
        "hybrid-logical-clock",
        "cloud-wins",
        "edge-wins",
        "version-vector",
        "mv-register",
        "g-counter",
        "pn-counter",
        "or-set",
        "lww-map",
        "policy",
    ] = "last-writer-wins"
    """How concurrent writes of one key end (facts/verification.md, 2.6)."""
    merge: str | None = None
    """strategy policy: the policy that decides, asked with {key, class, replica, local, remote}."""
    values: tuple[int, int] = (0, 100)
    """strategy policy: writes carry a whole number drawn from this range, both ends included."""
    claim: str | None = None
    """The PersistentVolumeClaim that holds it. Default: the manifests' only one."""
    overhead_share: float = Field(0.25, alias="overhead", ge=0, le=10)
    """Index and page overhead on top of the payload. Chosen: one secondary index on SQLite adds
    about a quarter to a 400 B row; measure your own schema."""
    cloud_writes: CloudWrites | None = None
    egress: str | None = None
    """The policy that must allow the collection to leave its site."""

    @model_validator(mode="after")
    def _decides(self) -> "Collection":
        if (self.strategy == "policy") != (self.merge is not None):
            raise ValueError("strategy policy and merge go together: one names what the other does")
        if self.values[1] < self.values[0]:
            raise ValueError("values are written [lowest, highest]")
        if self.strategy in ("g-counter", "pn-counter") and self.data_class == "sensitive":
            raise ValueError("a counter that never leaves its site has nothing to merge with")
        return self


class Release(Written):
    """A policy revision, and when the cloud publishes it."""

    at_us: Duration = Field(0, alias="at", ge=0)
    """After the start of the run."""
    bundle: str
    """File name in the nearest `policies` folder."""


class DecisionLog(Written):
    """How an agent keeps its decisions for the cloud; the defaults are OPA's."""

    buffer: Literal["size", "event"] = "size"
    """Bounded by bytes or by decisions (facts/opa-agent.md, 7)."""
    limit_bytes: Size = Field(0, alias="limit", ge=0)
    """Of the size buffer; what is over it is lost, the oldest first. Default: 0, without limit."""
    limit_events: int = Field(10_000, ge=1)
    """Of the event buffer: decisions, or chunks of a failed upload, which count as one each."""
    decisions_per_s_max: int = Field(0, alias="decisions_per_s", ge=0)
    """More are lost, also of what a failed upload puts back. Default: 0, without limit."""
    upload_min_us: Duration = Field(300_000_000, alias="upload_min", gt=0)
    upload_max_us: Duration = Field(600_000_000, alias="upload_max", gt=0)
    """An upload follows the last after a wait drawn from [min, max]. Default: 300 to 600 s
    (facts/opa-agent.md, 7)."""
    upload_bytes_max: Size = Field(32_768, alias="upload", gt=0)
    """Largest chunk, compressed (facts/opa-agent.md, 7)."""
    event_bytes: Size = Field(65, alias="event", gt=0)
    """One decision, compressed. Default: the middle of the 54 to 75 B measured for small regular
    inputs (facts/opa-agent.md, 7); inputs of your own may take hundreds."""

    @model_validator(mode="after")
    def _one_limit(self) -> "DecisionLog":
        if self.upload_max_us < self.upload_min_us:
            raise ValueError("upload_max is less than upload_min")
        if self.buffer == "event" and self.limit_bytes:
            raise ValueError("limit is of buffer: size; an event buffer has limit_events")
        if self.buffer == "size" and "limit_events" in self.model_fields_set:
            raise ValueError("limit_events is of buffer: event; a size buffer has limit")
        return self


class Policy(Written):
    """A real policy, its revisions over time, and how sites come by them."""

    entrypoint: str
    releases: tuple[Release, ...] = Field(min_length=1)
    poll_min_us: Duration = Field(60_000_000, alias="poll_min", gt=0)
    poll_max_us: Duration = Field(120_000_000, alias="poll_max", gt=0)
    """An agent polls after a wait drawn from [min, max]. Default: OPA's 60 to 120 s
    (facts/opa-agent.md, 1)."""
    persist: bool = False
    """A restart finds the last bundle on disk. Default: off, as in OPA (facts/opa-wasm.md, 2.3)."""
    disk_store: bool = False
    """OPA's `storage.disk`: bundle and etag outlast a restart. Default: off, as in OPA
    (facts/opa-agent.md, 0, 7)."""
    header_timeout_us: Duration = Field(10_000_000, alias="header_timeout", ge=0)
    """An agent waits this long for an answer; 0s: for ever, and may so stop updating for good.
    Default: OPA's `response_header_timeout_seconds`, 10 s (facts/opa-agent.md, 2a)."""
    long_poll_us: Duration = Field(0, alias="long_poll", ge=0)
    """How long the cloud holds a request that has no news; switches the header timeout off.
    Default: 0s, plain polling, as in OPA (facts/opa-agent.md, 2d)."""
    decision_log: DecisionLog | None = None
    """Decisions are logged and sent to the cloud. Default: not, as in OPA."""
    missing: Literal["deny", "allow"] = "deny"
    """What a service does when no decision can be had: fail closed (`error`) or open."""

    @model_validator(mode="after")
    def _in_order(self) -> "Policy":
        if self.poll_max_us < self.poll_min_us:
            raise ValueError("poll_max is less than poll_min")
        instants = [release.at_us for release in self.releases]
        if instants[0] != 0:
            raise ValueError("the first release must be at 0s: sites start with it")
        if sorted(set(instants)) != instants:
            raise ValueError("releases must be in the order of their instants, each its own")
        return self


class Sync(Written):
    """How a site's outbox reaches the cloud."""

    interval_us: Duration | None = Field(None, alias="interval", gt=0)
    """Between two attempts. Default: `sync_interval` of a ConfigMap, else 60 s."""
    batch_writes_max: int = Field(500, alias="batch", ge=1)
    """Writes in one batch. Default: facts/verification.md, 2.4."""
    write_overhead_bytes: Size = Field(64, alias="overhead", ge=0)
    """Added to each write on the wire. Default: facts/verification.md, 2.4."""
    bandwidth_share: Share = Field(1.0, alias="bandwidth_share", gt=0)
    """How much of the uplink sync may take; what the rest of the traffic leaves."""


class Degradation(Written):
    """What a row of kind `degraded` does to a link while it lasts. Chosen, as no record in
    facts/traces.md says: a congested mobile link, slow and lossy but up; set your own."""

    bandwidth_share: Share = Field(0.2, alias="bandwidth", gt=0)
    """What is left of the bandwidth."""
    latency_us: Duration = Field(200_000, alias="latency", ge=0)
    """Added, one way."""
    loss_share: Share = Field(0.05, alias="loss", lt=1)
    """Lost on top of the link's own loss."""


class Outages(Written):
    """Which storm is replayed, and what its record means."""

    file: str | None = "outages.csv"
    generate: StormSpec | None = None
    """Draw a record by seed instead of reading one."""
    reading: Literal["cut", "power", "mixed", "all"] = "cut"
    """What a `network` row means: a cut uplink, a site power loss, each by turns, or all three side
    by side. A ping record cannot tell."""
    mixed_share: Share = 0.5
    """mixed: the share of rows that are power losses. Chosen: no source says, so half."""
    record_error_us: Duration | None = Field(None, alias="record_error")
    """Error of a record's instants; each is drawn within it by seed. Default: the file's own error
    columns, else the grid on which all its instants lie."""
    duration_us: Duration | None = Field(None, alias="duration", gt=0)
    """Length of the storm. Default: the record's window."""
    degraded: Degradation = Degradation()
    """What rows of kind `degraded` do; such a link is not offline."""
    settle_us: Duration = Field(3_600_000_000, alias="settle", gt=0)
    """Quiet time after the storm in which all links are up. Chosen: an hour, so that 60 sync
    intervals pass."""


class Targets(Written):
    """What must hold. A target that is absent is not judged."""

    offline_availability_share_min: Share | None = Field(None, alias="offline_availability")
    availability_share_min: Share | None = Field(None, alias="availability")
    response_time_us_max: Duration | None = Field(None, alias="response_time")
    """Of the 99th percentile of answers at the edge."""
    convergence_us_max: Duration | None = Field(None, alias="convergence")
    """From a heal until the site's outbox is empty."""
    lost_acked_writes_max: int | None = Field(None, alias="lost_acked_writes", ge=0)
    data_locality: Literal[True] | None = None
    policy_latency_us_max: Duration | None = Field(None, alias="policy_latency")
    policy_freshness_us_max: Duration | None = Field(None, alias="policy_freshness")
    """Of the time a site decides by a revision that the cloud has replaced, or by none."""
    capacity: Literal[True] | None = None
    """Volumes, retention and memory suffice."""
    confidence_share: Share = Field(0.95, alias="confidence", gt=0.5, lt=1)


class Topology(Written):
    """The whole of ``topology.yaml``."""

    name: Name
    description: str = ""
    kubernetes: str = "1.30"
    """Version whose rules and defaults hold (facts/k3s.md, 1.2)."""
    manifests: tuple[str, ...] = ("manifests.yaml",)
    runtimes: dict[str, str] = {}
    """RuntimeClass -> start-up profile; `default` is a pod without one. See
    ``edgetwin profile show``."""
    kubelet_delay_us: Duration = Field(1_000_000, alias="kubelet_delay", ge=0)
    """Added to every pod start for API server and kubelet work. An assumption: nothing here was
    measured; published pod starts span 0.5 to 2 s (facts/startup.md, 12)."""
    prune_every_us: Duration = Field(3_600_000_000, alias="prune_every", gt=0)
    """How often stores remove what is older than its retention. Chosen: hourly, a common cron."""
    cloud: Cloud = Cloud()
    aggregators: dict[Name, Aggregator] = {}
    """Shared hops between sites and the cloud, named by the `via` of uplinks."""
    sites: dict[Name, Site] = Field(min_length=1)
    services: dict[Name, ServiceBehaviour] = {}
    collections: dict[Name, Collection] = {}
    policies: dict[Name, Policy] = {}
    sync: Sync = Sync()
    outages: Outages = Outages()
    targets: Targets = Targets()

    @model_validator(mode="before")
    @classmethod
    def _reckoned(cls, data: Any) -> Any:
        return with_reckoned_latencies(data)


def with_reckoned_latencies(data: Any) -> Any:
    """Return *data*, a topology as written, with the latency of every uplink that states none and
    whose two ends have coordinates; *data* is left alone, and what is malformed is passed on."""
    places = {
        "sites": _mapping(data).get("sites"),
        "aggregators": _mapping(data).get("aggregators"),
    }
    cloud = _place(_mapping(data).get("cloud"))
    changed: dict[str, Any] = {}
    for section, owners in places.items():
        for name, owner in (owned := _mapping(owners)).items():
            here = _place(owner)
            for uplink_name, uplink in _mapping(_mapping(owner).get("uplinks")).items():
                if here is None or not isinstance(uplink, dict) or "latency" in uplink:
                    continue
                via = uplink.get("via")
                there = cloud if via is None else _place(_mapping(places["aggregators"]).get(via))
                if there is None:
                    continue
                latency = f"{fibre_latency_us(distance_km(here, there))}us"
                owners_now = changed.setdefault(section, dict(owned))
                owner_now = owners_now[name] = dict(owners_now[name])
                owner_now["uplinks"] = {
                    **owner_now["uplinks"], uplink_name: {**uplink, "latency": latency}
                }  # fmt: skip
    return {**data, **changed} if changed else data


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _place(owner: Any) -> tuple[float, float] | None:
    """Return the coordinates written at *owner*, None where there are no sound ones."""
    written = _mapping(owner).get("coordinates")
    if not isinstance(written, list | tuple) or len(written) != 2:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in written):
        return None
    return float(written[0]), float(written[1])


@dataclass(frozen=True)
class Bundle:
    """A policy bundle as it stood on disk: its file name, its bytes, its digest."""

    file: str
    content: bytes

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Scenario:
    """A topology with all that it names; enough to run without touching a file again."""

    topology: Topology
    manifests: Manifests
    bundles: Mapping[str, Bundle]
    """By the name under which releases mention them."""
    record: Record
    """The storm, with recorded sites already assigned to modelled ones."""
    folder: str = ""
    """Where it was read from; for messages only, and not part of the digest."""
    lines: Mapping[str, int] | None = None
    """Place in topology.yaml, such as ``sites.store.count``, to its line; for messages only."""
    notes: tuple[str, ...] = ()
    """What loading wants the reader to know: unknown kinds skipped, sites mapped."""
    renamed: tuple[str, ...] = ()
    """Names of the sites, in order, where they are a record's own; empty: NAME-001 and so on."""
    capacities: "Mapping[str, Capacity]" = field(default_factory=dict)
    """By the file name that uplinks mention."""

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change when anything that decides a run changes."""
        mark = hashlib.sha256()
        mark.update(self.topology.model_dump_json(by_alias=True).encode())
        mark.update(repr(self.manifests).encode())
        for name in sorted(self.bundles):
            mark.update(f"{name} {self.bundles[name].sha256}".encode())
        mark.update(repr(self.renamed).encode())
        for name in sorted(self.capacities):
            capacity = self.capacities[name]
            mark.update(f"{name} {capacity.stepwise}".encode())
            mark.update(capacity.at_us.tobytes() + capacity.carried_bytes.tobytes())
        mark.update(repr(self.record).encode())
        return mark.hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def site_names(self) -> tuple[str, ...]:
        """Every site, in order: NAME where there is one of its kind, else NAME-001 and so on."""
        return tuple(name for name, _ in self.sites)

    @cached_property
    def sites(self) -> tuple[tuple[str, str], ...]:
        """(site, its kind), in order of kind and number."""
        kinds = self.topology.sites.items()
        named = [(name, kind) for kind, site in kinds for name in numbered(kind, site.count)]
        if not self.renamed:
            return tuple(named)
        return tuple((name, kind) for name, (_, kind) in zip(self.renamed, named, strict=True))


def numbered(name: str, count: int) -> list[str]:
    """Return the names of *count* copies of *name*.

    >>> numbered("hub", 1), numbered("store", 2)
    (['hub'], ['store-001', 'store-002'])
    """
    if count == 1:
        return [name]
    width = max(3, len(str(count)))
    return [f"{name}-{number:0{width}}" for number in range(1, count + 1)]
