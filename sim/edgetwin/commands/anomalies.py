"""``edgetwin anomalies``: which conflict strategy permits which anomaly, measured."""

import argparse
import json

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


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 0, because an anomaly is what was asked for."""
    from edgetwin.analysis.anomalies import VARIANTS, measured, merge_policy, table, with_policy
    from edgetwin.errors import UsageError

    if arguments.storms < 1:
        raise UsageError(f"--storms {arguments.storms}: give at least 1")
    policies = dict(merge_policy(path) for path in arguments.policy)
    variants = [*VARIANTS]
    for name in policies:
        variants += [with_policy(name), with_policy(name, central=True)]
    seeds = range(arguments.seed, arguments.seed + arguments.storms)
    rows = measured(variants, seeds, policies, blind_share=arguments.blind)
    lines = table(rows)
    if arguments.format == "json":
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
    elif arguments.format == "md":
        print("| " + " | ".join(lines[0]) + " |")
        print("|" + "---|" * len(lines[0]))
        print(*("| " + " | ".join(line) + " |" for line in lines[1:]), sep="\n")
    else:
        widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
        for line in lines:
            padded = [text.rjust(width) for text, width in zip(line, widths, strict=True)]
            print(line[0].ljust(widths[0]), *padded[1:], sep="  ")
    return 0
