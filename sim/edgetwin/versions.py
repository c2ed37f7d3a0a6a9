"""What Kubernetes does by default, version by version: one named number for each timing.

Every default names its source: a section of ``facts/k3s.md`` or ``facts/kubelet.md``, whose
letters R (read in the source), M (measured) and D (derived) are kept. A topology overrides any of
them by name; `defaults` refuses a name or a version that is not known.
"""

import re
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches

from edgetwin.units import DAY_US, SECOND_US

MILLISECOND_US = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """The timings and limits of one Kubernetes version; the values are those of 1.30."""

    # Leases and the monitor's pass
    lease_renew_us: int = 10 * SECOND_US
    """The kubelet renews its lease this often. R, M: k3s.md 1.1, kubelet.md 1."""
    lease_jitter_share: float = 0.04
    """Each renewal comes up to this share later. R, M: k3s.md 1.1."""
    monitor_period_us: int = 5 * SECOND_US
    """From the end of one pass over the nodes to the start of the next. M: k3s.md 1.1."""
    monitor_idle_us: int = 5 * MILLISECOND_US
    """A pass that finds nothing takes this long. M: the recordings' are 5.002 to 5.005 s apart."""
    grace_us: int = 40 * SECOND_US
    """A node becomes Unknown in the first pass that saw no renewal for longer. R, M: 1.1."""
    taints_in_pass_of_unknown: bool = False
    """A node is queued for NoExecute in the pass in which it turns Unknown (from 1.34), not in the
    next one. R, M: k3s.md 1.2."""
    lease_read_of_lost: bool = False
    """Each pass reads the lease of each node whose grace is over, called Unknown or not yet. R at
    1.37.2 (gate NodeControllerLeaseCircuitBreaker): k3s.md 1.2a."""

    # What one call costs, and how many a controller may make
    api_calls_per_s: int = 20
    """``--kube-api-qps``: calls a second of each controller's client. R, M: k3s.md 1.2a."""
    api_calls_burst: int = 30
    """``--kube-api-burst``. R, M: k3s.md 1.2a."""
    write_us: int = 15 * MILLISECOND_US
    """Mean duration of a write at the API server. Chosen (k3s.md 1.3): the recordings' writes took
    some 10 to 40 ms; the race before evictions stop follows from it."""
    read_us: int = 4 * MILLISECOND_US
    """Mean duration of a GET. Chosen: GET and PATCH of a taint took some 10 ms together when the
    recorded control plane was idle."""
    watch_us: int = 5 * MILLISECOND_US
    """From a write to its being seen by those who watch. M: replacements appear 10 to 70 ms after
    a deletion, endpoints within 30 ms (k3s.md 1.2, 1.4)."""
    workers: int = 8
    """Nodes handled side by side in a pass, and workers for NoSchedule taints. R: k3s.md 1.2a."""
    replica_workers: int = 5
    """ReplicaSets handled side by side. mem: ``--concurrent-replicaset-syncs``."""

    # Zones and the rate of tainting
    taint_loop_us: int = 100 * MILLISECOND_US
    """The NoExecute queue is looked at this often. R: k3s.md 1.2a."""
    eviction_rate_per_s: float = 0.1
    """Nodes tainted a second in a zone that is Normal or wholly lost. R, M: k3s.md 1.1, 1.3."""
    secondary_rate_per_s: float = 0.01
    """The same in a large zone in PartialDisruption. R: k3s.md 1.1, 1.3."""
    large_zone_nodes: int = 50
    """A zone of more nodes is large; in smaller ones a PartialDisruption stops tainting. R: 1.3."""
    unhealthy_share: float = 0.55
    """From this share of lost nodes on a zone is in PartialDisruption. R: k3s.md 1.1."""
    unhealthy_nodes_min: int = 3
    """Fewer lost nodes than this never are a PartialDisruption. R: k3s.md 1.1, 1.3."""

    # The kubelet
    status_check_us: int = 10 * SECOND_US
    """The kubelet compares its node's status with the API server's copy. R, M: k3s.md 1.1."""
    crash_backoff_us: int = 10 * SECOND_US
    """First wait before a crashed container starts again; the first restart is at once. R, M."""
    crash_backoff_max_us: int = 300 * SECOND_US
    """The wait doubles up to this. R, M: k3s.md 2, kubelet.md 3."""
    crash_reset_us: int = 600 * SECOND_US
    """A container that ran longer than this starts with no wait. M: 595 to 605 s, kubelet.md 3."""
    sync_late_us_min: int = 800 * MILLISECOND_US
    sync_late_us_max: int = 12_100 * MILLISECOND_US
    """A restart comes this much after its wait has passed. M: kubelet.md 3."""
    restart_us: int = 500 * MILLISECOND_US
    """From exit to start without a wait. M: 0.4 to 1.3 s, kubelet.md 3."""
    pull_backoff_us: int = 10 * SECOND_US
    pull_backoff_max_us: int = 300 * SECOND_US
    """Wait after a failed pull, doubling up to the maximum. R: k3s.md 2."""
    pull_timeout_us: int = 30 * SECOND_US
    """A pull fails after this if packets vanish, at once if refused. M: kubelet.md 3."""
    image_gc_high_share: float = 0.85
    """Image garbage collection begins above this share of the disk. R: k3s.md 2."""
    image_gc_low_share: float = 0.80
    """... and frees unused images until the disk is at this share. R: k3s.md 2."""
    image_gc_age_us: int = 120 * SECOND_US
    """Images younger than this are not collected. R: k3s.md 2."""
    image_gc_period_us: int = 300 * SECOND_US
    """The disk is looked at this often for images to collect. R: k3s.md 2."""
    disk_evict_share: float = 0.05
    """K3s evicts Pods when less of the disk is free (``nodefs``, ``imagefs``). R: k3s.md 2."""
    disk_reclaim_share: float = 0.10
    """... and frees at least this share. R: k3s.md 2."""
    disk_hold_us: int = 300 * SECOND_US
    """DiskPressure stays this long after the disk has room again. R: k3s.md 2."""
    volume_wait_us: int = 60 * SECOND_US
    """A static Pod with a volume does nothing for this long after a kubelet start while packets
    vanish. M: kubelet.md 4, 5."""
    pod_stop_us: int = 1 * SECOND_US
    """From SIGTERM to the end of an application that stops when told. Chosen: the recordings' 1 s,
    within the 0.3 to 16 s of kubelet.md 2; never over the Pod's own grace."""
    pod_cleanup_us: int = 1 * SECOND_US
    """From the end of the processes to the Pod's removal from the API. M: kubelet.md 2: 1.0 s."""
    pod_start_delay_us: int = 200 * MILLISECOND_US
    """From binding to the runtime's start. Chosen: a watch, a sync and a volume check."""

    # The machine and K3s itself
    boot_us: int = 40 * SECOND_US
    """From power to a running kernel and init. Chosen: a small industrial PC."""
    server_start_us: int = 15 * SECOND_US
    """From K3s server start to a served API and a kubelet that starts Pods. Chosen."""
    agent_start_us: int = 5 * SECOND_US
    """From K3s agent start to a running kubelet once its server answers. Chosen."""
    leader_lease_us: int = 15 * SECOND_US
    """With three servers, another one's controllers take over this long after their leader was
    lost. mem: ``--leader-elect-lease-duration``."""
    agent_waits_for_server: bool = True
    """A K3s agent starts its kubelet only when it has reached its server. R: k3s.md 3.1. False: a
    plain kubelet, which starts its static Pods by itself (kubelet.md 5)."""
    agent_retry_us: int = 2 * SECOND_US
    """An agent that cannot reach its server tries again this often. R: k3s.md 3.1."""
    certificate_life_us: int = 365 * DAY_US
    """Life of the client and serving certificates. R: k3s.md 3.3."""
    certificate_renew_us: int = 90 * DAY_US
    """K3s renews at its start if less than this is left. R: k3s.md 3.3."""
    token_life_us: int = 365 * DAY_US
    """Life of a Pod's token, extended by the API server. R: k3s.md 2."""

    @property
    def pass_us(self) -> int:
        """From the start of one pass that finds nothing to the next."""
        return self.monitor_period_us + self.monitor_idle_us


