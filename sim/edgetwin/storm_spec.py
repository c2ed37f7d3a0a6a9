"""The laws of a storm as a user writes them; the defaults describe 96 real remote sites over half a
year (facts/traces.md, 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edgetwin import units
from edgetwin.outages import KINDS
from edgetwin.units import DAY_US

if TYPE_CHECKING:
    from edgetwin.laws import Law


def _duration(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a duration; write for example '30m'")
    return units.duration_us(str(value))


def _share(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a share; write for example '40%'")
    return units.share(str(value))


Duration = Annotated[int, BeforeValidator(_duration, json_schema_input_type=str)]
Share = Annotated[float, BeforeValidator(_share, json_schema_input_type=str | float)]
Name = Literal["weibull", "gamma", "lognormal", "exponential", "empirical"]


class Written(BaseModel):
    """A part of a storm as a user writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _needs(name: str, given: Mapping[str, object], needed: tuple[str, ...]) -> None:
    """Raise ValueError unless exactly the *needed* parameters of the law *name* are given."""
    missing = [key for key in needed if given.get(key) is None]
    surplus = [key for key, value in given.items() if value is not None and key not in needed]
    if missing:
        raise ValueError(f"law {name} needs {', '.join(missing)}")
    if surplus:
        raise ValueError(f"law {name} has no {', '.join(surplus)}; it takes {', '.join(needed)}")


