"""The import map: who may import whom, and what a quick command must not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sim" / "edgetwin"
TUI = Path(__file__).parents[1] / "tui"
MODULES = sorted(PACKAGE.rglob("*.py"))

OWNERS = {
    "yaml": ("inputs/", "policy/"),
    "simpy": ("engine/",),
    "wasmtime": ("policy/",),
    "networkx": ("routes.py",),
    "pandas": ("analysis/", "report/", "history.py"),
    "altair": ("analysis/", "report/"),
    "scipy": (),
    "textual": (),
}
"""Library to the rooms that may import it; `History.frame` gives a pandas frame when asked for."""

APART = ("inputs", "engine", "checks")


def imported(path: Path) -> set[str]:
    """Return every module that *path* imports anywhere, for types only or not."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def reached(start: Path) -> set[Path]:
    """Return every module of the package that *start* reaches through its imports."""
    by_name = {
        "edgetwin." + room(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): (
            path
        )
        for path in MODULES
        if path != PACKAGE / "__init__.py"
    }
    seen, waiting = {start}, [start]
    while waiting:
        for name in sorted(imported(waiting.pop())):
            found = by_name.get(name)
            if found and found not in seen:
                seen.add(found)
                waiting.append(found)
    return seen


@pytest.mark.parametrize("path", MODULES, ids=room)
def test_a_library_is_imported_only_by_the_room_that_owns_it(path):
    for library, owners in OWNERS.items():
        if any(name.split(".")[0] == library for name in imported(path)):
            assert room(path).startswith(owners or ("nobody",)), f"{room(path)} imports {library}"


@pytest.mark.parametrize("name", APART)
def test_inputs_engine_and_checks_never_reach_one_another(name):
    others = tuple(f"{other}/" for other in APART if other != name)

    crossing = {
        room(target)
        for path in MODULES
        if room(path).startswith(f"{name}/")
        for target in reached(path)
        if room(target).startswith(others)
    }

    assert crossing == set()


@pytest.mark.parametrize("path", MODULES, ids=room)
def test_edgetwin_never_imports_its_terminal_ui(path):
    if room(path) == "commands/tui.py":
        pytest.skip("the one command that starts it")
    assert not any(name.startswith("edgetwin_tui") for name in imported(path))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["check", "--help"], ["nonsense"]]
)
def test_quick_commands_load_nothing_heavy(arguments):
    script = (
        "import sys\n"
        "from edgetwin.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'simpy', 'networkx', 'numpy', 'wasmtime', 'pydantic', 'textual', 'rich', 'yaml',"
        " 'jinja2', 'asyncio', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "print('LOADED', sorted(heavy))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "LOADED []"
