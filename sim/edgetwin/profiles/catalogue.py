"""The profiles by name: which measured rows each is made of, and which RuntimeClass means which.

`dynllvm` rows are WasmEdge as Debian packages it, which is what an install gives; the profiles
called *slim* are the same version built without LLVM (facts/startup.md, sections 2 and 13).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from edgetwin.errors import UsageError, did_you_mean
from edgetwin.profiles.profile import Level, Profile
from edgetwin.profiles.tables import (
    Key,
    images,
    instance_bytes,
    pod_memory_bytes,
    starts,
)

_RUNC, _CRUN = "runc-1.1.15", "crun-1.21"
_WASMEDGE, _SLIM = "wasmedge-0.14.1-dynllvm", "wasmedge-0.14.1-nollvm"
_CRI = "containerd-1.7.24-cri+"

DEFAULT = "container-python"
"""What a Pod without a RuntimeClass is taken for if its image does not say. Chosen: the middle one
of the three measured containers, 205 ms, between a static binary (187) and Node (281)."""

RUNTIME_CLASSES: Mapping[str, str] = {
    "wasm": "wasmedge-aot",
    "wasmedge": "wasmedge-aot",
    "crun-wasm": "wasmedge-aot",
    "wasmedge-slim": "wasmedge-slim-aot",
    "runc": DEFAULT,
    "crun": "container-static-crun",
}
"""RuntimeClass names with a profile; a topology may map others, or these differently."""

_IMAGES: Mapping[str, str] = {
    "python": "container-python",
    "node": "container-node",
    "nodejs": "container-node",
    "scratch": "container-static",
    "static": "container-static",
    "busybox": "container-static",
    "pause": "container-static",
}
"""Images whose own name (``docker.io/library/python:3.13`` is a ``python``) says what they start.
Only the whole name counts: a ``node-exporter`` has no Node in it."""


@dataclass(frozen=True)
class _Difference:
    """What the second row takes more than the first; both were measured in one set of runs."""

    less: Key
    more: Key

    def start_us(self) -> int:
        return starts()[self.more].start.median_us - starts()[self.less].start.median_us

    def cpu_us(self) -> int:
        return starts()[self.more].cpu_us - starts()[self.less].cpu_us

    def memory_bytes(self) -> int:
        return starts()[self.more].peak_rss_bytes - starts()[self.less].peak_rss_bytes

    def __str__(self) -> str:
        return f"{'/'.join(self.more)} over {'/'.join(self.less)}"


def profile(name: str) -> Profile:
    """The profile called *name*; raises UsageError with the nearest name if there is none."""
    found = _catalogue().get(name)
    if found is None:
        raise UsageError(f"no start-up profile {name!r}; {did_you_mean(name, names())}")
    return found


def names() -> tuple[str, ...]:
    """The names of all profiles, Pods first, then by level down to the in-process ones."""
    return tuple(_catalogue())


def for_runtime_class(
    runtime_class: str | None, image: str = "", overrides: Mapping[str, str] | None = None
) -> Profile:
    """The profile of a Pod with *runtime_class* (None: the node's default runtime) and *image*.

    *overrides* maps RuntimeClass names to profile names and wins; its key ``""`` stands for Pods
    without one. Raises UsageError for a RuntimeClass that nothing was measured for.
    """
    wanted = {**RUNTIME_CLASSES, **(overrides or {})}
    if not runtime_class:
        own_name = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[0]
        return profile(wanted.get("") or _IMAGES.get(own_name, DEFAULT))
    if runtime_class not in wanted:
        raise UsageError(
            f"no start-up profile for RuntimeClass {runtime_class!r}; map it to one of: "
            f"{', '.join(pod_names())}"
        )
    return profile(wanted[runtime_class])


def pod_names() -> tuple[str, ...]:
    """The names of the profiles that start a Pod."""
    return tuple(name for name, made in _catalogue().items() if made.level is Level.POD)


@cache
def _catalogue() -> Mapping[str, Profile]:
    pods, containers = [], []
    for kind, launcher, workload, image in (
        ("static", _RUNC, "static-handler", "scratch-handler"),
        ("static-crun", _CRUN, "static-handler", "scratch-handler"),
        ("python", _RUNC, "python-handler", "python"),
        ("node", _RUNC, "node-handler", "node"),
    ):
        pods.append(
            _pod(f"container-{kind}", launcher, workload, (launcher, "oci-run", workload), image)
        )
        containers.append(
            _direct(f"container-{kind}-oci", Level.OCI, launcher, "oci-run", workload, image)
        )
    processes, instances = [], []
    for brand, engine in (("wasmedge", _WASMEDGE), ("wasmedge-slim", _SLIM)):
        launcher = f"{_CRUN}+{engine}"
        container: Key = launcher, "oci-run-aot", "handler"
        interpreted = (launcher, "ctr-run", "handler-aot"), (launcher, "ctr-run", "handler-interp")
        pods += [
            _pod(f"{brand}-aot", launcher, "handler-aot", container, "wasmaot-handler"),
            _pod(
                f"{brand}-interp", launcher, "handler-aot", container, "wasm-handler",
                plus=_Difference(*((f"containerd-1.7.24+{r}", m, w) for r, m, w in interpreted)),
                plus_cpu=_Difference(container, (launcher, "oci-run-interp", "handler")),
            ),
        ]  # fmt: skip
        for way, module in (("aot", "wasmaot-handler"), ("interp", "wasm-handler")):
            containers.append(
                _direct(
                    f"{brand}-{way}-oci", Level.OCI, launcher, f"oci-run-{way}", "handler", module
                )
            )
            processes.append(
                _direct(
                    f"{brand}-{way}-process",
                    Level.PROCESS,
                    engine,
                    f"process-{way}",
                    "handler",
                    module,
                )
            )
    launcher, large = f"{_CRUN}+{_SLIM}", (f"{_CRUN}+{_SLIM}", "oci-run-aot", "gateway")
    pods += [
        _pod("wasmedge-slim-aot-large", launcher, "gateway-aot", large, "wasmaot-gateway"),
        _pod(
            "wasmedge-slim-interp-large", launcher, "gateway-aot", large, "wasm-gateway",
            plus=_Difference(large, (launcher, "oci-run-interp", "gateway")),
            plus_cpu=_Difference(large, (launcher, "oci-run-interp", "gateway")),
        ),
    ]  # fmt: skip
    processes += [
        _direct(
            "wasmtime-process",
            Level.PROCESS,
            "wasmtime-50-capi",
            "process-precompiled",
            "handler",
            "",
        ),
        _direct(
            "native-process",
            Level.PROCESS,
            "native",
            "process-static",
            "handler",
            "scratch-handler",
        ),
    ]
    aot, interp = "wasmaot-handler", "wasm-handler"
    for name, engine, mode, form, image in (
        ("wasmedge-aot-in-process", _WASMEDGE, "aot-cold", "aot", aot),
        ("wasmedge-aot-prewarmed", _WASMEDGE, "aot-prewarmed", "aot", aot),
        ("wasmedge-interp-in-process", _WASMEDGE, "interp-cold", "interp", interp),
        ("wasmedge-interp-prewarmed", _WASMEDGE, "interp-prewarmed", "interp", interp),
        ("wasmtime-in-process", "wasmtime-50", "precompiled", "precompiled", ""),
        ("wasmtime-prewarmed", "wasmtime-50", "prewarmed-pooling", "precompiled-pooling", ""),
    ):
        key: Key = f"{engine}-capi", f"inproc-{mode}", "handler"
        instances.append(_instance(name, key, (engine, "handler", form), image))
    return {made.name: made for made in (*pods, *containers, *processes, *instances)}


_COLD_CACHE: Mapping[Key, _Difference] = {
    (_RUNC, "oci-run", workload): _Difference(
        (_RUNC, "oci-run-busy", workload), (_RUNC, "oci-run-coldcache", workload)
    )
    for workload in ("static-handler", "python-handler", "node-handler")
} | {
    (launcher, mode, workload): _Difference(
        (engine, "process-aot-busy", "handler"), (engine, "process-aot-coldcache", "handler")
    )
    for engine in (_WASMEDGE, _SLIM)
    for launcher, mode, workload in (
        (engine, "process-aot", "handler"),
        (engine, "process-interp", "handler"),
        (f"{_CRUN}+{engine}", "oci-run-aot", "handler"),
        (f"{_CRUN}+{engine}", "oci-run-interp", "handler"),
        (f"{_CRUN}+{engine}", "oci-run-aot", "gateway"),
    )
}
"""What a cold page cache adds, measured a level lower than the Pod: reading the same files takes
the same time. Reading crun and containerd themselves is not in it (facts/startup.md, 10)."""


def _pod(
    name: str, launcher: str, workload: str, container: Key, image: str,
    *, plus: _Difference | None = None, plus_cpu: _Difference | None = None,
) -> Profile:  # fmt: skip
    """A Pod on a bridge network, from the CRI rows and its container's processor time.

    The sandbox is one more container start, of a pause process as small as the static `hello`: it
    is counted with that one's processor time. *plus* derives a Pod that was not measured from one
    that was, by the difference of two that were.
    """
    runtime = _CRI + launcher
    row = starts()[runtime, "cri-pod-bridge", workload]
    memory = pod_memory_bytes()[runtime, workload]
    sandbox = starts()[_CRUN if launcher.startswith(_CRUN) else _RUNC, "oci-run", "static-hello"]
    cold, size = _COLD_CACHE.get(container), images()[image]
    return Profile(
        name=name,
        level=Level.POD,
        runtime=runtime,
        workload=workload,
        start=row.start.shifted(plus.start_us() if plus else 0),
        cold_extra_us=cold.start_us() if cold else 0,
        cpu_us=starts()[container].cpu_us + sandbox.cpu_us + (plus_cpu.cpu_us() if plus_cpu else 0),
        memory_bytes=memory["app_private"] + memory["shim_private"] + memory["pause_private"]
        + (plus_cpu.memory_bytes() if plus_cpu else 0),
        shared_bytes=memory["shim_rss"] - memory["shim_private"]
        + memory["app_rss"] - memory["app_private"],
        image_bytes=size.files_bytes,
        image_gzip_bytes=size.gzip_bytes,
        basis=f"{row.runs} Pods measured" + (f"; derived: {plus}" if plus else ""),
    )  # fmt: skip


def _direct(name: str, level: Level, runtime: str, mode: str, workload: str, image: str) -> Profile:
    """A process or a bare OCI container, from its idle rows; memory is the peak resident set."""
    key = runtime, mode, workload
    row, cold, size = starts()[key], _COLD_CACHE.get(key), images().get(image)
    return Profile(
        name=name,
        level=level,
        runtime=runtime,
        workload=workload,
        start=row.start,
        cold_extra_us=cold.start_us() if cold else 0,
        cpu_us=row.cpu_us,
        memory_bytes=row.peak_rss_bytes,
        shared_bytes=0,
        image_bytes=row.image_bytes,
        image_gzip_bytes=size.gzip_bytes if size else 0,
        basis=f"{row.runs} starts measured",
    )


def _instance(name: str, key: Key, density: tuple[str, str, str], image: str) -> Profile:
    """One more instance in a host process that runs already; the host is the shared part."""
    row, size = starts()[key], images().get(image)
    return Profile(
        name=name,
        level=Level.IN_PROCESS,
        runtime=key[0],
        workload=key[2],
        start=row.start,
        cold_extra_us=0,
        cpu_us=row.start.median_us,
        memory_bytes=instance_bytes()[density],
        shared_bytes=row.peak_rss_bytes,
        image_bytes=row.image_bytes,
        image_gzip_bytes=size.gzip_bytes if size else 0,
        basis=f"{row.runs} starts measured; its processor time is its duration",
    )
