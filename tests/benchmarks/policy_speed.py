"""Decisions side by side: this host, its public path, Node, opa-wasmtime, and opa bench.

usage: python tests/benchmarks/policy_speed.py [--seconds S] [--npm DIR] [--sdk PYTHON]

Needs `opa` on PATH. DIR is a folder with node_modules/@open-policy-agent/opa-wasm, PYTHON an
interpreter with opa-wasmtime; what is not there is left out of the table and said so. All run the
same modules over the same inputs, no decision remembered, and must allow the same ones. Times are
medians of CPU microseconds a decision, because the machine may be busy; p99 is wall time.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import policy_rules

from edgetwin.policy import Limits, Policy, building, load_bundle, values

HERE = Path(__file__).parent
POLICIES = HERE.parents[1] / "policies"

TINY = 'package tiny\n\n# METADATA\n# entrypoint: true\nallow if input.role == "admin"\n'


@dataclass
class Subject:
    """A policy to measure."""

    name: str
    wasm: bytes
    data: Any
    entrypoint: str
    inputs: list[Any]
    rego: list[str]


@dataclass
class Time:
    """CPU microseconds a decision, and the 99th percentile of single ones in wall time."""

    cpu_us: float
    p99_us: float | None
    allowed: int | None


def subjects(folder: Path) -> list[Subject]:
    """Return the tiny policy, the shipped retail one and the one with 200 rules."""
    opa = building.opa_path()
    made = []
    for name, text, entrypoint, inputs in (
        ("tiny", TINY, "tiny/allow", [{"role": role} for role in ("admin", "guest")] * 50),
        ("200 rules", policy_rules.rego(), "many/allow", policy_rules.inputs()),
    ):
        source = folder / f"{entrypoint.split('/')[0]}.rego"
        source.write_text(text)
        entry = {"rego": [source.name], "entrypoints": [entrypoint]}
        bundle = load_bundle(building.build_bundle(opa, folder, name, entry), name=name)
        made.append(Subject(name, bundle.wasm or b"", {}, entrypoint, inputs, [text]))
    bundle = load_bundle(POLICIES / "retail-authz-r1.tar.gz")
    rego = [(POLICIES / "retail" / "authz.rego").read_text()]
    retail = Subject(
        "retail", bundle.wasm or b"", bundle.data, "retail/authz/allow", _retail(), rego
    )
    return [made[0], retail, made[1]]


def _retail() -> list[Any]:
    return [
        {
            "user": f"u{n}", "role": ("cashier", "manager", "stocktaker", "device")[n % 4],
            "action": ("pay", "price", "refund", "telemetry")[n * 7 % 5 % 4],
            "amount_cents": n * 137 % 9000, "offline": n % 3 == 0, "device": f"till-{n % 12}",
            "class": "payment",
        }
        for n in range(100)
    ]  # fmt: skip


def rounds(run: Callable[[], None], decisions: int, seconds: float) -> float:
    """Return the median CPU microseconds a decision of *run*, which makes so many."""
    run()
    taken: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken) < 7:
        started = time.thread_time_ns()
        run()
        taken.append((time.thread_time_ns() - started) / 1000 / decisions)
    return statistics.median(taken)


def this_host(subject: Subject, seconds: float, **how: Any) -> tuple[Time, Time]:
    """Return the times of this host: one by one, and in blocks."""
    policy = Policy(load_bundle(subject.wasm, name=subject.name), memo_entries=0, **how)
    policy.set_data(subject.data)
    decide, many, entrypoint, inputs = (
        policy.decide, policy.decide_many, subject.entrypoint, subject.inputs,
    )  # fmt: skip

    def singly() -> None:
        for given in inputs:
            decide(entrypoint, given)

    allowed = sum(decide(entrypoint, given) is True for given in inputs)
    walls = []
    for n in range(20_000 if not how.get("public_api") else 500):
        started = time.perf_counter_ns()
        decide(entrypoint, inputs[n % len(inputs)])
        walls.append((time.perf_counter_ns() - started) / 1000)
    p99 = sorted(walls)[len(walls) * 99 // 100]
    block = [inputs[n % len(inputs)] for n in range(256)]
    single = rounds(singly, len(inputs), seconds)
    in_blocks = rounds(lambda: _discard(many(entrypoint, block)), len(block), seconds)
    return Time(single, p99, allowed), Time(in_blocks, None, allowed)


def _discard(_results: Any) -> None:
    """Let the results go."""


def inside_wasm(subject: Subject, seconds: float) -> float:
    """Return the CPU microseconds of the bare C call, input already in place: Wasm's own share."""
    policy = Policy(load_bundle(subject.wasm, name=subject.name), memo_entries=0)
    policy.set_data(subject.data)
    instance = policy._instance
    guest, heap, data = instance.guest, instance.heap, instance.addresses[0]
    raws = [values.json_bytes(given) for given in subject.inputs]
    number = policy._numbers[subject.entrypoint]
    guest.write(heap + 1_000_000, b"\0")  # room, so that nothing grows while it is measured
    places = []
    at = heap
    for raw in raws:
        guest.write(at, raw)
        places.append((at, len(raw)))
        at += len(raw)

    def bare() -> None:
        for place, size in places:
            guest.call("opa_eval", 0, number, data, place, size, at, 1)

    def nothing() -> None:
        for place, size in places:
            guest.call("opa_heap_ptr_set", place + size)

    # A call that does next to nothing shows what getting in and out costs.
    return rounds(bare, len(raws), seconds) - rounds(nothing, len(raws), seconds)