def defaults(version: str = "1.30", **overrides: object) -> Kubernetes:
    """Return the defaults of Kubernetes *version*, with *overrides* by field name.

    >>> defaults("1.30").grace_us, defaults("v1.32.13+k3s1").grace_us
    (40000000, 50000000)
    >>> defaults("1.34").taints_in_pass_of_unknown
    True

    Three behaviours are told apart (k3s.md 1.2): up to 1.31, 1.32 and 1.33, from 1.34 on.
    Raises ValueError for a version that is none, and for an override of a field that is none.
    """
    match = re.fullmatch(r"v?(\d+)\.(\d+)(?:\..*|\+.*)?", version)
    if not match:
        raise ValueError(f"{version!r} is not a Kubernetes version; write for example '1.30'")
    minor = (int(match[1]), int(match[2]))
    known = {field.name for field in fields(Kubernetes)}
    for name in overrides:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see edgetwin.versions.Kubernetes"
            raise ValueError(f"no parameter {name!r} of Kubernetes; {hint}")
    times = Kubernetes(
        grace_us=(50 if minor >= (1, 32) else 40) * SECOND_US,
        taints_in_pass_of_unknown=minor >= (1, 34),
        lease_read_of_lost=minor >= (1, 37),
    )
    return replace(times, **overrides)  # type: ignore[arg-type]
