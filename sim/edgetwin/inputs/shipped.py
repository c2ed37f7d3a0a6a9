"""The scenarios that edgetwin brings with it, and how one becomes a folder of the user's own."""

import os
import shutil
import tempfile
from pathlib import Path

import edgetwin
from edgetwin.errors import UsageError, did_you_mean
from edgetwin.inputs.folder import POLICIES, TOPOLOGIES, TOPOLOGY_FILE

SCHEMA_FILE = "topology.schema.json"
FORMAT_FILE = "FORMAT.md"
"""What `topologies/README.md`, the page on the format, is called in a copied scenario."""
_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")


def share() -> Path:
    """Return the folder that holds `topologies` and `policies`: of the install, or the checkout.

    Raises UsageError if neither is there.
    """
    package = Path(edgetwin.__file__).resolve().parent
    for folder in (package / "share", package.parent.parent):
        if (folder / TOPOLOGIES / SCHEMA_FILE).is_file():
            return folder
    raise UsageError("this installation brings no scenarios; install edgetwin from its wheel")


def names() -> list[str]:
    """Return the names of the scenarios that are there, sorted."""
    folders = (share() / TOPOLOGIES).iterdir()
    return sorted(folder.name for folder in folders if (folder / TOPOLOGY_FILE).is_file())


def copy(name: str, target: Path) -> list[Path]:
    """Make *target* a scenario folder that needs nothing outside it; return its files, sorted.

    Nothing is overwritten, and on an interruption nothing is left behind. Raises UsageError for a
    scenario that is unknown and a *target* that exists.
    """
    if name not in names():
        raise UsageError(f"there is no scenario {name!r}; {did_you_mean(name, names())}")
    if target.is_symlink() or (target.exists() and not _empty_folder(target)):
        raise UsageError(f"{target} exists already; give the name of a new folder")
    source = share()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".edgetwin-", dir=target.parent) as room:
            made = Path(room) / "scenario"
            shutil.copytree(
                source / TOPOLOGIES / name, made, ignore=_NOT_COPIED, copy_function=shutil.copyfile
            )
            shutil.copytree(
                source / POLICIES,
                made / POLICIES,
                ignore=_NOT_COPIED,
                copy_function=shutil.copyfile,
            )
            shutil.copyfile(source / TOPOLOGIES / SCHEMA_FILE, made / SCHEMA_FILE)
            shutil.copyfile(source / TOPOLOGIES / "README.md", made / FORMAT_FILE)
            _point_inwards(made / TOPOLOGY_FILE)
            # Onto an empty folder this succeeds, onto a filled one it fails: nothing is lost.
            os.rename(made, target)
    except OSError as error:
        place = error.filename or target
        raise UsageError(f"{place}: {error.strerror}; give a folder that can be made") from None
    return sorted(path for path in target.rglob("*") if path.is_file())


def _empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _point_inwards(path: Path) -> None:
    """Let the modeline and the comments of a topology name the copies beside it."""
    text = path.read_text(encoding="utf-8")
    text = text.replace(f"../{SCHEMA_FILE}", f"./{SCHEMA_FILE}").replace(
        "../README.md", FORMAT_FILE
    )
    path.write_text(text, encoding="utf-8")