def peer(command: list[str], subject: Subject, folder: Path, seconds: float) -> Time | None:
    """Return the time of a peer that prints its own as JSON; None if it does not run."""
    stem = folder / subject.entrypoint.replace("/", "-")
    for suffix, content in ((".wasm", subject.wasm), ("-data.json", json.dumps(subject.data)),
                            ("-inputs.json", json.dumps(subject.inputs))):  # fmt: skip
        raw = content.encode() if isinstance(content, str) else content
        Path(f"{stem}{suffix}").write_bytes(raw)
    files = [f"{stem}.wasm", f"{stem}-data.json", f"{stem}-inputs.json"]
    done = subprocess.run(
        [*command, *files, subject.entrypoint, str(seconds)], capture_output=True, text=True
    )
    if done.returncode:
        print(f"left out, {command[0]} says: {done.stderr.strip().splitlines()[-1:]}")
        return None
    shown = json.loads(done.stdout)
    return Time(shown["cpu_us"], shown["p99_us"], shown["allowed"])


def opa_bench(subject: Subject, folder: Path) -> Time | None:
    """Return the median of ``opa bench`` over one input: the Go engine, its rule index included."""
    place = folder / f"bench-{subject.entrypoint.split('/')[0]}"
    place.mkdir(exist_ok=True)
    for number, text in enumerate(subject.rego):
        (place / f"{number}.rego").write_text(text)
    (place / "data.json").write_text(json.dumps(subject.data))
    given = place / "input"
    given.write_text(json.dumps(subject.inputs[0]))
    query = "data." + subject.entrypoint.replace("/", ".")
    command = [
        "opa",
        "bench",
        "-d",
        str(place),
        "-i",
        str(given),
        "--format",
        "json",
        "--count",
        "3",
    ]
    done = subprocess.run([*command, query], capture_output=True, text=True)
    if done.returncode:
        print(f"left out, opa bench says: {(done.stderr or done.stdout).strip()[-200:]}")
        return None
    decoder, at, each = json.JSONDecoder(), 0, []
    text = done.stdout.strip()
    while at < len(text):
        shown, end = decoder.raw_decode(text, at)
        listed = shown if isinstance(shown, list) else [shown]
        each += [one["T"] / one["N"] / 1000 for one in listed]
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return Time(statistics.median(each), None, None)


def main() -> int:
    """Print the table; 1 if two hosts disagree or a bound of the issue is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--npm", default=".", help="folder with node_modules")
    parser.add_argument("--sdk", help="interpreter with opa-wasmtime")
    arguments = parser.parse_args()
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for subject in subjects(folder):
            missed += table(subject, folder, arguments)
    for text in missed:
        print(f"MISSED {text}")
    return 1 if missed else 0


def table(subject: Subject, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Print the rows of one policy; return the bounds that it misses."""
    seconds = arguments.seconds
    single, block = this_host(subject, seconds)
    bare, bare_block = this_host(subject, seconds, limits=Limits(deadline_us=None))
    public, _ = this_host(subject, seconds, public_api=True)
    rows: dict[str, Time | None] = {
        "edgetwin": single,
        "edgetwin in blocks": block,
        "edgetwin, no deadline": bare,
        "edgetwin, no deadline, in blocks": bare_block,
        "edgetwin, public API": public,
        "Node, npm opa-wasm": None,
        "PyPI opa-wasmtime": None,
        "opa bench (Go)": opa_bench(subject, folder),
    }
    if shutil.which("node"):
        command = ["node", str(HERE / "policy_node.mjs"), str(Path(arguments.npm).resolve())]
        rows["Node, npm opa-wasm"] = peer(command, subject, folder, seconds)
    if arguments.sdk:
        command = [arguments.sdk, str(HERE / "policy_wasmtime_sdk.py")]
        rows["PyPI opa-wasmtime"] = peer(command, subject, folder, seconds)
    wasm_us = inside_wasm(subject, seconds)
    print(f"\n{subject.name}: {len(subject.inputs)} inputs, {single.allowed} allowed")
    print(f"{'':<34} {'us':>9} {'ratio':>7} {'p99 us':>9}")
    for name, row in rows.items():
        if row is None:
            print(f"{name:<34} {'not there':>9}")
            continue
        p99 = f"{row.p99_us:>9.1f}" if row.p99_us is not None else ""
        print(f"{name:<34} {row.cpu_us:>9.2f} {row.cpu_us / single.cpu_us:>7.2f} {p99}")
    print(f"{'of which inside Wasm':<34} {wasm_us:>9.2f}, outside {single.cpu_us - wasm_us:.2f}")
    return _missed(subject, rows, single.cpu_us - wasm_us)


def _missed(subject: Subject, rows: dict[str, Time | None], outside_us: float) -> list[str]:
    """Return which of the issue's bounds this policy misses."""
    single, block, public = (
        rows[name] for name in ("edgetwin", "edgetwin in blocks", "edgetwin, public API")
    )
    node = rows["Node, npm opa-wasm"]
    assert single is not None
    assert block is not None
    assert public is not None
    allowed = {row.allowed for row in rows.values() if row and row.allowed is not None}
    bounds = {
        "all hosts allow the same": len(allowed) == 1,
        "p99 under 1 ms": single.p99_us is not None and single.p99_us < 1000,
    }  # fmt: skip
    if subject.name != "200 rules":
        bounds["8 times the public path"] = public.cpu_us >= 8 * single.cpu_us
    else:
        bounds["outside Wasm at most 2 us"] = outside_us <= 2
    if node:
        bounds["not slower than Node"] = single.cpu_us <= node.cpu_us
        bounds["in blocks faster than Node"] = block.cpu_us < node.cpu_us
    return [f"{subject.name}: {name}" for name, kept in bounds.items() if not kept]


if __name__ == "__main__":
    sys.exit(main())
