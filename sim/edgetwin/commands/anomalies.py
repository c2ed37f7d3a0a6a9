"""``edgetwin anomalies``: which conflict strategy permits which anomaly, measured and explained."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetwin.errors import Problem, ScenarioError, UsageError, did_you_mean

if TYPE_CHECKING:
    from edgetwin.analysis.anomalies import AnomalyRow
    from edgetwin.checks.verdict import Verdict
    from edgetwin.operations import OperationHistory

HELP = "measure which conflict strategy permits which anomaly, over random storms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument("--storms", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the first storm")
    parser.add_argument(
        "--blind",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of writes by clients that did not read first; default: 0",
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="BUNDLE",
        help="add rows for a merge policy (entrypoint sync/merge), repeatable",
    )
    parser.add_argument(
        "--format", choices=("text", "md", "json"), default="text", help="default: text"
    )
    parser.add_argument(
        "--explain",
        metavar="STRATEGY",
        help="play the storm of --seed under one strategy and show what failed, with evidence",
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="with --explain: write the operation history"
    )
    parser.add_argument(
        "--judge", type=Path, metavar="FILE", help="judge an operation history, perhaps edited"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, explain or judge. A measured anomaly is what was asked for, and is no failure."""
    from edgetwin.analysis.anomalies import VARIANTS, measured, merge_policy, with_policy

    if arguments.judge:
        return _judge(_saved(arguments.judge))
    if arguments.storms < 1:
        raise UsageError(f"--storms {arguments.storms}: give at least 1")
    if arguments.save and not arguments.explain:
        raise UsageError("--save writes one history: say which with --explain STRATEGY")
    policies = dict(merge_policy(path) for path in arguments.policy)
    variants = [*VARIANTS]
    for name in policies:
        variants += [with_policy(name), with_policy(name, central=True)]
    if arguments.explain:
        from edgetwin.analysis.anomalies import drawn, played

        known = {variant.name: variant for variant in variants}
        if arguments.explain not in known:
            remedy = did_you_mean(arguments.explain, known)
            raise UsageError(f"--explain {arguments.explain!r} is no row of the table; {remedy}")
        storm = drawn(arguments.seed, blind_share=arguments.blind)
        history = played(storm, known[arguments.explain], policies)
        if arguments.save:
            arguments.save.write_text("\n".join(history.lines()) + "\n", encoding="utf-8")
        return _judge(history)
    seeds = range(arguments.seed, arguments.seed + arguments.storms)
    _print_table(measured(variants, seeds, policies, blind_share=arguments.blind), arguments.format)
    return 0


def _saved(path: Path) -> "OperationHistory":
    from edgetwin.operations import read_lines

    try:
        with path.open(encoding="utf-8") as lines:
            return read_lines(lines, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([Problem(str(path), 0, "", f"cannot be read: {error}")]) from None


def _judge(history: "OperationHistory") -> int:
    """Print every verdict with its evidence; 1 if one failed."""
    from edgetwin.checks.consistency import check_consistency
    from edgetwin.checks.verdict import Result

    verdicts = check_consistency(history)
    _print_verdicts(verdicts)
    return int(any(verdict.result is Result.FAIL for verdict in verdicts.values()))


def _print_verdicts(verdicts: Mapping[str, "Verdict"]) -> None:
    from edgetwin.checks.verdict import Result

    for name, verdict in verdicts.items():
        print(f"{verdict.result.upper():<7}  {name}: {verdict.reason}")
        for one in verdict.evidence if verdict.result is Result.FAIL else ():
            print(f"         {(one.start_us or 0) / 1e6:>10.3f} s  {one.site:<8} {one.what}")


def _print_table(rows: Sequence["AnomalyRow"], form: str) -> None:
    from edgetwin.analysis.anomalies import table

    lines = table(rows)
    if form == "json":
        shown = [
            {
                "strategy": row.variant.name,
                "storms": row.storms,
                "failed": dict(sorted(row.failed.items())),
                "judged": dict(sorted(row.judged.items())),
                "first_seed": dict(sorted(row.first_seed.items())),
            }
            for row in rows
        ]
        print(json.dumps(shown, indent=2))
    elif form == "md":
        print("| " + " | ".join(lines[0]) + " |")
        print("|" + "---|" * len(lines[0]))
        print(*("| " + " | ".join(line) + " |" for line in lines[1:]), sep="\n")
    else:
        widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
        for line in lines:
            padded = [text.rjust(width) for text, width in zip(line, widths, strict=True)]
            print(line[0].ljust(widths[0]), *padded[1:], sep="  ")
