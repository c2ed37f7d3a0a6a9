"""The guide's own figures for two runtimes, on the same storms and the same draws.

Start-up, memory and image come from measured profiles; the rest from one simulation for each
runtime, which differ in nothing but the profile of every workload. Each line stands beside the
guide's claim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from edgetwin import profiles
from edgetwin.checks import check
from edgetwin.checks.verdict import Verdicts
from edgetwin.engine.decisions import Template
from edgetwin.engine.run import simulate
from edgetwin.history import History
from edgetwin.kubernetes import Workload
from edgetwin.model import Scenario
from edgetwin.policy import Policy, load_bundle
from edgetwin.terms import terms_of

SERVER_MEMORY_BYTES = 1_596_000_000
"""What a K3s server with a workload takes, 95th percentile (facts/k3s.md, 3.4)."""
SERVER_CORES = 0.06
"""The same, of a core (facts/k3s.md, 3.4: a Xeon; a Pi 4 takes 0.3)."""
DECISIONS_MEASURED = 2_000


@dataclass(frozen=True)
class Figure:
    """One line: what it is, the value for each runtime, the claim, and where it all is from."""

    name: str
    values: tuple[str, ...]
    claim: str
    source: str


def figures(
    scenario: Scenario, runtimes: Sequence[str], *, seed: int = 0, reading: str = "power"
) -> tuple[list[Figure], dict[str, Any]]:
    """Return the lines, and what was measured with a wall clock, apart.

    *runtimes* are profile names. Raises UsageError for one that does not exist.
    """
    made = [profiles.profile(name) for name in runtimes]
    played = [_on(scenario, name) for name in runtimes]
    histories = [simulate(one, seed=seed, reading=reading) for one in played]
    verdicts = [
        check(terms_of(one), history) for one, history in zip(played, histories, strict=True)
    ]
    wall_us = _wall_us(scenario)
    workload = next((w for w in scenario.manifests.workloads), None)
    lines = [
        Figure(
            "cold start of a pod, image present: p50, p99",
            tuple(
                f"{one.start_us(0.5) / 1e3:.0f}, {one.start_us(0.99) / 1e3:.0f} ms" for one in made
            ),
            "Wasm under 10 ms, container 1 to 5 s",
            "measured: facts/startup.md, 9",
        ),
        Figure(
            "starts in this run, kubelet and cold cache included: p50, p99",
            tuple(_starts(history) for history in histories),
            "",
            "simulated; the kubelet's share is an assumption",
        ),
        Figure(
            "memory of one more pod",
            tuple(f"{one.memory_bytes / 2**20:.1f} MiB" for one in made),
            "Wasm under 5 MB, container 10 to 50 MB",
            "measured: facts/startup.md, 9, 12",
        ),
        Figure(
            "image, uncompressed and as pulled",
            tuple(
                f"{one.image_bytes / 1e6:.2f}, {one.image_gzip_bytes / 1e6:.2f} MB" for one in made
            ),
            "Wasm under 2 MB, container 10 to 100 MB",
            "measured: facts/startup.md, 3",
        ),
        Figure(
            "policy decision, simulated: mean, most",
            tuple(_policy(history) for history in histories),
            "under 1 ms",
            "fuel of the real module over a calibrated rate",
        ),
        Figure(
            "node utilisation: processor time of a site's pods and of K3s, of its cores",
            tuple(_utilised(one, history) for one, history in zip(played, histories, strict=True)),
            "",
            "simulated; K3s: facts/k3s.md, 3.4",
        ),
        Figure(
            "pods that fit a node: by requests, by memory in truth",
            tuple(_density(scenario, workload, one) for one in made),
            "",
            "requests of the manifests; facts/startup.md, 12",
        ),
        Figure(
            f"availability over the whole run, record read as {reading}",
            tuple(_share(one, "availability") for one in verdicts),
            "",
            "simulated, one draw",
        ),
        Figure(
            f"offline availability, record read as {reading}",
            tuple(_share(one, "offline_availability") for one in verdicts),
            "99 %",
            "simulated, one draw",
        ),
    ]
    return lines, {"policy_wall_us": wall_us}


def _on(scenario: Scenario, runtime: str) -> Scenario:
    """Return *scenario* with every workload started by *runtime*."""
    classes = {workload.runtime_class or "default" for workload in scenario.manifests.workloads}
    mapped = dict.fromkeys(sorted(classes | {"default"}), runtime)
    topology = scenario.topology.model_copy(update={"runtimes": mapped})
    return replace(scenario, topology=topology)


def _starts(history: History) -> str:
    starts = history.column("starts", "start_us")
    if not starts.size:
        return "none"
    low, high = np.quantile(starts, (0.5, 0.99))
    return f"{low / 1e3:.0f}, {high / 1e3:.0f} ms ({starts.size:,})"


def _policy(history: History) -> str:
    asked = history.column("decisions", "asked")
    if not asked.sum():
        return "none asked"
    mean = float((history.column("decisions", "cost_us_mean") * asked).sum() / asked.sum())
    return f"{mean:.0f}, {history.column('decisions', 'cost_us_max').max():.0f} us"


def _utilised(scenario: Scenario, history: History) -> str:
    end_us = int(history.meta["end_us"])
    cores = {
        name: sum(
            node.cpu_cores * node.count for node in scenario.topology.sites[kind].nodes.values()
        )
        for name, kind in scenario.sites
    }
    busy = dict.fromkeys(cores, 0.0)
    sites = history.text("pods", "site")
    for site, used in zip(sites, history.column("pods", "busy_us").tolist(), strict=True):
        busy[site] += used
    shares = [busy[name] / end_us / cores[name] + SERVER_CORES / cores[name] for name in cores]
    return f"{np.mean(shares):.2%}, at most {max(shares):.2%}"


def _density(scenario: Scenario, workload: Workload | None, made: profiles.Profile) -> str:
    node = next(iter(next(iter(scenario.topology.sites.values())).nodes.values()))
    free = node.memory_bytes - SERVER_MEMORY_BYTES - made.shared_bytes
    truth = min(110, int(free // made.memory_bytes))
    if workload is None:
        return f"-, {truth}"
    memory = sum(container.memory_bytes_request for container in workload.containers)
    cores = sum(container.cores_request for container in workload.containers)
    fits = [110]
    if memory:
        fits.append(int((node.memory_bytes - SERVER_MEMORY_BYTES) // memory))
    if cores:
        fits.append(int(node.cpu_cores / cores + 1e-9))
    return f"{min(fits)}, {truth}"


def _share(verdicts: Verdicts, name: str) -> str:
    for verdict in verdicts.checks:
        if verdict.name == name:
            value = "no value" if verdict.value is None else f"{float(verdict.value):.4%}"
            return f"{value} {verdict.result.name}"
    return "not judged: no target"


def _wall_us(scenario: Scenario) -> Mapping[str, float]:
    """Return what one decision of each policy takes here, by a wall clock, nothing remembered."""
    found: dict[str, float] = {}
    for site in scenario.topology.sites.values():
        for devices in site.devices.values():
            for request in devices.requests.values():
                if request.policy is None or request.policy in found:
                    continue
                policy = scenario.topology.policies[request.policy]
                bundle = policy.releases[0].bundle
                module = Policy(load_bundle(scenario.bundles[bundle].content, name=bundle))
                template = Template(request.input)
                asked = [
                    template.input(number % template.size, {"offline": False})
                    for number in range(min(template.size, DECISIONS_MEASURED))
                ]
                start = perf_counter()
                for one in asked:
                    module.decide(policy.entrypoint, one)
                found[request.policy] = (perf_counter() - start) / len(asked) * 1e6
    return found
