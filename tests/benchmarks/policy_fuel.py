"""What fuel is in time here: the source of ``FUEL_PER_US``.

usage: python tests/benchmarks/policy_fuel.py [SECONDS]

Needs `opa` on PATH. For each policy of policy_speed.py, means over its inputs.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import policy_speed

from edgetwin.policy import Policy, load_bundle

if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{'':<12} {'fuel':>9} {'us':>8} {'fuel/us':>9} {'in Wasm: us':>12} {'fuel/us':>9}")
    with tempfile.TemporaryDirectory() as temporary:
        for subject in policy_speed.subjects(Path(temporary)):
            policy = Policy(load_bundle(subject.wasm, name=subject.name))
            policy.set_data(subject.data)
            each = [policy.fuel(subject.entrypoint, given) for given in subject.inputs]
            fuel = statistics.mean(each)
            single, _ = policy_speed.this_host(subject, seconds)
            inside_us = policy_speed.inside_wasm(subject, seconds)
            print(
                f"{subject.name:<12} {fuel:>9.0f} {single.cpu_us:>8.2f} "
                f"{fuel / single.cpu_us:>9.0f} {inside_us:>12.2f} {fuel / inside_us:>9.0f}"
            )
