"""Requests judged per CPU second and peak memory, beside the peers that PyPI carries.

usage: python tests/benchmarks/requests.py [--quick] [--sites N,N] [--seconds S] [--days D,D]
           [--repeat N] [--peers-python PYTHON] [--no-peers]

The workload is `workload.py`'s: ten devices a site that each ask once a second, a real policy, a
queue, a keyed append, an outcome; every uplink is down twice for 5 % of the run. Three groups of
rows: a run of S seconds (an hour) at each number of sites; the same number of requests over 10, 100
and 1,000 sites; ten sites for D days with two cuts a day, to see whether memory grows with them.

Every measurement has a process of its own, cases take turns, the cheapest of N repetitions counts
(one where a case has over ten million requests). Cost is user and system CPU time. "apart" leaves
out set-up: making the scenario, the storm and the world; "in all" counts it; imports are never
counted. The peers run under PYTHON (`pip install edgetwin[bench]`, or an environment of their own),
at a fraction of the seconds if they would judge more than 360,000 requests; what is not installed
is left out and said so. They model less: no real policy, no K3s, no sync, no conflicts.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
DAY_S = 86_400
DEVICES = 10
REQUESTS_OF_PEERS_MAX = 360_000
"""What a peer judges at most: textbook SimPy needs some 4 CPU seconds for it."""
REPEATED_REQUESTS_MAX = 10_000_000
SAME_REQUESTS = 36_000
"""Sites times seconds of the rows with one number of requests."""


@dataclass(frozen=True)
class Case:
    """What is measured in one process."""

    group: str
    model: str
    sites: int
    seconds: float

    @property
    def requests(self) -> float:
        """About how many requests it has."""
        return self.sites * DEVICES * self.seconds


@dataclass(frozen=True)
class Cost:
    """What a process measured of itself."""

    requests: int
    run_cpu_s: float
    setup_cpu_s: float
    peak_mib: float
    note: str = ""


def edgetwin(sites: int, seconds: float) -> Cost:
    """Simulate the workload here and now; over days each day has its two cuts."""
    import workload

    from edgetwin.engine.run import simulate

    begin_s = time.process_time()
    repeat_s = DAY_S if seconds > DAY_S else None
    scenario = workload.scenario(sites, seconds, repeat_s=repeat_s)
    made_s = time.process_time() - begin_s
    history = simulate(scenario)
    measured = history.meta["measured"]
    issued = int(history.column("outcomes", "issued").sum())
    parts = ("ok", "denied", "late", "in_flight")
    ended = {name: int(history.column("outcomes", name).sum()) for name in parts}
    assert sum(ended.values()) == issued, (issued, ended)
    run_s = measured["cpu_s"] - measured["setup_cpu_s"]
    return Cost(issued, run_s, made_s + measured["setup_cpu_s"], peak_mib())


def peak_mib() -> float:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(case: Case, python: str) -> Cost | str:
    """Measure *case* in a process of its own; a text says why that could not be."""
    if case.model == "edgetwin":
        script, interpreter = HERE / "requests.py", sys.executable
        words = ["--case", str(case.sites), str(case.seconds)]
    else:
        script, interpreter = HERE / f"peer_{case.model}.py", python
        words = [str(case.sites), str(case.seconds)]
    done = subprocess.run(
        [interpreter, str(script), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "failed"
    return Cost(**json.loads(done.stdout))


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return every case once, in the order of the table."""
    models = ["edgetwin"] if arguments.no_peers else ["edgetwin", "simpy", "leaf"]
    quick = 0.1 if arguments.quick else 1.0
    found = []
    for sites in arguments.sites:
        for model in models:
            seconds = arguments.seconds * quick
            if model != "edgetwin":
                seconds = min(seconds, REQUESTS_OF_PEERS_MAX * quick / (DEVICES * sites))
            found.append(Case("the run", model, sites, seconds))
    for sites in (10, 100, 1000):
        seconds = SAME_REQUESTS * quick / sites
        # The peers' rows above have this very number of requests.
        found.append(Case("as many requests", "edgetwin", sites, seconds))
    found += [Case("days", "edgetwin", 10, days * DAY_S) for days in arguments.days]
    return found


def measure(arguments: argparse.Namespace) -> dict[Case, Cost | str]:
    """Measure all cases in turns, and keep the cheapest of each; memory is the most of any."""
    found: dict[Case, Cost | str] = {}
    todo = cases(arguments)
    for turn in range(arguments.repeat):
        for case in todo:
            before = found.get(case)
            if isinstance(before, str) or (turn and case.requests > REPEATED_REQUESTS_MAX):
                continue
            print(f"\r{turn + 1}: {case.model} {case.sites} sites {case.seconds:g} s   ",
                  end="", file=sys.stderr)  # fmt: skip
            cost = measured(case, arguments.peers_python)
            if isinstance(cost, str) or not isinstance(before, Cost):
                found[case] = cost
                continue
            found[case] = Cost(
                cost.requests,
                min(cost.run_cpu_s, before.run_cpu_s),
                min(cost.setup_cpu_s, before.setup_cpu_s),
                max(cost.peak_mib, before.peak_mib),
                cost.note,
            )
    print(file=sys.stderr)
    return found


def table(found: dict[Case, Cost | str]) -> str:
    """Return the table as text."""
    head = (
        f"{'model':<10}{'sites':>6}{'simulated':>11}{'requests':>13}{'CPU s':>8}{'set-up':>8}"
        f"{'apart/s':>13}{'in all/s':>13}{'peak MiB':>10}"
    )
    lines, group, skipped = [head], "", []
    for case, cost in found.items():
        if case.group != group:
            group = case.group
            lines.append("-" * len(head))
        span = f"{case.seconds / DAY_S:g} d" if group == "days" else f"{case.seconds:g} s"
        if isinstance(cost, str):
            skipped.append(f"{case.model}: left out: {cost}")
            continue
        apart = cost.requests / cost.run_cpu_s
        total = cost.requests / (cost.run_cpu_s + cost.setup_cpu_s)
        lines.append(
            f"{case.model:<10}{case.sites:>6}{span:>11}{cost.requests:>13,}{cost.run_cpu_s:>8.2f}"
            f"{cost.setup_cpu_s:>8.2f}{apart:>13,.0f}{total:>13,.0f}{cost.peak_mib:>10.0f}"
            f"  {cost.note}".rstrip()
        )
    return "\n".join([*lines, *dict.fromkeys(skipped)])


def machine() -> str:
    """Return what the figures were measured on."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def numbers(text: str) -> list[float]:
    """Return the numbers of a list such as ``1,7,30``."""
    return [float(part) for part in text.split(",") if part]


def main(words: Sequence[str]) -> int:
    """Run the command line *words*."""
    if words[:1] == ["--case"]:
        print(json.dumps(vars(edgetwin(int(words[1]), float(words[2])))))
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of all times")
    parser.add_argument("--sites", type=numbers, default=[10, 100, 1000], metavar="N,N")
    parser.add_argument("--seconds", type=float, default=3600, metavar="S")
    parser.add_argument("--days", type=numbers, default=None, metavar="D,D")
    parser.add_argument("--repeat", type=int, default=3, metavar="N")
    parser.add_argument("--peers-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args(words)
    arguments.sites = [int(number) for number in arguments.sites]
    if arguments.days is None:
        arguments.days = [0.1, 0.7] if arguments.quick else [1, 7, 30]
    before = os.getloadavg()[0]
    found = measure(arguments)
    print(f"{machine()}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
