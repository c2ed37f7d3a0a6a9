"""The measured tables that ship: quantiles of start-up times, memory of Pods, sizes of images.

Where they come from stands in ``startup/README.md``; ``tests/startup_tables.py`` makes them again.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from math import exp
from pathlib import Path
from statistics import NormalDist
from typing import overload

import numpy as np
from numpy.typing import NDArray

from edgetwin.errors import UsageError

Key = tuple[str, str, str]
"""Runtime, mode and workload, as the measurements name them."""


@dataclass(frozen=True)
class Quantiles:
    """A distribution of durations, kept as its quantiles at evenly spaced probabilities."""

    us: tuple[int, ...]
    """Microseconds, ascending: the first is the smallest value seen, the last the largest."""

    def __post_init__(self) -> None:
        if len(self.us) < 2 or any(a > b for a, b in zip(self.us, self.us[1:], strict=False)):
            raise ValueError("quantiles are at least two durations in ascending order")

    @classmethod
    def of(cls, durations_us: Iterable[float]) -> "Quantiles":
        """The distribution of the sample *durations_us*, at every percent."""
        return cls(
            tuple(np.rint(np.percentile(list(durations_us), range(101))).astype(int).tolist())
        )

    @classmethod
    def lognormal(cls, *, shift_us: float, mu: float, sigma: float) -> "Quantiles":
        """The law ``shift + exp(mu + sigma z)`` in microseconds, cut off at 1 in 2,000 either end.

        A fit is for scaling and for what was only published as one; where there are measurements,
        resample them: the fits to these miss the two humps of short starts (facts/startup.md, 4).
        """
        normal = NormalDist()
        shares = [min(max(step / 1000, 0.0005), 0.9995) for step in range(1001)]
        return cls(tuple(round(shift_us + exp(mu + sigma * normal.inv_cdf(p))) for p in shares))

    @overload
    def at(self, u: float) -> int: ...
    @overload
    def at(self, u: NDArray[np.float64]) -> NDArray[np.int64]: ...
    def at(self, u: float | NDArray[np.float64]) -> int | NDArray[np.int64]:
        """The duration at quantile *u* in [0, 1), in microseconds; an array keeps its shape."""
        durations = np.rint(np.interp(u, self._shares, self.us)).astype(np.int64)
        return durations if isinstance(u, np.ndarray) else int(durations)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        return np.linspace(0.0, 1.0, len(self.us))

    @property
    def median_us(self) -> int:
        """The median in microseconds."""
        return self.at(0.5)

    def shifted(self, by_us: int) -> "Quantiles":
        """The same distribution, *by_us* microseconds later."""
        return Quantiles(tuple(us + by_us for us in self.us))

    def scaled(self, factor: float) -> "Quantiles":
        """The same distribution with every duration *factor* times as long."""
        return Quantiles(tuple(round(us * factor) for us in self.us))


@dataclass(frozen=True)
class Start:
    """One measured way of starting one workload."""

    runs: int
    """Number of starts measured."""
    start: Quantiles
    cpu_us: int
    """Median processor time of the launcher's whole process tree; 0 where it was not measured."""
    peak_rss_bytes: int
    image_bytes: int


@cache
def starts() -> Mapping[Key, Start]:
    """Every measured start, by runtime, mode and workload."""
    return {
        (row["runtime"], row["mode"], row["workload"]): Start(
            runs=int(row["n"]),
            start=Quantiles(tuple(int(row[f"q{percent}_us"]) for percent in range(101))),
            cpu_us=int(row["cpu_us"] or 0),
            peak_rss_bytes=int(row["peak_rss_kib"]) * 1024,
            image_bytes=int(row["image_bytes"]),
        )
        for row in _rows("starts.csv")
    }


@cache
def pod_memory_bytes() -> Mapping[tuple[str, str], Mapping[str, int]]:
    """Memory of a Pod by runtime and workload; keys ``app_private``, ``shim_rss`` and so on."""
    return {
        (row["runtime"], row["workload"]): {
            column.removesuffix("_kib"): int(value) * 1024
            for column, value in row.items()
            if column.endswith("_kib")
        }
        for row in _rows("pods.csv")
    }


@cache
def instance_bytes() -> Mapping[tuple[str, str, str], int]:
    """Memory of each further instance in a host process, by engine, module and format."""
    return {
        (row["engine"], row["module"], row["format"]): int(row["extra_bytes"])
        for row in _rows("instances.csv")
    }


@dataclass(frozen=True)
class Image:
    """The size of one image, and how long it took to import, if that was timed."""

    files_bytes: int
    gzip_bytes: int
    unpack_us: int | None


@cache
def images() -> Mapping[str, Image]:
    """The measured images by name."""
    return {
        row["image"]: Image(
            files_bytes=int(row["files_bytes"]),
            gzip_bytes=int(row["layer_gzip_bytes"]),
            unpack_us=int(row["unpack_us"]) if row["unpack_us"] else None,
        )
        for row in _rows("images.csv")
    }


def measured_on_node(path: Path) -> Mapping[Key, Quantiles]:
    """The start-up times in *path*, a CSV that ``edgetwin profile measure`` wrote.

    Raises UsageError if a column is missing, a time is no number, or a start has under 10 runs,
    too few to say anything of its tail.
    """
    runs: dict[Key, list[float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                key = row["runtime"], row["mode"], row["workload"]
                runs.setdefault(key, []).append(float(row["cold_start_ms"]) * 1000)
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{path}:{line}: {error}; the columns are runtime,mode,workload,run,"
                    "cold_start_ms,peak_rss_kib,image_bytes, as 'edgetwin profile measure' writes"
                ) from error
    for key, times in runs.items():
        if len(times) < 10:
            raise UsageError(f"{path}: {'/'.join(key)} has {len(times)} runs; measure at least 10")
    return {key: Quantiles.of(times) for key, times in runs.items()}


def _rows(name: str) -> list[dict[str, str]]:
    with (files("edgetwin.profiles") / "startup" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
