"""Laws of durations and gaps: their arithmetic, and the likelihood fits against published ones."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin import laws

DATA = Path(os.environ.get("EDGETWIN_DATA", "/nowhere")) / "data"

LAWS = [
    laws.Lognormal(7.5, 1.7), laws.Weibull(0.55, 3.0), laws.Weibull(2.0, 10.0),
    laws.Exponential(40.0), laws.Gamma(0.4, 100.0), laws.Gamma(7.0, 2.0),
]  # fmt: skip


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_share_below_a_quantile_is_its_share(law):
    shares = np.linspace(0.001, 0.999, 333)

    assert law.cdf(law.quantile(shares)) == pytest.approx(shares, abs=2e-6)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_mean_is_that_of_the_quantiles(law):
    shares = (np.arange(2_000_000) + 0.5) / 2_000_000

    assert float(law.quantile(shares).mean()) == pytest.approx(law.mean, rel=0.01)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_density_is_the_slope_of_the_distribution(law):
    values = law.quantile(np.linspace(0.05, 0.95, 19))
    step = values * 1e-3

    slope = (law.cdf(values + step) - law.cdf(values - step)) / (2 * step)
    assert np.exp(law.log_density(values)) == pytest.approx(slope, rel=2e-3)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_a_law_is_found_again_in_its_own_draws(law):
    rng = np.random.Generator(np.random.Philox(1))
    drawn = law.quantile(rng.random(20_000))

    again = next(fit for fit in laws.fits(drawn) if fit.law.name == law.name)

    assert again.ks < 0.02
    assert again.law.mean == pytest.approx(law.mean, rel=0.15)


@pytest.mark.parametrize(
    "law", [laws.Lognormal(3.0, 1.0), laws.Weibull(0.6, 30.0), laws.Gamma(0.4, 100.0),
            laws.Exponential(50.0)], ids=repr,
)  # fmt: skip
def test_censored_values_do_not_bend_the_fit(law):
    rng = np.random.Generator(np.random.Philox(2))
    drawn = law.quantile(rng.random(20_000))
    limit = rng.exponential(law.mean, 20_000)
    seen, cut = np.minimum(drawn, limit), drawn > limit

    found = next(f for f in laws.fits(seen, censored=cut) if f.law.name == law.name)
    naive = next(f for f in laws.fits(seen[~cut]) if f.law.name == law.name)

    assert found.law.mean == pytest.approx(law.mean, rel=0.12)
    assert naive.law.mean < 0.8 * law.mean
    assert found.ks < 0.03


def test_values_on_a_grid_fit_better_when_the_grid_is_known():
    rng = np.random.Generator(np.random.Philox(3))
    rounded = np.maximum(np.rint(rng.exponential(900.0, 5_000) / 300), 1) * 300

    blind = next(f for f in laws.fits(rounded) if f.law.name == "exponential")
    aware = next(f for f in laws.fits(rounded, grid=300) if f.law.name == "exponential")

    assert aware.ks < blind.ks


def test_too_few_or_equal_values_fit_nothing():
    assert laws.fits([1.0] * 100) == []
    assert laws.fits([1.0, 2.0, 3.0]) == []
    assert laws.fits([0.0] + [float(k) for k in range(1, 20)]) == []


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50), st.floats(0, 0.999999))
def test_resampling_gives_only_what_was_met(values, share):
    law = laws.empirical(values)

    assert float(law.quantile(share)) in [float(v) for v in values]
    assert law.mean == pytest.approx(float(np.mean(values)), rel=1e-9)


def test_a_shortened_table_keeps_the_mean_and_the_longest_values():
    rng = np.random.Generator(np.random.Philox(4))
    values = np.exp(rng.standard_normal(30_000) * 2)

    law = laws.empirical(values, points_max=400)

    assert len(law.values) <= 400
    assert law.mean == pytest.approx(values.mean(), rel=1e-9)
    assert law.values[-50:] == tuple(np.sort(values)[-50:].tolist())


@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set EDGETWIN_DATA")
def test_the_fits_are_those_that_were_published_with_the_data():
    published = {row["name"]: row for row in csv.DictReader((DATA / "STATS.csv").open())}
    compared = 0
    for name in ("smokeping-rs-brazil", "telecom-sweden", "ipobs-hurricane-laura-2020",
                 "ci-heartbeats"):  # fmt: skip
        rows = csv.DictReader((DATA / name / "outages.csv").open())
        lengths = [float(r["end"]) - float(r["start"]) for r in rows if not r["censored"]]
        row = published[name]
        found = {fit.law.name: fit.log_likelihood for fit in laws.fits(lengths)}
        for law in ("lognormal", "weibull", "exponential"):
            assert found[law] == pytest.approx(float(row[f"ll_{law}"]), abs=1.0), (name, law)
            compared += 1
        best = laws.fits(lengths)[0]
        assert best.law.name == row["best_fit"]
        assert best.ks == pytest.approx(float(row["ks_best"]), abs=0.02)
    assert compared == 12
