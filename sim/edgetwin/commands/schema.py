"""Print the JSON Schema of ``topology.yaml``, with which an editor completes and checks it."""

import argparse
import sys

HELP = "print the JSON Schema of topology.yaml, for editors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument(
        "--save", metavar="FILE", help="write it to FILE instead of the standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print or save the schema; return 0."""
    from pathlib import Path

    from edgetwin.errors import UsageError
    from edgetwin.inputs import schema

    if arguments.save is None:
        sys.stdout.write(schema.text())
        return 0
    try:
        Path(arguments.save).write_text(schema.text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.save}: {error.strerror}; give a file to write") from None
    return 0
