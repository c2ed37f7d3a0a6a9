"""A profile: one way to start and run a workload, at one level.

Four levels are kept apart, because a figure of one says nothing about another: an instance in a
running host process, a process, an OCI container, a Pod (facts/startup.md, section 1). A Pod's
start here is what the container runtime does, from the sandbox call to the first output. Fetching
and unpacking the image, the kubelet's own delay, a page cache that is cold after a boot, a burst
of starts on few cores, a CPU limit and a slower processor are separate terms, each with its source.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import overload

import numpy as np
from numpy.typing import NDArray

from edgetwin.profiles.tables import Quantiles

UNPACK_US = 65_000
"""Import of an image however small, bytes on the node: facts/startup.md, section 10."""
UNPACK_US_PER_MB = 12_500
"""Import per 10^6 bytes uncompressed, fast virtual disk; 12 to 13.5 ms seen: section 10."""

KUBELET_US = 300_000
"""Assumption: admission, volumes and API writes around a Pod's start, after it is bound. Chosen so
that a Pod starts in 0.5 to 1.6 s, the lower part of the published 0.5 to 2 s: section 12."""
KUBELET_RELIST_US = 1_000_000
"""Assumption of a uniform delay: the kubelet looks for changed containers once a second, so that it
sees a status up to this much late (kubelet source, quoted in facts/startup.md, section 11)."""

BOOT_US = (25_000_000, 40_000_000)
"""Assumption: power on to the API server answering, on a small board; one blog, low trust
(facts/startup.md, section 11). Uniform between the two."""

PI4_CPU_FACTOR = 5.0
"""Assumption: a Raspberry Pi 4 core is this much slower than a Xeon 8375C core, from K3s's own
figures for its server, 30 % against 6 % of a core (facts/startup.md, section 12)."""

QUOTA_PERIOD_US = 100_000
"""The period over which a CPU limit is granted: kubelet's default, as in the recorded runs."""


class Level(StrEnum):
    """What is started: never compare figures of two levels."""

    IN_PROCESS = "in-process"
    PROCESS = "process"
    OCI = "oci"
    POD = "pod"


@dataclass(frozen=True)
class Profile:
    """One way to start and run a workload, at one level."""

    name: str
    level: Level
    runtime: str
    """What was measured, with versions."""
    workload: str
    start: Quantiles
    """Image present, page cache warm."""
    cold_extra_us: int
    """Added to a start whose files are not in the page cache, as after a boot; 0: not measured."""
    cpu_us: int
    """Processor time of one start; 0 where it was not measured."""
    memory_bytes: int
    """What one more of it takes: in-process, an instance; a Pod, its own pages and those of its
    shim and pause process (facts/startup.md, section 12)."""
    shared_bytes: int
    """Pages that all of its kind on one node share, counted once: the engine, the shim's code."""
    image_bytes: int
    image_gzip_bytes: int
    basis: str
    """Where the numbers are from: the measured rows, and what is derived rather than measured."""

    @overload
    def start_us(self, u: float) -> int: ...
    @overload
    def start_us(self, u: NDArray[np.float64]) -> NDArray[np.int64]: ...
    def start_us(self, u: float | NDArray[np.float64]) -> int | NDArray[np.int64]:
        """The start-up time at quantile *u* in [0, 1), image present and page cache warm."""
        return self.start.at(u)

    @overload
    def cold_start_us(self, u: float) -> int: ...
    @overload
    def cold_start_us(self, u: NDArray[np.float64]) -> NDArray[np.int64]: ...
    def cold_start_us(self, u: float | NDArray[np.float64]) -> int | NDArray[np.int64]:
        """The same with a cold page cache: the first start of its kind after a boot."""
        return self.start.at(u) + self.cold_extra_us

    def burst_us(self, starts: int, *, cores: float) -> int:
        """The time until the last of *starts* simultaneous starts is ready on *cores* cores.

        They share the processors: the part of a start that is processor time is stretched, the
        rest is not. Recorded bursts of 4 to 16 on two cores lie within 28 %, of 8 and 16 within
        20 % (facts/startup.md, section 10).
        """
        return contended_us(self.start.median_us, self.cpu_us, starts=starts, cores=cores)

    def slower(self, factor: float) -> "Profile":
        """The same on a processor *factor* times as slow. The factor is the caller's assumption."""
        return replace(
            self,
            start=self.start.scaled(factor),
            cold_extra_us=round(self.cold_extra_us * factor),
            cpu_us=round(self.cpu_us * factor),
            basis=f"{self.basis}; times {factor:g}, an assumption",
        )

    def timed(self, start: Quantiles, basis: str) -> "Profile":
        """The same with start-up times measured elsewhere, such as on the user's own node."""
        return replace(self, start=start, basis=basis)


