"""The endpoint slices: which Pods are listed for their Services, a moment after they changed.

Held against facts/k3s.md, 1.2: a slice drops a Pod within 30 ms of its becoming NotReady, and a
terminating Pod is no endpoint. All changes of one workload that wait are written together.
"""

from edgetwin.engine.cluster_state import ClusterState, PodState
from edgetwin.engine.controller_client import Client, Process, Workers


class EndpointController:
    """Keeps ``PodState.endpoint`` in step with the API server's copy of the Pods."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._client = Client(state.env, state.times, state.draws.word("controller/endpoints"))
        self._workers = Workers(state.env, state.times.replica_workers)
        self._waiting: dict[str, dict[PodState, None]] = {}
        self._stopped = False

    def stop(self) -> None:
        """Die; the slices stay as they are."""
        self._stopped = True
        self._client.stop()

    def changed(self, pod: PodState) -> None:
        """Have the slices of *pod*'s workload written, unless they are right or about to be."""
        name = pod.workload.name
        if self._stopped or pod.endpoint == _belongs(pod):
            return
        if name in self._waiting:
            self._waiting[name][pod] = None
            return
        self._waiting[name] = {pod: None}
        self._state.later(
            self._state.times.watch_us, lambda: self._workers.add(lambda: self._write(name))
        )

    def _write(self, name: str) -> Process:
        pods = self._waiting.pop(name, {})
        if self._stopped or all(pod.endpoint == _belongs(pod) for pod in pods):
            return
        yield self._client.write()
        for pod in pods:
            apply_endpoint(self._state, pod)


def _belongs(pod: PodState) -> bool:
    return pod.listed_ready and pod.deleted_us is None and not pod.gone


def apply_endpoint(state: ClusterState, pod: PodState) -> None:
    """List *pod* if the API server's copy of it is ready and stays, else drop it."""
    pod.endpoint = _belongs(pod)
    state.endpoints_may_have_changed(pod)
