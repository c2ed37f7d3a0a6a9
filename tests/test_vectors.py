"""Every case of the vector files ends as it expects, merge policies in the real Wasm host.

``pytest tests -k vectors --vectors FILE`` runs another file of the same format.
"""

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgetwin.engine.replica import ReplicaPlace, ReplicaWorld
from vector_file import Case, differences, run


def test_vectors_of_conflicts_end_as_expected(conflict_case: Case) -> None:
    outcome = run(conflict_case)

    assert differences(conflict_case, outcome) == []


def siblings_after_a_cut(
    rng: np.random.Generator, *, keys: int, cut_s: float, edge_per_s: float, cloud_per_s: float
) -> int:
    """Return how many keys show siblings after one cut with Poisson writers on both sides."""
    places = {"cloud": ReplicaPlace("cloud"), "edge1": ReplicaPlace("edge")}
    world = ReplicaWorld(places, "siblings")
    world.cut(0, "edge1", "cloud")
    writes = sorted(
        (int(at * 1e6), site, int(rng.integers(keys)))
        for site, rate in (("edge1", edge_per_s), ("cloud", cloud_per_s))
        for at in rng.uniform(0, cut_s, rng.poisson(rate * cut_s))
    )
    for number, (time_us, site, key) in enumerate(writes):
        world.write(time_us, site, "put", f"key{key}", number, name=f"w{number}")
    end_us = int(cut_s * 1e6)
    world.heal(end_us, "edge1", "cloud")
    world.sync(end_us, "edge1", "cloud")
    shown = [world.value("cloud", key) for key in {f"key{key}" for _, _, key in writes}]
    return sum(isinstance(value, dict) for value in shown)


@cache
def conflicts_per_cut(replications: int, **inputs: Any) -> NDArray[np.int64]:
    rng = np.random.Generator(np.random.Philox(key=7))
    return np.array([siblings_after_a_cut(rng, **inputs) for _ in range(replications)])


@pytest.mark.parametrize("observed", ["E_conflicts", "P_any", "busy_E_conflicts"])
def test_vectors_of_closed_forms_conflicts_of_a_cut(
    conflict_form: dict[str, Any], observed: str
) -> None:
    inputs = conflict_form["inputs"]
    (line,) = [one for one in conflict_form["simulate"] if one["equals"] == observed]
    busy = "busy_" if observed.startswith("busy_") else ""
    counted = re.search(r"(\d+) replications", line["how"])
    replications = int(counted[1]) if counted else 2000

    conflicts = conflicts_per_cut(
        replications,
        keys=inputs["keys"],
        cut_s=inputs["cut_s"],
        edge_per_s=inputs[f"{busy}rate_edge_per_s"],
        cloud_per_s=inputs[f"{busy}rate_cloud_per_s"],
    )

    sample = conflicts > 0 if observed == "P_any" else conflicts
    mean, half = sample.mean(), 1.96 * sample.std(ddof=1) / np.sqrt(replications)
    print(f"{observed}: {mean:.4f} +- {half:.4f} (95 %), exact {conflict_form['expect'][observed]}")
    assert abs(mean - conflict_form["expect"][observed]) <= line["abs_tol"]
