"""A process's first decision, with the compiled module on disk and without.

usage: python tests/benchmarks/policy_start.py

CPU milliseconds from reading the bundle to having the decision; imports are not counted. Exit code
1 if a warm start takes more than 10 ms.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BUNDLE = Path(__file__).parents[2] / "policies" / "retail-authz-r1.tar.gz"
WARM_MS_MAX = 10

CODE = f"""
import time
from edgetwin.policy import load_bundle, Policy
started = time.process_time()
policy = Policy(load_bundle({str(BUNDLE)!r}))
assert policy.decide("retail/authz/allow", {{"role": "device", "action": "telemetry"}}) is True
print((time.process_time() - started) * 1000)
"""


def first_decision_ms(cache: str) -> float:
    """Return the milliseconds that a new process needs, with *cache* as its folder for modules."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "EDGETWIN_CACHE": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        cold = statistics.median(first_decision_ms("") for _ in range(5))
        first_decision_ms(folder)
        warm = statistics.median(first_decision_ms(folder) for _ in range(9))
    print(f"first decision: {cold:.1f} ms compiled, {warm:.1f} ms from disk, {cold / warm:.0f}x")
    sys.exit(warm > WARM_MS_MAX)
