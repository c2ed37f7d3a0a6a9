"""Contact between kubelets and their API server: lost, found again, and what a boot needs of it.

Held against facts/k3s.md, 1.1 (leases), 1.5 (heals), 3.1 and 3.2 (what starts without a server).
Heartbeats are no events: the last renewal before a cut is drawn when the cut comes.
"""

from collections.abc import Callable
from math import sqrt
from typing import Protocol

from edgetwin.engine.cluster_state import DISK_PRESSURE, ClusterState, NodeState
from edgetwin.engine.kubelet import Kubelets
from edgetwin.engine.kubelet_heal import DETECTED_US, CutKind, Heal, draw_heal
from edgetwin.units import SECOND_US

STEADY_US = 60 * SECOND_US
"""After this long the phase of the renewals no longer tells when they began. Chosen."""

UNREAD_SHARE = 3 / 9
"""Of the kubelets started while cut, those whose Pods missed the Services once. M: kubelet.md 4."""

FIRST_CONTACT = Heal(
    lease_us=100_000, status_us=300_000, list_us=1_000_000, pods_us=1_100_000, proxy_us=1_000_000
)
"""A kubelet that has just started and reaches its server. M: API Pods 1.3 s after it started."""


class Told(Protocol):
    """Who has to know: the node controller, if the control plane runs."""

    def lease_lost(self, node: NodeState) -> None: ...
    def condition_posted(self, node: NodeState) -> None: ...


