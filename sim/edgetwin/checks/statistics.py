"""How sure a share is when its requests came in few independent events.

The unit is the event, never the request: requests of one outage share its fate. Bounds are
one-sided, each at the confidence that the targets ask for, so that a claim of 99 % at 95 % needs
299 events without a failure (0.99**299 < 0.05).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.verdict import Result

FEW_FAILING_EVENTS = 10
"""Below so many failing events their scatter says little, and Clopper-Pearson bounds are used.
Chosen: the usual rule for a normal approximation to a count."""

EVENTS_MAX = 10_000_000
"""Where the search for the number of events that would decide gives up."""


@dataclass(frozen=True)
class Interval:
    """A share over events, and where the true one lies."""

    share: float
    lower: float
    """The true share is at least this, with the confidence asked for."""
    upper: float
    """And at most this, with the same confidence (each bound on its own)."""
    events: int
    failing: int
    """Events that lost anything."""
    events_effective: float
    """Events of equal weight that would weigh as much: (sum of weights)**2 / sum of squares."""
    method: str


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(*a*, *b*), for positive *a* and *b*.

    >>> round(beta_cdf(0.5, 2, 2), 12), round(beta_cdf(0.3, 1, 3), 12)
    (0.5, 0.657)
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    # The continued fraction converges fast on this side of the mean; the other is its mirror.
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x)
    front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(front) / a / _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The fraction 1 + d1/(1 + d2/(1 + ...)) of DLMF 8.17.22, by Lentz's method."""
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, 10_000):
        m = term // 2
        if term % 2:
            part = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            part = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / ((1.0 + part * d) or tiny)
        c = (1.0 + part / c) or tiny
        value *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return value


def _beta_quantile(p: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(middle, a, b) < p else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=65_536)
def clopper_pearson_lower(successes: float, trials: float, confidence_share: float) -> float:
    """Return the exact one-sided lower bound of a binomial share.

    *successes* may be fractional, where trials are won in part: of all variables within 0..1 of
    one mean, the binomial scatters most, so the bound stays on the safe side.

    >>> round(clopper_pearson_lower(299, 299, 0.95), 4)
    0.99
    """
    if successes <= 0 or trials <= 0:
        return 0.0
    if successes >= trials:
        return float((1 - confidence_share) ** (1 / trials))
    return _beta_quantile(1 - confidence_share, successes, trials - successes + 1)


def clopper_pearson_upper(successes: float, trials: float, confidence_share: float) -> float:
    """Return the exact one-sided upper bound of a binomial share; see `clopper_pearson_lower`.

    >>> round(clopper_pearson_upper(0, 10, 0.95), 4)
    0.2589
    """
    return 1.0 - clopper_pearson_lower(trials - successes, trials, confidence_share)


@lru_cache(maxsize=4_096)
def student_t_quantile(p: float, degrees: int) -> float:
    """Return the *p* quantile (0.5 or more) of Student's t with *degrees* degrees of freedom.

    >>> round(student_t_quantile(0.95, 9), 4), round(student_t_quantile(0.975, 30), 4)
    (1.8331, 2.0423)
    """
    assert 0.5 <= p < 1, p
    # With x = n / (n + t**2), the upper tail beyond t is half of I_x(n/2, 1/2).
    x = _beta_quantile(2 * (1 - p), degrees / 2, 0.5)
    return math.sqrt(degrees * (1 - x) / x) if x > 0 else math.inf


def share_over_events(
    won: NDArray[np.float64], weight: NDArray[np.float64], confidence_share: float
) -> Interval:
    """Return the share sum(*won*) / sum(*weight*) and its bounds, an element an event.

    Each event's *won* is at most its *weight*; the weights' sum is positive. With ten failing
    events or more it is the ratio estimator with its linearised (Taylor) variance over events and
    Student's t, and no surer than the rule of three: a way to fail that none of n events showed
    may still hit 1 - (1 - confidence)**(1/n) of them. With fewer it is Clopper-Pearson, a partly
    failed event being that part of a failure.
    """
    held = weight > 0
    won, weight = won[held], weight[held]
    events, total = len(weight), float(weight.sum())
    assert events, "no event has weight"
    assert (won <= weight).all(), (won, weight)
    share = float(won.sum()) / total
    failing = int((won < weight).sum())
    effective = total**2 / float((weight**2).sum())
    if failing < FEW_FAILING_EVENTS:
        lost = failures(won, weight)
        return Interval(
            share=share,
            lower=min(share, clopper_pearson_lower(events - lost, events, confidence_share)),
            upper=max(share, clopper_pearson_upper(events - lost, events, confidence_share)),
            events=events,
            failing=failing,
            events_effective=effective,
            method="Clopper-Pearson over events",
        )
    residuals = won - share * weight
    variance = events / (events - 1) * float((residuals**2).sum()) / total**2
    reach = student_t_quantile(confidence_share, events - 1) * math.sqrt(variance)
    ceiling = float((1 - confidence_share) ** (1 / events))
    return Interval(
        share=share,
        lower=max(0.0, min(share - reach, ceiling)),
        upper=min(1.0, share + reach),
        events=events,
        failing=failing,
        events_effective=effective,
        method="ratio estimator over events",
    )


def failures(won: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return how many whole failures the events' losses amount to: the larger of the sum of their
    lost shares and the lost share of all weight, times the events."""
    by_event = float((1 - won / weight).sum())
    by_weight = len(weight) * (1 - float(won.sum()) / float(weight.sum()))
    return min(float(len(weight)), max(by_event, by_weight))


def decide(interval: Interval, target_share: float) -> Result:
    """PASS if the whole interval is at the target or above, FAIL if below it, else UNKNOWN."""
    if interval.lower >= target_share:
        return Result.PASS
    return Result.FAIL if interval.upper < target_share else Result.UNKNOWN


def events_needed(interval: Interval, target_share: float, confidence_share: float) -> int | None:
    """Return about how many events like these would decide; None if no number would.

    With the share as it is, and the scatter of events as it is.
    """
    gap = abs(interval.share - target_share)
    if gap == 0 or target_share >= 1:
        return None
    least = 1
    if interval.share > target_share:
        least = math.ceil(math.log(1 - confidence_share) / math.log(target_share))
    if interval.failing >= FEW_FAILING_EVENTS:
        bound = interval.lower if interval.share > target_share else interval.upper
        reach = abs(bound - interval.share)
        return min(EVENTS_MAX, max(least, math.ceil(interval.events * (reach / gap) ** 2)))
    low, high = least, EVENTS_MAX
    if not _decided(interval.share, high, target_share, confidence_share):
        return None
    while low < high:
        middle = (low + high) // 2
        if _decided(interval.share, middle, target_share, confidence_share):
            high = middle
        else:
            low = middle + 1
    return low


def _decided(share: float, events: int, target_share: float, confidence_share: float) -> bool:
    """Whether the Clopper-Pearson bound of *share* over *events* lies beyond the target."""
    won = share * events
    if share > target_share:
        if won >= events:
            return bool(target_share**events <= 1 - confidence_share)
        # lower >= target, asked of the distribution itself: no quantile is needed.
        return beta_cdf(target_share, won, events - won + 1) <= 1 - confidence_share
    if won <= 0:
        return bool((1 - target_share) ** events <= 1 - confidence_share)
    return 1 - beta_cdf(target_share, won + 1, events - won) <= 1 - confidence_share
