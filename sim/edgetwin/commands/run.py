"""``edgetwin run``: one simulation and its summary; judged only where there are targets."""

import argparse

from edgetwin import assessment

HELP = "simulate a scenario once and show what happened; judge only if it has targets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument("path", metavar="TOPOLOGY", help="scenario folder, or its topology.yaml")
    assessment.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Simulate and report; 0 without targets, else as ``check``."""
    (report,) = assessment.assess([arguments.path], arguments, "run")
    return report.exit_code if report.judged else 0
