"""``edgetwin COMMAND ...``: arguments become calls, their results become an exit code.

0 every check passed, 1 a check failed, 2 wrong input or usage, 3 nothing failed but something is
unknown, 70 a bug of ours, 130 interrupted. A command is a module of `edgetwin.commands`, imported
only when it is asked for.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from edgetwin import __version__
from edgetwin.errors import ScenarioError, UsageError, did_you_mean

COMMANDS = (
    "check", "run", "report", "figures", "trace", "policy", "anomalies", "profile", "init",
    "schema",
)  # fmt: skip
"""In the order in which a newcomer needs them."""

WRONG_INPUT, BUG, INTERRUPTED = 2, 70, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("EDGETWIN_DEBUG", "") not in ("", "0")
    try:
        if not words or words[0] in ("-h", "--help", "--version"):
            return _about(words)
        known = [name for name in COMMANDS if _exists(name)]
        if words[0] not in known:
            raise UsageError(f"no command {words[0]!r}; {did_you_mean(words[0], known)}")
        command = _module(words[0])
        arguments = _parser(words[0], command).parse_args(words[1:])
        debug = debug or arguments.verbose
        code: int = command.run(arguments)
        return code
    except (ScenarioError, UsageError) as error:
        problems = error.problems if isinstance(error, ScenarioError) else [error]
        for problem in problems:
            print(problem if isinstance(error, ScenarioError) else f"edgetwin: {problem}",
                  file=sys.stderr)  # fmt: skip
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("edgetwin: interrupted; no result was written", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debug:
            import traceback

            traceback.print_exc()
        kind = type(error).__name__
        print(
            f"edgetwin: internal error: {kind}: {str(error)[:2_000]}\n"
            f"This is a bug in edgetwin {__version__}, not in your input. Please report it with "
            "the traceback that EDGETWIN_DEBUG=1 or -v shows.",
            file=sys.stderr,
        )
        return BUG


def _about(words: Sequence[str]) -> int:
    """Print the version or, with every command's line, the help."""
    if words[:1] == ["--version"]:
        print(f"edgetwin {__version__}")
        return 0
    lines = "\n".join(f"  {name:<10} {_module(name).HELP}" for name in COMMANDS if _exists(name))
    print(
        "usage: edgetwin COMMAND ...\n\n"
        "Tells, before anything is deployed, whether K3s edge sites keep serving while they are\n"
        f"cut off.\n\ncommands:\n{lines}\n\n"
        "options:\n"
        "  --version  print the version\n"
        "  -h         this help; after a command, that command's\n\n"
        "exit codes: 0 passed, 1 failed, 2 wrong input or usage, 3 unknown, 70 a bug, 130\n"
        "interrupted.  First steps: edgetwin init smart-retail ./mine && edgetwin check ./mine"
    )
    return 0 if words else WRONG_INPUT


def _exists(name: str) -> bool:
    return find_spec(f"edgetwin.commands.{name}") is not None


def _module(name: str) -> ModuleType:
    return import_module(f"edgetwin.commands.{name}")


def _parser(name: str, command: ModuleType) -> argparse.ArgumentParser:
    summary = command.HELP[0].upper() + command.HELP[1:]
    parser = argparse.ArgumentParser(prog=f"edgetwin {name}", description=f"{summary}.")
    command.add_arguments(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the traceback of an internal error"
    )
    return parser