class Contact:
    """Follows, for each node, whether its kubelet reaches an API server."""

    def __init__(
        self, state: ClusterState, kubelets: Kubelets, controller: Callable[[], Told | None]
    ) -> None:
        self._state = state
        self._kubelets = kubelets
        self._controller = controller

    def check(
        self,
        node: NodeState,
        *,
        was: bool,
        last_lease_us: int | None = None,
        heal: Heal | None = None,
    ) -> None:
        """Act if contact with *node* came or went; *was* says how it stood before.

        *last_lease_us* and *heal* replace what would be drawn, for replays.
        """
        now = node.contacted and self._state.api_up
        if was and not now:
            self._lost(node, last_lease_us)
        elif now and not was:
            self._found(node, heal)

    def _lost(self, node: NodeState, last_lease_us: int | None) -> None:
        node.contact += 1
        if node.found_us == self._state.now:
            node.heals -= 1
        node.synced = False
        if node.beating_us is not None:
            node.lease_us = self._last_lease_us(node) if last_lease_us is None else last_lease_us
            node.beating_us = None
        self._state.freeze(node)
        controller = self._controller()
        if controller is not None:
            controller.lease_lost(node)

    def _last_lease_us(self, node: NodeState) -> int:
        """Draw the last renewal before now: each comes 10 s x (1 .. 1.04) after the one before."""
        times, now_us = self._state.times, self._state.now
        purpose = f"lease/{node.node.name}"
        start_us = node.beating_us
        assert start_us is not None
        spread_us = times.lease_renew_us * times.lease_jitter_share
        if now_us - start_us > STEADY_US:
            # The age of a renewal process: even up to 10 s, then falling to nothing at 10.4 s.
            age_us = self._state.draws.share(purpose) * (times.lease_renew_us + spread_us / 2)
            beyond = age_us - times.lease_renew_us
            if beyond > 0 and spread_us:
                age_us = times.lease_renew_us + spread_us * (
                    1 - sqrt(max(0.0, 1 - beyond / (spread_us / 2)))
                )
            return now_us - round(age_us)
        while True:
            jitter_us = round(spread_us * self._state.draws.share(purpose))
            next_us = start_us + times.lease_renew_us + jitter_us
            if next_us > now_us:
                return start_us
            start_us = next_us

    def _found(self, node: NodeState, heal: Heal | None) -> None:
        node.contact += 1
        contact = node.contact
        node.found_us = self._state.now
        node.heals += 1
        if heal is None:
            heal = draw_heal(self._state.draws, node.node.name, node.heals, self._kind(node))

        def at(delay_us: int, action: Callable[[NodeState], None]) -> None:
            self._state.later(delay_us, lambda: action(node) if node.contact == contact else None)

        node.check_us = self._state.now + heal.status_us
        at(heal.lease_us, self._beat)
        at(heal.status_us, self.post_status)
        at(heal.list_us, self._list)
        at(heal.pods_us, self._report_all)
        at(heal.proxy_us, self._follow)

    def _kind(self, node: NodeState) -> CutKind:
        if not node.silent:
            return "reject"
        return "short" if self._state.now - node.lease_us < DETECTED_US else "drop"

    def _beat(self, node: NodeState) -> None:
        node.beating_us = self._state.now

    def post_status(self, node: NodeState) -> None:
        """Have the kubelet post that it is Ready, if the API server's copy says otherwise."""
        if node.ready != "True" and node.contacted and self._state.api_up:
            node.ready = "True"
            if node.beating_us is None:
                # A posted status is a sign of life, too, until the lease is renewed.
                node.lease_us = self._state.now
            self._state.event(f"node/{node.node.name}", "Ready=True", "")
            controller = self._controller()
            if controller is not None:
                controller.condition_posted(node)

    def called_unknown(self, node: NodeState) -> None:
        """A kubelet that has contact finds itself called Unknown at its next check, every 10 s."""
        if not node.contacted or not self._state.api_up:
            return
        period_us, contact = self._state.times.status_check_us, node.contact
        if node.check_us is None:
            node.check_us = self._state.draws.between(f"status/{node.node.name}", 0, period_us)
        wait_us = node.check_us - self._state.now
        if wait_us < 0:
            wait_us %= period_us
        self._state.later(
            wait_us, lambda: self.post_status(node) if node.contact == contact else None
        )

    def _list(self, node: NodeState) -> None:
        node.synced = True
        self._kubelets.sync(node, self._unread_us(node))

    def _unread_us(self, node: NodeState) -> int:
        """Return how much later Pods start because the Services had not been read yet.

        It befell 3 of 9 kubelets that were started while cut: their first try failed and the next
        came with the sync tick, 11.6 to 15.6 s after the heal (kubelet.md, 4).
        """
        purpose = f"services/{node.node.name}"
        alone, node.started_alone = node.started_alone, False
        if not alone or self._state.draws.share(purpose) >= UNREAD_SHARE:
            return 0
        return self._state.draws.between(purpose, 10 * SECOND_US, 13 * SECOND_US)

    def _report_all(self, node: NodeState) -> None:
        if node.disk_pressure != (DISK_PRESSURE in node.room.taints):
            self._state.refresh_taints(node)
            self._state.on_taints(node)
        for pod in list(node.pods.values()):
            if pod.finished:
                self._kubelets.report_finished(pod)
            self._kubelets.report(pod)

    def _follow(self, node: NodeState) -> None:
        node.view = None
        self._state.node_may_have_changed(node)

    # Power and processes

    def start_kubelet(self, node: NodeState) -> None:
        """Have the kubelet of *node* run, at once: what it waited for is there."""
        was = node.contacted and self._state.api_up
        node.kubelet = True
        node.synced = False
        # A server brings its API server along.
        node.started_alone = not (was or node.node.server or (node.linked and self._state.api_up))
        self._kubelets.forget(node)
        self._state.event(f"node/{node.node.name}", "kubelet started", "")
        self._start_static(node)
        self.check(node, was=was, heal=FIRST_CONTACT)

    def _start_static(self, node: NodeState) -> None:
        """Start the static Pods; with a volume only after two time-outs while packets vanish."""
        cut = not (node.linked and self._state.api_up)
        boot = node.boot
        for pod in list(node.pods.values()):
            if pod.workload.kind != "StaticPod" or pod.running:
                continue
            wait_us = self._state.draws.between(f"static/{node.node.name}", 500_000, 1_200_000)
            if pod.workload.host_paths and cut and node.silent:
                wait_us += self._state.times.volume_wait_us
            self._state.later(
                wait_us,
                lambda pod=pod: (  # type: ignore[misc]
                    self._kubelets.admit(pod) if node.boot == boot and not pod.running else None
                ),
            )
