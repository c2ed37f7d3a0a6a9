"""The simulated agent against a real one: how long after a heal a new revision decides.

``pytest tests -k opa_agent --heals FILE`` takes any file with the columns of ``heals.csv``;
without, the recording under ``EDGETWIN_DATA`` is taken. Each recorded heal is simulated many
times, with its polling, mode and length of the cut, the agent at a random point of its polling
when the cut begins and the new revision published at the heal.
"""

import csv
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import simpy

from edgetwin.engine.agent import Agent, AgentSettings
from edgetwin.streams import Philox, named
from edgetwin.units import HOUR_US, SECOND_US

DATA = os.environ.get("EDGETWIN_DATA")
DRAWS = 4_000
"""Simulated heals of each polling and mode: their own error is far below the recording's."""
P_MIN = 0.01


def heal_to_active_s(kind: str, mode: str, cut_s: float, draws: Philox, name: str) -> float:
    """Seconds from the heal to the decision under the new revision; infinite if it never comes."""
    env = simpy.Environment()
    active_us: list[int] = []
    agent = Agent(
        env,
        polling(kind),
        named(draws, name),
        activate=lambda revision: active_us.append(env.now),
        on_event=lambda kind, detail: None,
        holds="r1",
    )

    def story():
        yield env.timeout(HOUR_US)
        agent.link(False, mode=mode)
        yield env.timeout(round(cut_s * SECOND_US))
        agent.release("r2")
        agent.link(True)

    env.process(story())
    healed_us = HOUR_US + round(cut_s * SECOND_US)
    env.run(until=healed_us + HOUR_US)
    return (active_us[0] - healed_us) / SECOND_US if active_us else math.inf


def polling(kind: str) -> AgentSettings:
    """The settings that *kind* stands for: ``min/max`` in seconds, or ``longpoll`` with 10/20."""
    low_s, high_s = map(float, ("10/20" if kind == "longpoll" else kind).split("/"))
    return AgentSettings(
        polling_us_min=round(low_s * SECOND_US),
        polling_us_max=round(high_s * SECOND_US),
        long_poll_us=30 * SECOND_US if kind == "longpoll" else 0,
    )


def kolmogorov_smirnov(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The largest distance of two samples' distributions, and the chance of one as large.

    The asymptotic law with Stephens's correction for small samples.
    """
    a, b = np.sort(first), np.sort(second)
    every = np.concatenate([a, b])
    shares = [np.searchsorted(sample, every, side="right") / len(sample) for sample in (a, b)]
    distance = float(abs(shares[0] - shares[1]).max())
    size = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:
        return distance, 1.0
    terms = np.arange(1, 101)
    p = 2 * np.sum((-1.0) ** (terms - 1) * np.exp(-2 * terms**2 * scaled**2))
    return distance, float(np.clip(p, 0, 1))


def recorded_heals(file: Path) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Cut length and heal-to-active, in seconds, of each polling and mode in *file*."""
    heals = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            active_s = float(row["heal_to_active_s"] or math.inf)
            heals[row["kind"], row["mode"]].append((float(row["cut_s"]), active_s))
    return dict(sorted(heals.items()))


def simulated(kind: str, mode: str, cuts_s: Sequence[float], seed: int) -> list[float]:
    """Heal-to-active of at least `DRAWS` heals, each cut length as often as the others."""
    draws, rounds = Philox(seed), -(-DRAWS // len(cuts_s))
    return [
        heal_to_active_s(kind, mode, cut_s, draws, f"{kind}/{mode}/{index}/{turn}")
        for index, cut_s in enumerate(cuts_s)
        for turn in range(rounds)
    ]


@pytest.fixture(scope="module")
def heals_file(request):
    given = request.config.getoption("--heals")
    file = Path(given) if given else Path(DATA or "", "data/opa-agent/heals.csv")
    if not given and (not DATA or not file.is_file()):
        pytest.skip("EDGETWIN_DATA has no data/opa-agent/heals.csv; give --heals FILE")
    return file


def test_heal_to_active_is_told_apart_from_the_real_agent_in_no_mode(heals_file, capsys):
    table, apart = [], []
    for (kind, mode), heals in recorded_heals(heals_file).items():
        recorded_s = [active_s for _, active_s in heals]
        simulated_s = simulated(kind, mode, [cut_s for cut_s, _ in heals], seed=1)

        distance, p = kolmogorov_smirnov(recorded_s, simulated_s)

        medians = f"{_median(recorded_s):>10} {_median(simulated_s):>10}"
        table.append(f"{kind:<9} {mode:<7} {len(heals):>3} {medians} {distance:>6.3f} {p:>7.3f}")
        if p < P_MIN:
            apart.append((kind, mode, p))
    with capsys.disabled():
        print(f"\nheal to active, {heals_file.name}: recorded and simulated (seconds)")
        print("polling   mode      n   recorded  simulated     KS       p")
        print("\n".join(table))

    assert table
    assert not apart


def test_each_recorded_heal_is_one_that_the_model_expects_after_its_own_cut(heals_file):
    # The share of simulated heals that are sooner is evenly spread if the model is right, cut by
    # cut; here a wrong dependence on the cut's length cannot hide in the mixture.
    draws, sooner_shares = Philox(2), []
    for (kind, mode), heals in recorded_heals(heals_file).items():
        for index, (cut_s, active_s) in enumerate(heals):
            if math.isinf(active_s):
                continue
            simulated_s = [
                heal_to_active_s(kind, mode, cut_s, draws, f"{kind}/{mode}/{index}/{turn}")
                for turn in range(200)
            ]
            sooner_shares.append(np.mean([s < active_s for s in simulated_s]))

    assert kolmogorov_smirnov(sooner_shares, np.linspace(0, 1, 10_001))[1] >= P_MIN


def test_a_wrong_polling_delay_would_be_told_apart(heals_file):
    heals = recorded_heals(heals_file).get(("10/20", "refuse"))
    if heals is None or len(heals) < 20:
        pytest.skip(f"{heals_file} has too few heals of 10/20, refuse, to tell anything apart")

    slower_s = simulated("60/120", "refuse", [cut_s for cut_s, _ in heals], seed=1)

    assert kolmogorov_smirnov([active_s for _, active_s in heals], slower_s)[1] < P_MIN


def test_a_wrong_cut_mode_would_be_told_apart(heals_file):
    heals = recorded_heals(heals_file).get(("10/20", "drop"))
    if heals is None or len(heals) < 20:
        pytest.skip(f"{heals_file} has too few heals of 10/20, drop, to tell anything apart")

    refused_s = simulated("10/20", "refuse", [cut_s for cut_s, _ in heals], seed=1)

    assert kolmogorov_smirnov([active_s for _, active_s in heals], refused_s)[1] < P_MIN


def test_the_kolmogorov_smirnov_test_keeps_its_level():
    rng = np.random.default_rng(5)

    rejected = sum(
        kolmogorov_smirnov(rng.random(25), rng.random(2_000))[1] < 0.05 for _ in range(1_000)
    )

    assert 25 <= rejected <= 75


def _median(sample: Sequence[float]) -> str:
    middle = float(np.percentile(sample, 50, method="lower"))
    return "never" if math.isinf(middle) else f"{middle:.1f}"
