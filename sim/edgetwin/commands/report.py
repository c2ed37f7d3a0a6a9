"""``edgetwin report``: a saved history's results again, in any format."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgetwin.assessment import add_outputs
from edgetwin.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from edgetwin.history import History

HELP = "show the results of a saved history again, in any format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument("history", type=Path, metavar="HISTORY", help="directory made by --save")
    parser.add_argument(
        "--scenario",
        metavar="PATH",
        help="judge by this scenario's targets, not by those saved with the history",
    )
    add_outputs(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge the history again and report; 0 without targets, else as ``check``."""
    from edgetwin import __version__
    from edgetwin.checks import check
    from edgetwin.report.content import report_of
    from edgetwin.report.outputs import outputs, write
    from edgetwin.terms import terms, terms_of

    chosen = outputs(arguments.output)
    histories = _histories(arguments.history)
    first = next(iter(histories.values()))
    if arguments.scenario:
        from edgetwin.inputs.scenario import load

        given = terms_of(load(arguments.scenario))
    else:
        meta = first.meta.get("terms")
        if not isinstance(meta, dict):
            raise ScenarioError(
                [
                    Problem(
                        str(arguments.history),
                        0,
                        "meta.json",
                        "the targets were not saved with this history",
                        "give --scenario PATH",
                    )
                ]
            )
        given = terms(meta, file=str(arguments.history / "meta.json"))
    report = report_of(
        given,
        histories,
        check(given, histories),
        path=str(arguments.history),
        version=__version__,
    )
    write(chosen, [report])
    return report.exit_code if report.judged else 0


_NEEDED = {
    "seed": int,
    "reading": str,
    "digest": str,
    "start_epoch_us": int,
    "storm_end_us": int,
    "end_us": int,
}


def _histories(place: Path) -> "dict[str, History]":
    """Load the one history at *place*, or those below it, by reading."""
    from edgetwin import history

    if (place / "meta.json").exists() or not place.is_dir():
        loaded = [history.load(place)]
    else:
        loaded = [history.load(path.parent) for path in sorted(place.glob("*/meta.json"))]
    if not loaded:
        raise ScenarioError([Problem(str(place), 0, "", "no saved history in it", "see --save")])
    for one in loaded:
        for key, kind in _NEEDED.items():
            if not isinstance(one.meta.get(key), kind):
                found = f"{key!r} is {one.meta.get(key)!r}, not {kind.__name__}"
                raise ScenarioError([Problem(str(place), 0, "meta.json", found, "save it anew")])
    return {str(one.meta["reading"]): one for one in loaded}
