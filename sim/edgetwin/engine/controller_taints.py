"""The taint eviction controller: how long a Pod may stay on a node that carries NoExecute.

Held against facts/k3s.md, 1.2 and the table under 1.2a: the time runs from the taint, is called
off when the taint is gone, and starts afresh with the next taint; deletions share one client.
"""

from collections.abc import Callable

from edgetwin.engine.cluster_state import NO_EXECUTE, ClusterState, NodeState, PodKey, PodState
from edgetwin.engine.controller_client import Client, Process
from edgetwin.kubernetes import Workload


def toleration_us(workload: Workload) -> int | None:
    """Return how long Pods of *workload* bear unreachable:NoExecute; None: for ever.

    The first toleration that matches the taint counts; without one the Pod goes at once.
    """
    for toleration in workload.all_tolerations:
        if toleration.tolerates(NO_EXECUTE):
            time_us = toleration.toleration_us
            return None if time_us is None else max(0, time_us)
    return 0


class TaintEviction:
    """Deletes Pods from tainted nodes when their time is over."""

    def __init__(self, state: ClusterState, *, on_deleted: Callable[[PodState], None]) -> None:
        self._state = state
        self._env = state.env
        self._on_deleted = on_deleted
        self._client = Client(state.env, state.times, state.draws.word("controller/taints"))
        self._timers: dict[PodKey, int] = {}
        """Number of the timer that counts for each Pod."""
        self._count = 0
        self._tolerated: dict[str, int | None] = {}
        self._stopped = False

    def stop(self) -> None:
        """Die, with all timers."""
        self._stopped = True
        self._client.stop()

    def node_changed(self, node: NodeState) -> None:
        """Start or call off the timers of the Pods of *node*, by its taints as they are now."""
        for pod in node.pods.values():
            if node.no_execute:
                self.pod_bound(pod)
            else:
                self._timers.pop(pod.key, None)

    def pod_bound(self, pod: PodState) -> None:
        """Start the timer of *pod* if its node is tainted and it has none yet."""
        if pod.node is None or not pod.node.no_execute or pod.key in self._timers:
            return
        if pod.gone or pod.deleted_us is not None:
            return
        name = pod.workload.name
        if name not in self._tolerated:
            self._tolerated[name] = toleration_us(pod.workload)
        wait_us = self._tolerated[name]
        if wait_us is None:
            return
        self._count += 1
        self._timers[pod.key] = number = self._count
        self._state.later(wait_us, lambda: self._due(pod, number))

    def _due(self, pod: PodState, number: int) -> None:
        if not self._stopped and self._timers.get(pod.key) == number:
            self._env.process(self._delete(pod))

    def _delete(self, pod: PodState) -> Process:
        """Read the Pod, write why, delete it; the event goes its own way (1.2a: three calls)."""
        self._client.record()
        yield self._client.read()
        yield self._client.write()
        yield self._client.write()
        self._timers.pop(pod.key, None)
        if not pod.gone and pod.deleted_us is None:
            pod.deleted_us = self._state.now
            self._state.event(f"pod/{pod.name}", "deletion", "DeletionByTaintManager")
            self._on_deleted(pod)
