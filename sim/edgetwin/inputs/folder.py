"""The folder of a scenario: which files it may name, and where its policy bundles lie."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOPOLOGY_FILE = "topology.yaml"
POLICIES = "policies"
TOPOLOGIES = "topologies"


class OutsideError(Exception):
    """A name leads out of the folder in which it may lie; the text says how it should be."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A scenario's folder and its topology file."""

    path: Path
    topology: Path

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "Folder":
        """Return the folder that *path* names, directly or by its topology file."""
        given = Path(path)
        if given.is_dir() or not given.suffix:
            return cls(given, given / TOPOLOGY_FILE)
        return cls(given.parent, given)

    def shown(self, path: Path) -> str:
        """Return how messages call *path*: as one can open it from where the command was given."""
        return str(path)

    def file(self, name: str) -> Path:
        """Return the path of *name*, a file or folder inside this one.

        Raises OutsideError if it is absolute, climbs out, or is a link that leads out.
        """
        return _inside(self.path, name)

    def manifests(self, name: str) -> list[Path]:
        """Return the manifest file *name*, or the YAML files of the folder *name* in order."""
        path = self.file(name)
        if path.is_dir():
            return sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml"))
        return [path]

    def policy_folders(self) -> Iterator[Path]:
        """Yield where bundles are looked for: here, then beside the `topologies` around this."""
        yield self.path / POLICIES
        for above in self.path.resolve().parents:
            if above.name == TOPOLOGIES:
                yield above.parent / POLICIES
                return

    def bundle(self, name: str) -> Path | None:
        """Return the path of the policy bundle *name*, None if there is none.

        Raises OutsideError if it is more than a plain file name, or is a link that leads out.
        """
        if "/" in name or "\\" in name or name in ("", ".", "..") or "\0" in name:
            raise OutsideError("write the bare name of a file in a 'policies' folder")
        for folder in self.policy_folders():
            path = _inside(folder, name)
            if path.is_file():
                return path
        return None

    def bundle_names(self) -> list[str]:
        """Return the names of all bundles that can be found, sorted."""
        found = {
            path.name
            for folder in self.policy_folders()
            if folder.is_dir()
            for path in folder.iterdir()
            if path.name.endswith((".tar.gz", ".wasm"))
        }
        return sorted(found)


def _inside(folder: Path, name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise OutsideError("write a path inside the scenario's folder, without '..'")
    full = folder / path
    if not full.resolve().is_relative_to(folder.resolve()):
        raise OutsideError("this link leads out of the folder; put the file itself there")
    return full
