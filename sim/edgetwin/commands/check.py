"""``edgetwin check``: the gate. Load, simulate, judge; the exit code is the verdict."""

import argparse

from edgetwin import assessment

HELP = "simulate scenarios and judge them by their targets; the exit code is the verdict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="scenario folder, or its topology.yaml"
    )
    assessment.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge every scenario; 0 passed, 1 failed, 3 unknown, also where nothing was judged."""
    from edgetwin.checks.verdict import worst
    from edgetwin.report.content import EXIT_CODES

    reports = assessment.assess(arguments.paths, arguments, "check")
    return EXIT_CODES[worst(report.verdicts.result for report in reports)]