class Gaps(Written):
    """How long a site stays up between two outages of its own, as multiples of its mean gap."""

    law: Name = "weibull"
    shape: float | None = Field(None, gt=0.05, le=50)
    """Of Weibull and gamma; below 1 gaps come in bursts. Default 0.55: facts/traces.md, 3."""
    sigma: float | None = Field(None, gt=0, le=5)
    """Of lognormal: the deviation of the logarithm."""
    values: tuple[float, ...] | None = Field(None, min_length=1)
    """Of empirical: multiples of the mean gap that were met."""

    @model_validator(mode="before")
    @classmethod
    def _default_shape(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("law", "weibull") == "weibull":
            return {"shape": GAP_SHAPE, **given}
        return given

    @model_validator(mode="after")
    def _complete(self) -> Gaps:
        needed = {"weibull": ("shape",), "gamma": ("shape",), "lognormal": ("sigma",),
                  "exponential": (), "empirical": ("values",)}[self.law]  # fmt: skip
        _needs(self.law, self.model_dump(exclude={"law"}), needed)
        if self.values and min(self.values) < 0:
            raise ValueError("a gap is not negative")
        if self.values and sum(self.values) == 0:
            raise ValueError("all gaps are zero")
        return self

    def numeric(self) -> Law:
        """Return the law of the gap over its mean: a law with mean 1."""
        from edgetwin import laws

        if self.law == "empirical":
            assert self.values is not None
            data = laws.empirical(self.values)
            return laws.Empirical(tuple(v / data.mean for v in data.values), data.counts)
        if self.law == "lognormal":
            assert self.sigma is not None
            return laws.Lognormal(-(self.sigma**2) / 2, self.sigma)
        if self.law == "exponential":
            return laws.Exponential(1.0)
        assert self.shape is not None
        if self.law == "weibull":
            return laws.Weibull(self.shape, 1 / math.gamma(1 + 1 / self.shape))
        return laws.Gamma(self.shape, 1 / self.shape)


GAP_SHAPE = 0.55
"""Weibull shape of the gaps between outages of real remote sites: facts/traces.md, 3."""


class Durations(Written):
    """How long an outage lasts."""

    law: Name = "lognormal"
    median_us: Duration | None = Field(None, alias="median", gt=0)
    """Of lognormal."""
    sigma: float | None = Field(None, gt=0, le=5)
    """Of lognormal: the deviation of the logarithm."""
    mean_us: Duration | None = Field(None, alias="mean", gt=0)
    """Of Weibull, gamma and exponential."""
    shape: float | None = Field(None, gt=0.05, le=50)
    """Of Weibull and gamma."""
    values_us: tuple[Duration, ...] | None = Field(None, alias="values", min_length=1)
    """Of empirical: the durations that were met."""
    counts: tuple[Annotated[int, Field(gt=0)], ...] | None = None
    """Of empirical: how often each of `values` was met; once each by default."""
    max_us: Duration = Field(30 * DAY_US, alias="max", gt=0)
    """Longer outages are cut to this. Chosen: above the longest of half a year, 19.6 days
    (facts/traces.md, 3)."""

    @model_validator(mode="before")
    @classmethod
    def _default(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("law", "lognormal") == "lognormal":
            median = {} if given.get("median_us") else {"median": "1808s"}
            return {**median, "sigma": 1.7, **given}
        return given

    @model_validator(mode="after")
    def _complete(self) -> Durations:
        needed = {"lognormal": ("median_us", "sigma"), "weibull": ("mean_us", "shape"),
                  "gamma": ("mean_us", "shape"), "exponential": ("mean_us",),
                  "empirical": ("values_us",)}[self.law]  # fmt: skip
        _needs(self.law, self.model_dump(exclude={"law", "max_us", "counts"}), needed)
        if self.counts is not None and len(self.counts) != len(self.values_us or ()):
            raise ValueError("counts and values are not of one length")
        return self

    def numeric(self) -> Law:
        """Return the law in microseconds, before the cap."""
        from edgetwin import laws

        if self.law == "empirical":
            assert self.values_us is not None
            pairs = zip(self.values_us, self.counts or [1] * len(self.values_us), strict=True)
            ordered = sorted(pairs)
            return laws.Empirical(
                tuple(float(value) for value, _ in ordered), tuple(count for _, count in ordered)
            )
        if self.law == "lognormal":
            assert self.median_us is not None
            assert self.sigma is not None
            return laws.Lognormal(math.log(self.median_us), self.sigma)
        assert self.mean_us is not None
        if self.law == "exponential":
            return laws.Exponential(self.mean_us)
        assert self.shape is not None
        if self.law == "weibull":
            return laws.Weibull(self.shape, self.mean_us / math.gamma(1 + 1 / self.shape))
        return laws.Gamma(self.shape, self.mean_us / self.shape)


class Rates(Written):
    """Outages a month and site (30 days): lognormal across the sites, or resampled."""

    median_per_month: float = Field(2.4, gt=0, le=100_000)
    """Chosen so that with `sigma` the mean is the 3.24 of facts/traces.md, 3."""
    sigma: float = Field(0.8, ge=0, le=4)
    """Deviation of the logarithm across sites: 0.80 in data/smokeping-rs-brazil (2 to 189 outages
    a site in six months)."""
    values: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    """The rates that were met; each site draws one."""


class Shared(Written):
    """Outages that several sites of one failure domain have together."""

    share: Share = Field(0.4, ge=0, le=1)
    """Of all outages: 43 % start within 5 minutes of one elsewhere (facts/traces.md, 3)."""
    hit_share: Share = Field(0.3, gt=0, le=1)
    """Mean share of the domain's sites that one event hits, exponential, at least two sites.
    Chosen: no source tells it for a domain that really shares a cable or a feed."""
    hits: tuple[Share, ...] | None = Field(None, min_length=1)
    """The shares that were met, in place of `hit_share`; each event draws one."""
    spread_us: Duration = Field(60 * units.SECOND_US, alias="spread", ge=0)
    """An event's outages start within this of each other. Chosen: one probe of a minute."""
    alike: Share = Field(0.7, ge=0, le=1)
    """Correlation of the durations of one event: in data/smokeping-rs-brazil the variance of the
    logarithm within events of three sites or more is 0.28 of the whole."""


class Flapping(Written):
    """Outages that come as a burst of short ones."""

    share: Share = Field(0.0, ge=0, le=1)
    """Of all outages that a site has of its own."""
    pieces: float = Field(3.0, ge=2, le=1000)
    """Mean number of outages in a burst; geometric, at least two."""
    up_us: Duration = Field(5 * units.MINUTE_US, alias="up", gt=0)
    """Mean time up between two of them; exponential."""


class Degraded(Written):
    """Periods in which the link is slow or lossy, not down."""

    per_month: float = Field(0.0, ge=0, le=100_000)
    durations: Durations = Durations()


HOURS = (
    0.8, 0.5, 0.4, 0.8, 0.4, 0.5, 0.7, 0.8, 1.3, 1.4, 1.3, 1.4,
    1.3, 1.1, 1.7, 2.3, 1.6, 1.2, 0.8, 0.8, 0.6, 1.1, 0.7, 0.7,
)  # fmt: skip
"""Starts in each local hour against the mean: facts/traces.md, 3 (15:00 2.3 times, 02:00 0.4)."""

DAYS = (1.1, 1.1, 1.4, 1.1, 1.1, 0.6, 0.6)
"""Starts on each day from Monday against the mean: facts/traces.md, 3 (Wednesday 1.4, weekend 0.6)
and the rest alike."""


class StormSpec(Written):
    """The laws from which a storm is drawn."""

    rates: Rates = Rates()
    gaps: Gaps = Gaps()
    durations: Durations = Durations()
    shared: Shared = Shared()
    flapping: Flapping = Flapping()
    degraded: Degraded = Degraded()
    hours: tuple[Annotated[float, Field(ge=0)], ...] = Field(HOURS, min_length=24, max_length=24)
    """Weight of each local hour."""
    days: tuple[Annotated[float, Field(ge=0)], ...] = Field(DAYS, min_length=7, max_length=7)
    """Weight of each day, from Monday."""
    zone: str = Field("+00:00", pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$")
    """Offset of the local time in which `hours` and `days` count."""
    kinds: dict[str, Share] = {"network": 1.0}
    """Share of each kind of outage."""
    resolution_us: Duration = Field(units.SECOND_US, alias="resolution", gt=0)
    """The grid on which starts and ends lie, as a probe of that interval sees them."""

    @model_validator(mode="after")
    def _sound(self) -> StormSpec:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ValueError(f"unknown kinds {', '.join(unknown)}; known: {', '.join(KINDS)}")
        if not math.isclose(sum(self.kinds.values()), 1.0, abs_tol=1e-6):
            raise ValueError(f"the shares of kinds make {sum(self.kinds.values()):.3f}, not 1")
        if not (any(self.hours) and any(self.days)):
            raise ValueError("every hour has weight 0: nothing could ever start")
        return self
