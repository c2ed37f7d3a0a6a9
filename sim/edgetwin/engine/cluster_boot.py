"""What links, power and processes do to a cluster: who starts when, and what it waits for.

Held against facts/k3s.md, 3.1 (an agent's kubelet starts only after its server has answered), 3.2
(a server needs a default route and a plausible clock) and 3.3 (certificates renew at a start).
"""

from edgetwin.engine.cluster_plane import ControlPlane
from edgetwin.engine.cluster_state import ClusterState, NodeState
from edgetwin.engine.kubelet import Kubelets
from edgetwin.engine.kubelet_contact import FIRST_CONTACT, Contact
from edgetwin.engine.kubelet_heal import Heal


class Boots:
    """Starts and stops machines, kubelets and servers."""

    def __init__(
        self, state: ClusterState, plane: ControlPlane, contact: Contact, kubelets: Kubelets
    ) -> None:
        self._state = state
        self._plane = plane
        self._contact = contact
        self._kubelets = kubelets
        self._server_up = True
        self._changes = 0
        """Counts starts and crashes of the server's processes."""
        self._isolated: dict[str, None] = {}
        """Sites without an uplink."""
        self._expiries: dict[str, int] = {}
        """Number of the certificate that each node holds."""
        if state.spec.certificate_age_us is not None:
            for node in state.nodes.values():
                self._expire_after(
                    node, state.times.certificate_life_us - state.spec.certificate_age_us
                )

    def _has_contact(self, node: NodeState) -> bool:
        return node.contacted and self._state.api_up

    # Faults

    def is_apart(self, node: NodeState) -> bool:
        """Say whether *node*'s control plane, or a part of it, stands on another site."""
        if self._state.spec.control_plane == "cloud":
            return not node.node.server
        return len(self._state.sites) > 1

    def link(
        self,
        node: NodeState,
        up: bool,
        *,
        silent: bool,
        last_lease_us: int | None,
        heal: Heal | None,
    ) -> None:
        """Cut or heal the way between *node*'s kubelet and its control plane."""
        to_itself = node.node.server and self._state.spec.control_plane != "local-ha"
        if to_itself or node.linked == up:
            return
        was = self._has_contact(node)
        node.linked = up
        if not up:
            node.silent = silent
        self._contact.check(node, was=was, last_lease_us=last_lease_us, heal=heal)
        self.check_api()
        if up:
            self._try_start(node)

    def uplink(self, site: str, up: bool) -> None:
        """Cut or heal *site*'s way out: routes and the time may hang on it (3.2)."""
        if up:
            self._isolated.pop(site, None)
            for node in self._state.sites.get(site, ()):
                self._try_start(node)
        else:
            self._isolated[site] = None

    def power(self, node: NodeState, up: bool) -> None:
        """Take *node*'s power away, or give it back."""
        if node.powered == up:
            return
        was = self._has_contact(node)
        node.powered = up
        node.boot += 1
        if up:
            boot = node.boot
            self._state.event(f"node/{node.node.name}", "boot", "")
            self._state.later(self._state.times.boot_us, lambda: self._booted(node, boot))
            return
        node.booted = node.kubelet = False
        node.lost_power = True
        self._state.event(f"node/{node.node.name}", "power lost", "")
        self._kubelets.kill_all(node)
        self._contact.check(node, was=was)
        self._state.node_may_have_changed(node)
        self.check_api()

    def server(self, up: bool) -> None:
        """Crash the control plane's processes, or start them."""
        if self._server_up == up:
            return
        self._changes += 1
        changes = self._changes
        what = "server started" if up else "server killed"
        self._state.event(f"cluster/{self._state.spec.name}", what, "")
        if not up:
            self._server_up = False
            for node in self._plane.servers:
                self._kill_kubelet(node)
            self.check_api()
        elif self._plane.servers:
            self._server_up = True
            for node in self._plane.servers:
                self._try_start(node)
        else:

            def served() -> None:
                if self._changes == changes:
                    self._server_up = True
                    self.check_api()

            self._state.later(self._state.times.server_start_us, served)

    def process(self, node: NodeState, up: bool) -> None:
        """Stop or start the K3s process of *node*."""
        if not up:
            self._kill_kubelet(node)
            node.booted = False
            self._state.event(f"node/{node.node.name}", "kubelet stopped", "")
            self.check_api()
        elif node.powered and not node.booted:
            self._booted(node, node.boot)

    def _kill_kubelet(self, node: NodeState) -> None:
        was = self._has_contact(node)
        node.kubelet = False
        node.boot += 1
        self._kubelets.forget(node)
        self._contact.check(node, was=was)

    # Starting

    def _booted(self, node: NodeState, boot: int) -> None:
        if node.boot == boot and node.powered:
            node.booted = True
            self.check_api()
            for each in self._plane.servers if node.node.server else ():
                self._try_start(each)
            self._try_start(node)

    def _waits(self, node: NodeState) -> bool:
        """Say whether something that K3s needs to start on *node* is missing."""
        spec, times = self._state.spec, self._state.times
        isolated = node.node.site in self._isolated
        if node.node.server:
            no_route = isolated and not spec.route_without_uplink
            no_time = isolated and not spec.clock_survives_power_loss and node.lost_power
            return no_route or no_time or not self._server_up or not self._plane.quorum()
        reaches = node.linked and self._state.api_up
        return times.agent_waits_for_server and not reaches

    def _try_start(self, node: NodeState) -> None:
        """Start a kubelet whose machine is up, when what it needs is there."""
        if node.kubelet or not node.booted or not node.powered or self._waits(node):
            return
        times = self._state.times
        wait_us = times.server_start_us if node.node.server else times.agent_start_us
        if not node.node.server and times.agent_waits_for_server:
            wait_us += self._state.draws.between(f"agent/{node.node.name}", 0, times.agent_retry_us)
        boot = node.boot
        self._state.later(wait_us, lambda: self._start_kubelet(node, boot))

    def _start_kubelet(self, node: NodeState, boot: int) -> None:
        if node.boot != boot or node.kubelet or not node.booted or self._waits(node):
            return
        node.lost_power = False
        self._renew(node)
        self._contact.start_kubelet(node)
        self.check_api()

    # The API server

    def check_api(self) -> None:
        """Start or stop the control plane by what its servers are doing."""
        plane, state = self._plane, self._state
        up = self._server_up and plane.quorum()
        if plane.servers:
            up = up and any(plane.serves(node) for node in plane.servers)
        if up and not state.api_up:
            state.api_up = True
            plane.start()
            for node in state.nodes.values():
                # A server speaks to itself; the others were refused and try in their own time.
                heal = FIRST_CONTACT if node.node.server else None
                self._contact.check(node, was=False, heal=heal)
                self._try_start(node)
        elif state.api_up and not up:
            contacts = [(node, self._has_contact(node)) for node in state.nodes.values()]
            state.api_up = False
            plane.stop()
            for node, was in contacts:
                if was:
                    node.silent = False
                self._contact.check(node, was=was)
        elif up and state.spec.control_plane == "local-ha":
            plane.check_leader()

    # Certificates

    def _renew(self, node: NodeState) -> None:
        """Renew *node*'s certificates at a start, if less than 90 days of them are left (3.3).

        The run counts every certificate as renewed at a start: those with more left would be
        renewed by the next start, or expire only after it.
        """
        if self._state.spec.certificate_age_us is not None:
            self._expire_after(node, self._state.times.certificate_life_us)

    def _expire_after(self, node: NodeState, wait_us: int) -> None:
        number = self._expiries.get(node.node.name, 0) + 1
        self._expiries[node.node.name] = number

        def expire() -> None:
            if self._expiries[node.node.name] == number and not node.node.server:
                self._state.event(f"node/{node.node.name}", "certificate expired", "")
                self.link(node, False, silent=False, last_lease_us=None, heal=None)

        self._state.later(max(0, wait_us), expire)