def contended_us(alone_us: int, cpu_us: int, *, starts: int, cores: float) -> int:
    """How long a start of *alone_us*, *cpu_us* of it processor time, lasts among *starts* like it.

    >>> [contended_us(45_000, 53_000, starts=starts, cores=2) for starts in (1, 16)]
    [45000, 424000]

    More processor time than time means that the start used two cores at once.
    """
    stretched_us = cpu_us * starts / cores
    return max(alone_us, round(max(0, alone_us - cpu_us) + stretched_us))


def unpack_us(image_bytes: int) -> int:
    """How long an image of *image_bytes* uncompressed takes to import once its bytes are here."""
    return UNPACK_US + image_bytes * UNPACK_US_PER_MB // 1_000_000


@overload
def kubelet_us(u: float) -> int: ...
@overload
def kubelet_us(u: NDArray[np.float64]) -> NDArray[np.int64]: ...
def kubelet_us(u: float | NDArray[np.float64]) -> int | NDArray[np.int64]:
    """What the kubelet adds to a Pod's start at quantile *u*: assumed; every runtime pays it."""
    return _uniform(KUBELET_US, KUBELET_US + KUBELET_RELIST_US, u)


@overload
def boot_us(u: float) -> int: ...
@overload
def boot_us(u: NDArray[np.float64]) -> NDArray[np.int64]: ...
def boot_us(u: float | NDArray[np.float64]) -> int | NDArray[np.int64]:
    """From power on to a K3s that answers, at quantile *u*: an assumption."""
    return _uniform(*BOOT_US, u)


def _uniform(low_us: int, high_us: int, u: float | NDArray[np.float64]) -> int | NDArray[np.int64]:
    if isinstance(u, np.ndarray):
        return np.int64(low_us) + np.floor(u * (high_us - low_us)).astype(np.int64)
    return low_us + int(u * (high_us - low_us))


def throttled_us(cpu_us: int, *, limit_cores: float, phase_us: int) -> int:
    """How long one thread with *cpu_us* of work takes under a CPU limit of *limit_cores*.

    The quota is granted once a period of 100 ms and is gone when it is used. *phase_us*, within
    the period, is when the work begins. 500m, begun as a period begins: 40 ms of work fit into the
    first quota, 60 ms wait for the second one.

    >>> [throttled_us(ms * 1000, limit_cores=0.5, phase_us=0) // 1000 for ms in (40, 50, 60)]
    [40, 50, 110]

    Averaged over the phase this gives the recorded starts under 500m within 8 % for work of more
    than one quota (facts/startup.md, section 10; tests/test_profiles.py).
    """
    if limit_cores >= 1:
        return cpu_us  # A thread runs on one core at a time, so the limit never binds.
    quota_us = round(limit_cores * QUOTA_PERIOD_US)
    rest_of_period_us = QUOTA_PERIOD_US - phase_us % QUOTA_PERIOD_US
    first_us = min(quota_us, rest_of_period_us)
    if cpu_us <= first_us:
        return cpu_us
    periods = ceil((cpu_us - first_us) / quota_us)
    last_us = cpu_us - first_us - (periods - 1) * quota_us
    return rest_of_period_us + (periods - 1) * QUOTA_PERIOD_US + last_us
