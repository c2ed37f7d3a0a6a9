"""Write a complete scenario folder to start from."""

import argparse

HELP = "write a complete scenario folder to start from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument("scenario", metavar="SCENARIO", help="which to copy, such as smart-retail")
    parser.add_argument("folder", metavar="DIR", help="the folder to make; it must not exist yet")


def run(arguments: argparse.Namespace) -> int:
    """Copy the scenario and say what to do with it; return 0."""
    from pathlib import Path

    from edgetwin.inputs import shipped

    target = Path(arguments.folder)
    files = shipped.copy(arguments.scenario, target)
    print(f"{target}: {arguments.scenario}, {len(files)} files")
    for file in files:
        if file.parent == target:
            print(f"  {file.name}")
    print(f"  policies: {sum(file.parent != target for file in files)} files")
    print(f"now change {target / 'topology.yaml'} and run: edgetwin check {target}")
    return 0
