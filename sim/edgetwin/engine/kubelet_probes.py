"""Probes: what a kubelet does when a container stops answering, with or without its API server.

Held against facts/kubelet.md, 6: probes are acted on locally as if nothing had happened, but only
for Pods that the kubelet knows. Probes that succeed change nothing and are no events.
"""

from typing import Literal

from edgetwin.engine.cluster_state import ClusterState, PodKey, PodState
from edgetwin.engine.kubelet import Kubelets
from edgetwin.kubernetes import Probe

ProbeKind = Literal["liveness", "readiness"]

KILL_US_MIN, KILL_US_MAX = 100_000, 1_000_000
"""From the last failed probe to the container's end. M: kills came 10.6 to 12.0 s after the
failing began, with three probes five seconds apart (kubelet.md, 6)."""


class Probes:
    """Follows which containers fail which probe, and when the kubelet acts on it."""

    def __init__(self, state: ClusterState, kubelets: Kubelets) -> None:
        self._state = state
        self._kubelets = kubelets
        self._failing: dict[tuple[PodKey, ProbeKind], int] = {}
        """Number of the present spell of failing."""
        self._spells = 0
        kubelets.on_started = self._started
        kubelets.answers = self.answers

    def set(self, pod: PodState, kind: ProbeKind, *, failing: bool) -> None:
        """Have *pod*'s application fail its probe of *kind* from now on, or answer it again."""
        key = (pod.key, kind)
        if failing == (key in self._failing):
            return
        self._spells += 1
        if failing:
            self._failing[key] = self._spells
        else:
            del self._failing[key]
        if pod.running:
            self._plan(pod, kind, failing=failing)

    def _started(self, pod: PodState) -> None:
        """Begin to probe a container that has just started; its startup probe comes first."""
        for kind in ("liveness", "readiness"):
            if (pod.key, kind) in self._failing:
                self._plan(pod, kind, failing=True, starting=True)

    def _plan(
        self, pod: PodState, kind: ProbeKind, *, failing: bool, starting: bool = False
    ) -> None:
        probe = self._probe(pod, kind)
        if starting and kind == "liveness":
            # Until a startup probe has succeeded, liveness is not looked at: it gives the time.
            probe = self._probe(pod, "startup") or probe
        if probe is None:
            return
        number = self._failing.get((pod.key, kind))
        attempt = pod.attempt
        needed = probe.failure_threshold if failing else probe.success_threshold
        first_us = self._state.draws.between(f"probe/{pod.name}", 0, probe.period_us)
        young_us = max(0, pod.started_us + probe.initial_delay_us - self._state.now)
        wait_us = max(first_us, young_us) + (needed - 1) * probe.period_us

        def act() -> None:
            same = self._failing.get((pod.key, kind)) == number and pod.attempt == attempt
            if same and pod.known and pod.node is not None and pod.node.kubelet:
                self._act(pod, kind, failing=failing)

        self._state.later(wait_us, act)

    def _probe(self, pod: PodState, kind: ProbeKind | Literal["startup"]) -> Probe | None:
        """Return the probe of *kind* that fails soonest among the Pod's containers."""
        probes = []
        for container in pod.workload.containers:
            probe = {
                "liveness": container.liveness,
                "readiness": container.readiness,
                "startup": container.startup,
            }[kind]
            if probe is not None:
                probes.append(probe)
        return min(probes, key=lambda each: each.period_us * each.failure_threshold, default=None)

    def _act(self, pod: PodState, kind: ProbeKind, *, failing: bool) -> None:
        if kind == "readiness":
            self._state.event(f"pod/{pod.name}", "readiness", "failed" if failing else "succeeded")
            self._kubelets.set_ready(pod, not failing)
        elif failing:
            attempt = pod.attempt
            wait_us = self._state.draws.between(f"probe/{pod.name}", KILL_US_MIN, KILL_US_MAX)

            def kill() -> None:
                if pod.attempt == attempt:
                    self._kubelets.exit(pod, "liveness probe failed", liveness=True)

            self._state.later(wait_us, kill)

    def answers(self, pod: PodState) -> bool:
        """Say whether *pod* passes its readiness probe, if it has one."""
        return (pod.key, "readiness") not in self._failing or not self._probe(pod, "readiness")
