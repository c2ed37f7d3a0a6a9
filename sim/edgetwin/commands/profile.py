"""``edgetwin profile``: what the start-up profiles say, and measuring one on this machine."""

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetwin.errors import UsageError

HELP = "show the start-up profiles, or measure one on this machine"

COLUMNS = "runtime,mode,workload,run,cold_start_ms,peak_rss_kib,image_bytes"
"""The columns of a measurement, as those that ship were taken."""

RUNS = 100
"""Chosen: enough for a 99th percentile that is not the maximum of a handful."""
WARMUP_RUNS = 2
"""Dropped first starts, which fill the page cache; as in the shipped measurements."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions ``show`` and ``measure`` to *parser*."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="profiles, claims beside measurements, assumptions")
    show.add_argument("name", nargs="*", help="only these profiles (default: all, and the claims)")
    show.add_argument("-o", "--output", choices=("text", "json"), default="text")
    measure = actions.add_parser(
        "measure",
        help="time the start of a command until its first output",
        description="Starts COMMAND again and again, times each start until its first output byte,"
        " and writes CSV. Its input stays open until then: let it read that to the end before it"
        " ends, so that its memory can be read. What this launcher itself takes is what"
        " '-- echo ready' takes.",
    )
    measure.add_argument("-n", "--runs", type=int, default=RUNS, help=f"default {RUNS}")
    measure.add_argument("--warmup", type=int, default=WARMUP_RUNS, help="starts to drop first")
    measure.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="a start")
    measure.add_argument("--runtime", default="", help="column 'runtime' (default: the command)")
    measure.add_argument("--mode", default="process", help="column 'mode' (default: process)")
    measure.add_argument("--workload", default="", help="column 'workload'")
    measure.add_argument("--image", type=Path, help="file whose size is column 'image_bytes'")
    measure.add_argument("-o", "--output", type=Path, help="CSV file (default: standard output)")
    measure.add_argument("command", nargs="+", metavar="COMMAND", help="after --")


def run(arguments: argparse.Namespace) -> int:
    """Carry the action out; 0, or UsageError if the command cannot be timed."""
    if arguments.action == "show":
        return _show(arguments.name, arguments.output)
    return _measure(arguments)


@dataclass(frozen=True)
class Timing:
    """One start of a command."""

    start_s: float
    """Wall time from the launch to the first output byte."""
    peak_rss_kib: int | None
    """Peak resident set of the command when it was ready; None if it had ended by then."""


def timings(command: Sequence[str], *, runs: int, timeout_s: float) -> Iterator[Timing]:
    """Start *command* *runs* times, one after another.

    Raises UsageError if it cannot be started, ends without output or is silent for *timeout_s*.
    """
    for _ in range(runs):
        yield _timing(command, timeout_s)


def _timing(command: Sequence[str], timeout_s: float) -> Timing:
    began = time.perf_counter()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise UsageError(f"{command[0]}: cannot be started: {error.strerror}") from error
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        seen, _, _ = select.select([process.stdout], [], [], timeout_s)
        first = os.read(process.stdout.fileno(), 1) if seen else b""
        start_s = time.perf_counter() - began
        if not seen:
            raise UsageError(f"{command[0]}: no output within {timeout_s:g} s; see --timeout")
        peak_rss_kib = _peak_rss_kib(process.pid)
        process.stdin.close()
        _drain(process, began + timeout_s)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    if not first:
        raise UsageError(
            f"{command[0]}: ended (exit code {process.returncode}) without output; "
            "there is nothing to time: let it print a line when it is ready"
        )
    return Timing(start_s, peak_rss_kib)


def _peak_rss_kib(pid: int) -> int | None:
    """The peak resident set of *pid* as Linux keeps it.

    Not ``ru_maxrss``: that one also counts this launcher, whose copy the command was before its
    exec.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0]) if peaks else None


