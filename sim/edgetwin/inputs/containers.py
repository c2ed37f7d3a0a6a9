"""Containers of a Pod, with their resources and probes."""

from typing import cast

from edgetwin.inputs import kubernetes_keys as keys
from edgetwin.inputs.fields import Fields
from edgetwin.kubernetes import Container, Probe, PullPolicy, pairs
from edgetwin.units import SECOND_US

_HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")


def containers(pod: Fields, key: str) -> tuple[Container, ...]:
    """Return the containers in the list at *key* of a Pod's spec."""
    found = []
    names: set[str] = set()
    for fields in pod.items(key):
        container = _container(fields)
        if container.name in names:
            fields.add("name", f"two containers are called {container.name!r}", "rename one")
        names.add(container.name)
        found.append(container)
    return tuple(found)


def _container(fields: Fields) -> Container:
    fields.known(keys.CONTAINER)
    pull = fields.choice("imagePullPolicy", ("Always", "IfNotPresent", "Never"), "")
    requests, limits = _resources(fields)
    return Container(
        name=fields.name("name", required=True),
        image=fields.text("image", required="registry.example/app:1.0"),
        pull_policy=cast(PullPolicy, pull) if pull else None,
        cores_request=requests.get("cpu", limits.get("cpu", 0.0)),
        cores_limit=limits.get("cpu"),
        memory_bytes_request=round(requests.get("memory", limits.get("memory", 0))),
        memory_bytes_limit=round(limits["memory"]) if "memory" in limits else None,
        env=pairs({e.text("name"): e.text("value") for e in fields.items("env") if _plain(e)}),
        config_maps=tuple(dict.fromkeys(name for name, _, _, _ in config_map_references(fields))),
        liveness=_probe(fields.mapping("livenessProbe"), settled=True),
        readiness=_probe(fields.mapping("readinessProbe"), settled=False),
        startup=_probe(fields.mapping("startupProbe"), settled=True),
    )


def _plain(env: Fields) -> bool:
    """Tell whether an environment variable carries its value itself."""
    env.text("name", required="NAME")
    if env.data.get("value") is not None and env.data.get("valueFrom") is not None:
        env.add("valueFrom", "both 'value' and 'valueFrom' are given", "keep one of the two")
    return isinstance(env.data.get("name"), str) and env.data.get("valueFrom") is None


def _resources(container: Fields) -> tuple[dict[str, float], dict[str, float]]:
    """Return what a container requests and its limits: cpu in cores, memory in bytes."""
    resources = container.mapping("resources")
    if resources is None:
        return {}, {}
    resources.known(keys.RESOURCES)
    both: list[dict[str, float]] = []
    for part in ("requests", "limits"):
        listed = resources.mapping(part)
        amounts: dict[str, float] = {}
        for name in listed.data if listed else ():
            assert listed is not None
            amount = listed.quantity(name, "500m" if name == "cpu" else "128Mi")
            if amount is not None:
                amounts[name] = amount
        both.append(amounts)
    requests, limits = both
    for name, amount in requests.items():
        if amount > limits.get(name, amount):
            found = f"more {name} is requested than the limit allows"
            resources.add(("requests", name), found, "raise the limit, or request less")
    return requests, limits


def _probe(fields: Fields | None, *, settled: bool) -> Probe | None:
    """Return a probe; *settled* ones (liveness, startup) take one success."""
    if fields is None:
        return None
    fields.known(keys.PROBE)
    handlers = [name for name in _HANDLERS if name in fields.data]
    if len(handlers) != 1:
        found = "a probe asks in exactly one way" + (f", not {len(handlers)}" if handlers else "")
        fields.add((), found, f"write one of {', '.join(_HANDLERS)}")
        return None
    success = fields.whole("successThreshold", 1, least=1)
    if settled and success != 1:
        fields.add("successThreshold", f"{success} is not allowed here", "it must be 1")
    return Probe(
        handler=cast("object", handlers[0]),  # type: ignore[arg-type]
        initial_delay_us=fields.whole("initialDelaySeconds", 0) * SECOND_US,
        period_us=fields.whole("periodSeconds", 10, least=1) * SECOND_US,
        timeout_us=fields.whole("timeoutSeconds", 1, least=1) * SECOND_US,
        failure_threshold=fields.whole("failureThreshold", 3, least=1),
        success_threshold=success,
    )


def config_map_references(container: Fields) -> list[tuple[str, str, bool, Fields]]:
    """Return the ConfigMaps read into the environment.

    Each is its name, the key that is read (empty for all), whether it may be missing, and where
    it is named.
    """
    sources = [(source.mapping("configMapRef"), "") for source in container.items("envFrom")]
    for variable in container.items("env"):
        origin = variable.mapping("valueFrom")
        reference = origin.mapping("configMapKeyRef") if origin else None
        key = reference.text("key", required="sync_interval") if reference else ""
        sources.append((reference, key))
    return [
        (each.text("name"), key, each.flag("optional"), each)
        for each, key in sources
        if each and each.text("name")
    ]
