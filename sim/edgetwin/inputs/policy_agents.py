"""What a policy's settings lead to, though each of them is right: only noted."""

from collections.abc import Iterator

from edgetwin.inputs.findings import Findings
from edgetwin.model import Policy, Site, Topology
from edgetwin.units import SECOND_US, duration_text


def note(topology: Topology, findings: Findings) -> None:
    """Note policies whose agents may stop updating, start with nothing, or lose decisions."""
    for name, policy in topology.policies.items():
        line = findings.document.line(("policies", name))
        where = f"{findings.document.file}:{line}: policy {name!r}"
        lines = [*_updating(policy), *_restarting(topology, policy)]
        rate = max((_decisions_per_s(site, name) for site in topology.sites.values()), default=0.0)
        findings.notes += [f"{where}: {line}" for line in [*lines, *_logging(policy, rate)]]


def _updating(policy: Policy) -> Iterator[str]:
    why = ""
    if policy.long_poll_us:
        why = "a long poll switches the header timeout off"
    elif not policy.header_timeout_us:
        why = "header_timeout is 0s"
    if why:
        yield (
            f"{why}: an agent whose request is never answered asks no more, and its health says "
            "200 (facts/opa-agent.md, 0)"
        )


def _restarting(topology: Topology, policy: Policy) -> Iterator[str]:
    nothing_kept = not policy.persist and not policy.disk_store
    if nothing_kept and policy.missing == "deny" and topology.outages.reading != "cut":
        yield (
            "an agent that restarts while cut finds nothing on disk, and every decision is "
            "denied until the heal; 'persist: true' keeps the last bundle (facts/opa-agent.md, 4)"
        )


def _logging(policy: Policy, rate_per_s: float) -> Iterator[str]:
    """Say what a log loses without any cut: more than its buffer holds between two uploads."""
    log = policy.decision_log
    if log is None:
        return
    if log.decisions_per_s_max and rate_per_s > log.decisions_per_s_max:
        yield (
            f"a site makes {rate_per_s:.3g} decisions a second, its log keeps "
            f"{log.decisions_per_s_max}: the rest is lost without any cut"
        )
    made = rate_per_s * log.upload_max_us / SECOND_US
    room: float = log.limit_events
    if log.buffer == "size":
        room = log.limit_bytes / log.event_bytes if log.limit_bytes else made
    if made > room:
        yield (
            f"in {duration_text(log.upload_max_us)} between uploads a site makes {made:,.0f} "
            f"decisions, its log holds {room:,.0f}: it loses some without any cut "
            "(facts/opa-agent.md, 7)"
        )


def _decisions_per_s(site: Site, policy: str) -> float:
    return sum(
        devices.count * SECOND_US / request.every_us
        for devices in site.devices.values()
        for request in devices.requests.values()
        if request.policy == policy
    )
