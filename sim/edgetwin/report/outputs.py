"""Where results go: ``-o FORMAT[:PATH]``, said before a run and written whole after it."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edgetwin.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from edgetwin.report.content import Report

FORMATS: dict[str, str] = {
    "text": "edgetwin.report.terminal:render",
    "json": "edgetwin.report.json_report:render",
}
"""Format to the function that renders it: ``render(reports: Sequence[Report]) -> str``."""


@dataclass(frozen=True)
class Output:
    """One format, and the file that it goes to; none: standard output."""

    format: str
    path: Path | None = None


def outputs(asked: Sequence[str]) -> tuple[Output, ...]:
    """Return what ``-o`` *asked* for, and text on standard output unless another format goes there.

    Raises UsageError if a format is unknown, two want one place, or a file could not be written:
    before the run, not after it.
    """
    chosen = [_output(text) for text in asked]
    if not any(output.path is None for output in chosen):
        chosen.insert(0, Output("text"))
    places = [output.path for output in chosen]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"two formats for {place or 'standard output'}; name another file")
    return tuple(chosen)


def _output(text: str) -> Output:
    name, colon, place = text.partition(":")
    if name not in FORMATS:
        raise UsageError(f"-o {text}: unknown format {name!r}; {did_you_mean(name, FORMATS)}")
    if not colon:
        return Output(name)
    path = Path(place)
    if not place or path.is_dir():
        raise UsageError(f"-o {text}: {place!r} is no file; name one, such as {name}:result.{name}")
    check_writable(path, f"-o {text}")
    return Output(name, path)


def check_writable(path: Path, option: str) -> None:
    """Raise UsageError, naming *option*, if *path* could not be made in its folder."""
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"{option}: there is no folder {str(folder)!r}; make it first")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UsageError(f"{option}: {str(path)!r} cannot be written; choose another place")


def write(chosen: Sequence[Output], reports: Sequence["Report"]) -> None:
    """Render *reports* in every chosen format: files first, whole or not at all, then stdout."""
    rendered = [(output, _renderer(output.format)) for output in chosen]
    for output, render in rendered:
        if output.path is not None:
            write_whole(output.path, render(reports))
    for output, render in rendered:
        if output.path is None:
            how = _terminal(sys.stdout) if output.format == "text" else {}
            print_whole(sys.stdout, render(reports, **how))


def _renderer(name: str) -> Callable[..., str]:
    module, _, function = FORMATS[name].partition(":")
    render: Callable[..., str] = getattr(import_module(module), function)
    return render


def _terminal(stream: TextIO) -> dict[str, Any]:
    """Say how text may be shown on *stream*: colour on a terminal, glyphs where it has them."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    try:
        "✓✗≥≤…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return {"color": stream.isatty() and not plain, "ascii_only": True}
    return {"color": stream.isatty() and not plain}


def write_whole(path: Path, text: str) -> None:
    """Write *text* to a temporary file beside *path*, then rename it: whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # A temporary file is private; the result is as open as any file made here.
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def print_whole(stream: TextIO, text: str) -> None:
    """Print *text*; a reader that closed its pipe, such as ``head``, is no error."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Or the interpreter would complain when it flushes the stream once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
