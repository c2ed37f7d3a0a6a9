"""How long a workload takes to start and what it takes of a node, measured, levels kept apart."""

from edgetwin.profiles.catalogue import (
    DEFAULT,
    RUNTIME_CLASSES,
    for_runtime_class,
    names,
    pod_names,
    profile,
)
from edgetwin.profiles.claims import Finding, claims
from edgetwin.profiles.profile import (
    BOOT_US,
    KUBELET_RELIST_US,
    KUBELET_US,
    PI4_CPU_FACTOR,
    Level,
    Profile,
    boot_us,
    contended_us,
    kubelet_us,
    throttled_us,
    unpack_us,
)
from edgetwin.profiles.tables import Quantiles, measured_on_node

__all__ = [
    "BOOT_US", "DEFAULT", "KUBELET_RELIST_US", "KUBELET_US", "PI4_CPU_FACTOR", "RUNTIME_CLASSES",
    "Finding", "Level", "Profile", "Quantiles",
    "boot_us", "claims", "contended_us", "for_runtime_class", "kubelet_us", "measured_on_node",
    "names", "pod_names", "profile", "throttled_us", "unpack_us",
]  # fmt: skip
