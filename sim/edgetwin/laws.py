"""Laws of durations and gaps: what they give at a probability, and the one that fits best.

Pure NumPy. Every law has `quantile` (a share in 0..1 to a value, any shape), `cdf`, its
inverse, and `mean`. Values have no unit of their own: seconds and microseconds fit alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

KS_FITS_MAX = 0.1
"""Largest Kolmogorov-Smirnov distance at which a fitted law may stand for the data; above it,
resample (design.md, 9; data/README.md)."""

CENSORED_POINTS = 64
"""Points at which the unseen part of a censored value is averaged. Chosen: its mean moves by less
than 1 % with more."""


class Law(Protocol):
    """A distribution of positive values."""

    name: str

    def quantile(self, share: Any) -> Floats: ...
    def cdf(self, value: Any) -> Floats: ...
    def log_density(self, value: Floats) -> Floats: ...
    @property
    def mean(self) -> float: ...


@lru_cache(maxsize=1)
def _normal_table() -> tuple[Floats, Floats]:
    """Return the normal quantile axis, -8..8, and its distribution function."""
    axis = np.linspace(-8.0, 8.0, 16_001)
    table = np.array([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in axis.tolist()])
    return axis, table


def normal_cdf(z: Any) -> Floats:
    """Return the share of a standard normal variable below *z* (to 1e-7)."""
    axis, table = _normal_table()
    share: Floats = np.interp(z, axis, table)
    return share


def normal_quantile(share: Any) -> Floats:
    """Return the value below which a standard normal variable stays with probability *share*."""
    axis, table = _normal_table()
    share = np.asarray(share, dtype=np.float64)
    # From the nearer end: close to 1 the table is flat, close to 0 it is not.
    low: Floats = np.interp(np.minimum(share, 1.0 - share), table, axis)
    z: Floats = np.where(share > 0.5, -low, low)
    return z


@dataclass(frozen=True)
class Lognormal:
    mu: float
    sigma: float
    name = "lognormal"

    @property
    def mean(self) -> float:
        return math.exp(self.mu + self.sigma**2 / 2)

    def quantile(self, share: Any) -> Floats:
        return np.exp(self.mu + self.sigma * normal_quantile(share))

    def cdf(self, value: Any) -> Floats:
        return normal_cdf((np.log(value) - self.mu) / self.sigma)

    def log_density(self, value: Floats) -> Floats:
        z = (np.log(value) - self.mu) / self.sigma
        density: Floats = -0.5 * z * z - np.log(value * self.sigma * math.sqrt(2 * math.pi))
        return density


@dataclass(frozen=True)
class Weibull:
    shape: float
    scale: float
    name = "weibull"

    @property
    def mean(self) -> float:
        return self.scale * math.gamma(1 + 1 / self.shape)

    def quantile(self, share: Any) -> Floats:
        exponent: Floats = -np.log1p(-np.asarray(share, dtype=np.float64))
        return self.scale * exponent ** (1 / self.shape)

    def cdf(self, value: Any) -> Floats:
        ratio = np.asarray(value, dtype=np.float64) / self.scale
        return -np.expm1(-(ratio**self.shape))

    def log_density(self, value: Floats) -> Floats:
        ratio = value / self.scale
        log_ratio = np.log(ratio)
        density: Floats = (
            math.log(self.shape / self.scale) + (self.shape - 1) * log_ratio - ratio**self.shape
        )
        return density


@dataclass(frozen=True)
class Exponential:
    mean: float
    name = "exponential"

    def quantile(self, share: Any) -> Floats:
        value: Floats = -self.mean * np.log1p(-np.asarray(share, dtype=np.float64))
        return value

    def cdf(self, value: Any) -> Floats:
        return -np.expm1(-np.asarray(value, dtype=np.float64) / self.mean)

    def log_density(self, value: Floats) -> Floats:
        density: Floats = -value / self.mean - math.log(self.mean)
        return density


@dataclass(frozen=True)
class Gamma:
    shape: float
    scale: float
    name = "gamma"

    @property
    def mean(self) -> float:
        return self.shape * self.scale

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        """The logarithm of value/scale, and the share below: integrated on a fine grid."""
        low = -50.0 / min(self.shape, 1.0)
        high = math.log(self.shape + 12 * math.sqrt(self.shape) + 60)
        axis = np.linspace(low, high, 40_001)
        density = np.exp(self.shape * axis - np.exp(axis) - math.lgamma(self.shape))
        steps = (density[1:] + density[:-1]) / 2 * (axis[1] - axis[0])
        share = np.concatenate(([0.0], np.cumsum(steps)))
        share += math.exp(self.shape * low - math.lgamma(self.shape + 1))
        return axis, share / share[-1]

    def quantile(self, share: Any) -> Floats:
        axis, table = self._table
        value: Floats = self.scale * np.exp(np.interp(share, table, axis))
        return value

    def cdf(self, value: Any) -> Floats:
        axis, table = self._table
        log_ratio = np.log(np.asarray(value, dtype=np.float64) / self.scale)
        share: Floats = np.interp(log_ratio, axis, table)
        return share

    def log_density(self, value: Floats) -> Floats:
        density: Floats = (
            (self.shape - 1) * np.log(value)
            - value / self.scale
            - self.shape * math.log(self.scale)
            - math.lgamma(self.shape)
        )
        return density


@dataclass(frozen=True)
class Empirical:
    """The data themselves: each of *values* (sorted) was met so many times."""

    values: tuple[float, ...]
    counts: tuple[int, ...]
    name = "empirical"

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        counts = np.asarray(self.counts, dtype=np.float64)
        return np.asarray(self.values, dtype=np.float64), np.cumsum(counts) / counts.sum()

    @property
    def mean(self) -> float:
        return float(np.average(self.values, weights=self.counts))

    def quantile(self, share: Any) -> Floats:
        values, table = self._table
        place = np.minimum(np.searchsorted(table, share, side="right"), len(values) - 1)
        drawn: Floats = values[place]
        return drawn

    def cdf(self, value: Any) -> Floats:
        values, table = self._table
        below = np.concatenate((np.zeros(1), table))
        share: Floats = below[np.searchsorted(values, value, side="right")]
        return share

    def log_density(self, value: Floats) -> Floats:
        raise TypeError("resampled data have no density")


def empirical(values: ArrayLike, *, points_max: int = 500) -> Empirical:
    """Return the law of *values*; beyond *points_max* different ones, neighbours are averaged."""
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if len(distinct) > points_max:
        # A quarter of the points are the longest values as they are: the tail holds the total. The
        # others are blocks of as many values each, so that the middle keeps its grain.
        tail = points_max // 4
        body = len(distinct) - tail
        below = np.cumsum(counts[:body])
        shares = np.linspace(0, below[-1], points_max - tail + 1)[1:]
        ends = np.searchsorted(below, shares, side="left") + 1
        cuts = np.unique(np.concatenate(([0], ends, np.arange(body, len(distinct) + 1))))
        weight = np.add.reduceat(counts, cuts[:-1])
        mean = np.add.reduceat(distinct * counts, cuts[:-1]) / weight
        distinct, counts = mean, weight
    return Empirical(tuple(distinct.tolist()), tuple(counts.tolist()))


@dataclass(frozen=True)
class Fit:
    """How well one law describes the data."""

    law: Law
    log_likelihood: float
    ks: float
    """Largest distance between the shares below any value, data against law."""


def fits(values: ArrayLike, *, censored: ArrayLike | None = None, grid: float = 0.0) -> list[Fit]:
    """Return the four parametric laws fitted to positive *values* by likelihood, the best first.

    *censored* values are lower bounds. *grid* is the step to which the values were rounded: the
    distance is then taken half a step above each. Empty if fewer than eight values are whole.
    """
    data = np.asarray(values, dtype=np.float64)
    open_ended = np.zeros(len(data), bool) if censored is None else np.asarray(censored, bool)
    whole = data[~open_ended]
    if len(whole) < 8 or (whole <= 0).any() or whole.min() == whole.max():
        return []
    found: list[Law] = [
        _fitted_lognormal(whole, data[open_ended]),
        _fitted_weibull(whole, data[open_ended]),
        _fitted_gamma(whole, data[open_ended]),
        Exponential(float(data.sum()) / len(whole)),
    ]
    measured = [
        Fit(law, _likelihood(law, whole, data[open_ended]),
            ks(law, data, censored=open_ended, grid=grid))
        for law in found
    ]  # fmt: skip
    return sorted(measured, key=lambda fit: -fit.log_likelihood)


def _likelihood(law: Law, whole: Floats, bounds: Floats) -> float:
    seen = float(law.log_density(whole).sum())
    beyond = np.maximum(1.0 - law.cdf(bounds), 1e-300) if len(bounds) else np.ones(1)
    return seen + float(np.log(beyond).sum())


def ks(
    law: Law, values: Floats, *, censored: NDArray[np.bool_] | None = None, grid: float = 0.0
) -> float:
    """Return the largest distance between the distribution of *values* and *law*.

    Where some are censored, the product-limit estimate stands for the data, as far as it reaches.
    """
    open_ended = np.zeros(len(values), bool) if censored is None else censored
    ordered, counts = np.unique(values[~open_ended], return_counts=True)
    at_risk = len(values) - np.searchsorted(np.sort(values), ordered, side="left")
    above = 1.0 - np.cumprod(1.0 - counts / at_risk)
    below = np.concatenate((np.zeros(1), above[:-1]))
    top = law.cdf(ordered + grid / 2)
    bottom = law.cdf(np.maximum(ordered - grid / 2, 1e-12)) if grid else top
    return float(max(np.abs(above - top).max(), np.abs(below - bottom).max()))


def _unseen(law: Law, bounds: Floats) -> Floats:
    """Return values of *law* beyond each of *bounds*, equally likely, shape (bounds, points)."""
    start = law.cdf(bounds)[:, None]
    middle = (np.arange(CENSORED_POINTS) + 0.5) / CENSORED_POINTS
    return np.maximum(law.quantile(start + (1 - start) * middle), bounds[:, None])


def _fitted_lognormal(whole: Floats, bounds: Floats) -> Lognormal:
    logs = np.log(whole)
    law = Lognormal(float(logs.mean()), max(float(logs.std()), 1e-9))
    for _ in range(30 if len(bounds) else 0):
        unseen = np.log(_unseen(law, bounds))
        total = len(logs) + len(bounds)
        mu = (logs.sum() + unseen.mean(axis=1).sum()) / total
        square = ((logs - mu) ** 2).sum() + ((unseen - mu) ** 2).mean(axis=1).sum()
        law = Lognormal(float(mu), float(np.sqrt(square / total)))
    return law


def _fitted_weibull(whole: Floats, bounds: Floats) -> Weibull:
    middle = float(np.exp(np.log(whole).mean()))
    scaled, logs = np.concatenate((whole, bounds)) / middle, np.log(whole / middle)
    all_logs = np.log(scaled)

    def slope(shape: float) -> float:
        power = np.exp(shape * all_logs - (shape * all_logs).max())
        return float((power * all_logs).sum() / power.sum() - 1 / shape - logs.mean())

    low, high = 0.02, 50.0
    for _ in range(80):
        shape = math.sqrt(low * high)
        low, high = (shape, high) if slope(shape) < 0 else (low, shape)
    scale = middle * float((scaled**shape).sum() / len(whole)) ** (1 / shape)
    return Weibull(shape, scale)


def _fitted_gamma(whole: Floats, bounds: Floats) -> Gamma:
    total = len(whole) + len(bounds)
    mean, mean_log = float(whole.mean()), float(np.log(whole).mean())
    law = _gamma_of(mean, mean_log)
    for _ in range(15 if len(bounds) else 0):
        unseen = _unseen(law, bounds)
        mean = (whole.sum() + unseen.mean(axis=1).sum()) / total
        mean_log = (np.log(whole).sum() + np.log(unseen).mean(axis=1).sum()) / total
        law = _gamma_of(float(mean), float(mean_log))
    return law


def _gamma_of(mean: float, mean_log: float) -> Gamma:
    """Return the gamma law with this mean and mean logarithm."""
    gap = max(math.log(mean) - mean_log, 1e-9)
    low, high = 1e-3, 1e6
    for _ in range(100):
        shape = math.sqrt(low * high)
        low, high = (shape, high) if math.log(shape) - _digamma(shape) > gap else (low, shape)
    return Gamma(shape, mean / shape)


def _digamma(x: float) -> float:
    """Return the derivative of log-gamma at *x* > 0, by recurrence and series."""
    value = 0.0
    while x < 10:
        value, x = value - 1 / x, x + 1
    square = 1 / (x * x)
    return value + math.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252))
