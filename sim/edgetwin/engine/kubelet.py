"""What a node does with its Pods: pull, start, restart with back-off, stop, report.

Held against facts/k3s.md, 2 and facts/kubelet.md, 2 to 6. All of it happens on the machine,
whether or not anybody else can see it; only `report` and `finish` need the API server.
"""

from collections.abc import Callable

from edgetwin.engine.cluster_state import LONG_AGO_US, ClusterState, NodeState, PodState
from edgetwin.engine.controller_client import Process
from edgetwin.engine.images import Images
from edgetwin.kubernetes import Node, Workload
from edgetwin.units import SECOND_US

REPORT_US = 5_000
"""From a change on the node to its being in the API, while there is contact. Chosen: one write."""


class Kubelets:
    """The kubelets of all nodes of a cluster."""

    def __init__(
        self,
        state: ClusterState,
        images: Images,
        *,
        start_us: Callable[[Workload, Node, int], int],
        on_finished: Callable[[PodState], None],
        on_gone: Callable[[PodState], None],
    ) -> None:
        self._state = state
        self._images = images
        self._start_us = start_us
        self._on_finished = on_finished
        self._on_gone = on_gone
        self._runtimes = {each.name: each for each in state.spec.runtime_classes}
        self._starts: dict[tuple[str, str], int] = {}
        self.on_started: Callable[[PodState], None] = lambda pod: None
        """Called when a container has started, before it is ready."""
        self.answers: Callable[[PodState], bool] = lambda pod: True
        """Says whether a Pod that has started passes its readiness probe."""

    # Contact

    def in_contact(self, node: NodeState) -> bool:
        """Say whether *node*'s kubelet sees the API server's Pods and can write to it."""
        return node.contacted and node.synced and self._state.api_up

    def report(self, pod: PodState) -> None:
        """Have the API server's copy of *pod* follow the truth, if it can be written."""
        node = pod.node
        if node is None or pod.gone or pod.listed_ready == pod.ready:
            return
        if self.in_contact(node):
            self._state.later(REPORT_US, lambda: self._write_status(pod))

    def _write_status(self, pod: PodState) -> None:
        if pod.node is not None and self.in_contact(pod.node):
            self._state.set_listed_ready(pod, pod.ready)

    def look(self, pod: PodState, late_us: int = 0) -> None:
        """Have the kubelet act on what the API server says of *pod*, if it can see it."""
        node = pod.node
        if node is None or not self.in_contact(node) or pod.finished:
            return
        if pod.deleted_us is not None or pod.gone:
            if not pod.stopping:
                self.stop(pod)
        elif not pod.known:
            self.admit(pod, late_us)

    # Starting

    def admit(self, pod: PodState, late_us: int = 0) -> None:
        """Take *pod* on: check that the node can run it, and start it if it does not run."""
        node = pod.node
        assert node is not None
        runtime = self._runtimes.get(pod.workload.runtime_class)
        missing = pod.workload.runtime_class and runtime is None
        if missing or (
            runtime is not None
            and node.node.handlers_known
            and runtime.handler not in node.node.handlers
        ):
            # A missing RuntimeClass or handler ends the Pod (facts/k3s.md, 3.6).
            pod.finished = True
            pod.pending = f'RuntimeClass "{pod.workload.runtime_class}" not found'
            self._state.event(f"pod/{pod.name}", "failed", pod.pending)
            self._on_finished(pod)
            return
        if node.disk_pressure and not pod.running and pod.workload.kind != "StaticPod":
            # Refused until the disk has room; a DaemonSet would try again and again.
            self._waits(pod, "Pending", "The node had condition: [DiskPressure].")
            return
        pod.known = True
        if not pod.running and not pod.stopping:
            pod.attempt += 1
            self._state.env.process(
                self._start(pod, late_us + self._state.times.pod_start_delay_us)
            )

    def _start(self, pod: PodState, delay_us: int) -> Process:
        """After *delay_us* get the images, then start the containers, then be ready."""
        attempt, node = pod.attempt, pod.node
        assert node is not None
        yield self._state.env.timeout(delay_us)
        containers = pod.workload.init_containers + pod.workload.containers
        for container in containers:
            while pod.attempt == attempt:
                policy = container.effective_pull_policy
                present = self._images.present(node, container.image)
                if present and policy != "Always":
                    break
                if policy == "Never":
                    self._waits(pod, "ErrImageNeverPull", container.image)
                    return
                wait_us = pod.pull_again_us - self._state.now
                if wait_us > 0:
                    yield self._state.env.timeout(wait_us + self._late_us(pod))
                    continue
                found = yield self._images.fetch(node, container.image)
                if pod.attempt == attempt:
                    if found:
                        pod.pull_backoff_us, pod.pull_again_us = 0, LONG_AGO_US
                        break
                    self._pull_failed(pod, container.image)
        if pod.attempt != attempt:
            return
        counter = self._starts.get((node.node.name, pod.workload.name), 0)
        self._starts[node.node.name, pod.workload.name] = counter + 1
        start_us = self._start_us(pod.workload, node.node, counter)
        for container in containers:
            self._images.warm(node, container.image)
        pod.running, pod.pending = True, ""
        pod.starts += 1
        pod.started_us = self._state.now
        self._state.event(f"pod/{pod.name}", "started", node.node.name)
        self.on_started(pod)
        yield self._state.env.timeout(start_us)
        if pod.attempt == attempt and self.answers(pod):
            self.set_ready(pod, True)

    def _waits(self, pod: PodState, reason: str, detail: str) -> None:
        pod.pending = reason
        self._state.event(f"pod/{pod.name}", reason, detail)

    def _pull_failed(self, pod: PodState, image: str) -> None:
        """Wait 10 s before the next try, then double as long, to 300 s (k3s.md, 2)."""
        times = self._state.times
        pod.pull_backoff_us = min(
            times.pull_backoff_max_us, 2 * pod.pull_backoff_us or times.pull_backoff_us
        )
        pod.pull_again_us = self._state.now + pod.pull_backoff_us
        self._waits(pod, "ImagePullBackOff", image)

    def _late_us(self, pod: PodState) -> int:
        """Return how late the kubelet looks again: its sync ticks (kubelet.md, 3)."""
        times = self._state.times
        return self._state.draws.between(
            f"sync/{pod.name}", times.sync_late_us_min, times.sync_late_us_max
        )

    def set_ready(self, pod: PodState, ready: bool) -> None:
        """Have *pod* answer requests, or not, and tell whoever can be told."""
        if pod.ready != ready:
            pod.ready = ready
            self._state.endpoints_may_have_changed(pod)
        self.report(pod)

    # Crashing

    def exit(self, pod: PodState, reason: str, *, liveness: bool = False) -> None:
        """End *pod*'s container and start it again after its back-off, if its kubelet runs.

        When a liveness probe ends it, the kubelet looks at the exit before this one: the first
        such restart knows of none, and a later one waits only if that exit is younger than the
        back-off; then the whole back-off is waited from now (kubelet.md, 6, gap by gap).
        """
        node = pod.node
        if node is None or not pod.running:
            return
        pod.running = False
        pod.attempt += 1
        before_us, pod.exited_us = pod.exited_us, self._state.now
        self._state.event(f"pod/{pod.name}", "exited", reason)
        self.set_ready(pod, False)
        if not node.kubelet or not pod.known or pod.stopping:
            return
        if pod.workload.restart_policy == "Never":
            self.finish(pod, "Failed")
            return
        if liveness and before_us == LONG_AGO_US:
            self._state.env.process(self._restart(pod, self._restart_us(pod), counts=False))
        elif self._backs_off(pod, before_us if liveness else pod.exited_us):
            self._waits(pod, "CrashLoopBackOff", f"{pod.backoff_us // SECOND_US}s")
            wait_us = pod.backoff_us + self._late_us(pod)
            self._state.env.process(self._restart(pod, wait_us))
        else:
            self._state.env.process(self._restart(pod, self._restart_us(pod)))

    def _restart_us(self, pod: PodState) -> int:
        """Return how long a restart without a wait takes: 0.4 to 1.3 s were measured."""
        mean_us = self._state.times.restart_us
        return self._state.draws.between(f"sync/{pod.name}", 4 * mean_us // 5, 13 * mean_us // 5)

    def _restart(self, pod: PodState, delay_us: int, *, counts: bool = True) -> Process:
        attempt = pod.attempt
        yield self._state.env.timeout(delay_us)
        if pod.attempt == attempt:
            if counts:
                self._next_backoff(pod)
            yield from self._start(pod, 0)

    def _backs_off(self, pod: PodState, exited_us: int) -> bool:
        """Say whether a restart has to wait, by an exit at *exited_us*."""
        if not pod.backoff_us or exited_us - pod.backoff_set_us > self._state.times.crash_reset_us:
            return False
        return self._state.now - exited_us < pod.backoff_us

    def _next_backoff(self, pod: PodState) -> None:
        times = self._state.times
        if not pod.backoff_us or pod.exited_us - pod.backoff_set_us > times.crash_reset_us:
            pod.backoff_us = times.crash_backoff_us
        else:
            pod.backoff_us = min(times.crash_backoff_max_us, 2 * pod.backoff_us)
        pod.backoff_set_us = self._state.now

    # Stopping

    def stop(self, pod: PodState) -> None:
        """Carry out a deletion: SIGTERM, then SIGKILL after the grace period, then tell."""
        pod.stopping = True
        pod.attempt += 1
        self.set_ready(pod, False)
        self._state.env.process(self._stop(pod))

    def _stop(self, pod: PodState) -> Process:
        node = pod.node
        assert node is not None
        boot = node.boot
        if pod.running:
            grace_us = min(pod.workload.termination_grace_us, self._state.times.pod_stop_us)
            yield self._state.env.timeout(grace_us)
            if node.boot != boot:
                return
            pod.running = False
            self._state.event(f"pod/{pod.name}", "stopped", node.node.name)
        yield self._state.env.timeout(self._state.times.pod_cleanup_us)
        if node.boot == boot:
            self.cleaned(pod)

    def cleaned(self, pod: PodState) -> None:
        """Tell the API server that *pod* has ended, if it can be told."""
        node = pod.node
        assert node is not None
        if self.in_contact(node):
            node.pods.pop(pod.key, None)
            self._on_gone(pod)

    def finish(self, pod: PodState, phase: str) -> None:
        """End *pod* for good: restart policy Never, or evicted by its kubelet."""
        pod.finished = True
        pod.attempt += 1
        pod.running = False
        self.set_ready(pod, False)
        self._state.event(f"pod/{pod.name}", phase, "")
        self.report_finished(pod)

    def report_finished(self, pod: PodState) -> None:
        """Tell the API server that *pod* has ended for good, if it can be told."""
        if pod.node is None or not self.in_contact(pod.node):
            return
        if pod.gone:
            pod.node.pods.pop(pod.key, None)
        else:
            self._on_finished(pod)

    # The machine

    def kill_all(self, node: NodeState) -> None:
        """End everything on *node*: its power is gone, or its kernel."""
        for pod in list(node.pods.values()):
            pod.attempt += 1
            pod.known = pod.running = False
            pod.exited_us = self._state.now
            self.forget_backoff(pod)
            if pod.ready:
                pod.ready = False
                self._state.endpoints_may_have_changed(pod)
        self._images.chill(node)

    def forget(self, node: NodeState) -> None:
        """Have a kubelet that starts know no Pod of the API; what runs goes on (kubelet.md, 4)."""
        for pod in node.pods.values():
            pod.stopping = False
            if pod.workload.kind != "StaticPod":
                pod.known = False
                if not pod.running:
                    pod.attempt += 1
            self.forget_backoff(pod)

    def forget_backoff(self, pod: PodState) -> None:
        """Back-off lives in the kubelet's memory and ends with its process (kubelet.md, 4)."""
        pod.backoff_us, pod.pull_backoff_us, pod.pull_again_us = 0, 0, LONG_AGO_US

    def sync(self, node: NodeState, late_us: int = 0) -> None:
        """Act on the list of Pods that has come: stop the deleted, start the unknown.

        *late_us* is how much longer those take that do not run already.
        """
        for pod in list(node.pods.values()):
            if pod.stopping and not pod.running:
                self.cleaned(pod)
            else:
                self.look(pod, late_us)
