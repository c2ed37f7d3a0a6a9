"""The verdict of every shipped scenario is the one that its README states.

usage: python tests/verdicts.py [SCENARIO...]

A README says ``Verdict: PASS``, ``FAIL`` or ``UNKNOWN`` on a line of its own. Exit code 1 on any
difference, and if there is no scenario.
"""

import re
import subprocess
import sys
from pathlib import Path

TOPOLOGIES = Path(__file__).parents[1] / "topologies"
EXIT_CODES = {"PASS": 0, "FAIL": 1, "UNKNOWN": 3}


def main() -> int:
    folders = [TOPOLOGIES / name for name in sys.argv[1:]] or sorted(
        file.parent for file in TOPOLOGIES.glob("*/topology.yaml")
    )
    wrong = 0 if folders else 1
    for folder in folders:
        stated = re.findall(r"^Verdict: (\w+)", (folder / "README.md").read_text(), re.MULTILINE)
        done = subprocess.run(
            [sys.executable, "-m", "edgetwin", "check", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        met = len(stated) == 1 and EXIT_CODES.get(stated[0]) == done.returncode
        print(f"{'ok' if met else 'WRONG':6}{folder.name}: README {stated}, exit {done.returncode}")
        if not met:
            wrong += 1
            print(done.stdout, done.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