def _drain(process: "subprocess.Popen[bytes]", deadline: float) -> None:
    """Read *process* to its end so that it never blocks, and kill it at *deadline*."""
    assert process.stdout is not None
    while select.select([process.stdout], [], [], max(0.0, deadline - time.perf_counter()))[0]:
        if not os.read(process.stdout.fileno(), 65536):
            break
    else:
        # A server that never ends by itself: its start has been timed, so it may go.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _measure(arguments: argparse.Namespace) -> int:
    import csv
    import io

    from edgetwin.profiles import Quantiles

    if arguments.runs < 1 or arguments.warmup < 0 or arguments.timeout <= 0:
        raise UsageError("--runs is at least 1, --warmup at least 0, --timeout more than 0")
    if arguments.image and not arguments.image.is_file():
        raise UsageError(f"--image {arguments.image}: no such file")
    image_bytes = arguments.image.stat().st_size if arguments.image else ""
    runtime = arguments.runtime or Path(arguments.command[0]).name
    text, starts_us = io.StringIO(), []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS.split(","))
    total = arguments.warmup + arguments.runs
    on_terminal = sys.stderr.isatty()
    for index, timing in enumerate(
        timings(arguments.command, runs=total, timeout_s=arguments.timeout)
    ):
        if on_terminal:
            sys.stderr.write(f"\rstart {index + 1} of {total}")
            sys.stderr.flush()
        if index >= arguments.warmup:
            starts_us.append(timing.start_s * 1e6)
            key = runtime, arguments.mode, arguments.workload, index - arguments.warmup
            writer.writerow(
                [*key, f"{timing.start_s * 1e3:.4f}", timing.peak_rss_kib or "", image_bytes]
            )
    if on_terminal:
        of = Quantiles.of(starts_us)
        p50, p90, p99 = (of.at(share) / 1000 for share in (0.5, 0.9, 0.99))
        sys.stderr.write(f"\rp50 {p50:.3g} ms, p90 {p90:.3g} ms, p99 {p99:.3g} ms\n")
    if arguments.output is None:
        sys.stdout.write(text.getvalue())
    else:
        unfinished = arguments.output.with_name(arguments.output.name + ".unfinished")
        unfinished.write_text(text.getvalue(), encoding="utf-8")
        unfinished.replace(arguments.output)
    return 0


def _show(wanted: Sequence[str], form: str) -> int:
    from edgetwin import profiles

    chosen = [profiles.profile(name) for name in wanted or profiles.names()]
    if form == "json":
        json.dump(_as_data(chosen, with_claims=not wanted), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    rows = [
        (
            *(made.name, made.level.value, *(_ms(made.start.at(u)) for u in (0.5, 0.9, 0.99))),
            *(_ms(made.cold_extra_us) if made.cold_extra_us else "-", _ms(made.cpu_us)),
            *(f"{made.memory_bytes / 2**20:.2f}", f"{made.shared_bytes / 2**20:.1f}"),
            *(f"{made.image_bytes / 1e6:.2f}", f"{made.image_gzip_bytes / 1e6:.2f}"),
        )
        for made in chosen
    ]
    heads = (
        *("profile", "level", "p50 ms", "p90 ms", "p99 ms", "cold + ms", "cpu ms"),
        *("MiB each", "MiB shared", "image MB", "gz MB"),
    )
    print(_table(heads, rows, numbers_from=2))
    if wanted:
        print(
            "\n".join(
                f"{made.name}: {made.runtime} / {made.workload}; {made.basis}" for made in chosen
            )
        )
        return 0
    findings = [
        (
            found.claim,
            found.way,
            found.measured,
            "holds" if found.holds else "does not hold",
            found.source,
        )
        for found in profiles.claims()
    ]
    print("\nWhat is claimed, beside what was measured (sections of facts/startup.md)\n")
    print(
        _table(
            ("claim", "looked at as", "measured", "verdict", "section"), findings, numbers_from=9
        )
    )
    print("\nAssumptions, not measured\n")
    print(_table(("term", "value", "why"), _assumptions(), numbers_from=9))
    return 0


def _assumptions() -> list[tuple[str, str, str]]:
    from edgetwin import profiles

    low_s, high_s = (us // 1_000_000 for us in profiles.BOOT_US)
    kubelet_ms, relist_ms = profiles.KUBELET_US // 1000, profiles.KUBELET_RELIST_US // 1000
    return [
        (
            "kubelet",
            f"{kubelet_ms} ms + 0 to {relist_ms} ms",
            "Pod start of 0.5 to 1.6 s, every runtime",
        ),
        ("boot", f"{low_s} to {high_s} s", "small board, power on to K3s answering"),
        ("Pi 4 core", f"{profiles.PI4_CPU_FACTOR:g} times slower", "K3s's own figures, server"),
    ]


def _as_data(chosen: Sequence[object], *, with_claims: bool) -> dict[str, object]:
    from dataclasses import asdict

    from edgetwin import profiles

    data: dict[str, object] = {"profiles": []}
    shown = []
    for made in chosen:
        assert isinstance(made, profiles.Profile)
        fields = asdict(made)
        del fields["start"]
        quantiles = {f"p{round(u * 100)}_us": made.start.at(u) for u in (0.5, 0.9, 0.99)}
        shown.append({**fields, **quantiles})
    data["profiles"] = shown
    if with_claims:
        data["claims"] = [asdict(found) for found in profiles.claims()]
        data["assumptions"] = [
            {"term": term, "value": value, "why": why} for term, value, why in _assumptions()
        ]
    return data


def _ms(us: int) -> str:
    return f"{us / 1000:.3g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int) -> str:
    """*rows* under *heads*, columns from *numbers_from* on set right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = []
    for row in (heads, ["-" * width for width in widths], *rows):
        cells = (
            cell.rjust(width) if index >= numbers_from else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
