"""Bundle archives are opened here, on the assumption that whoever made them means harm.

A member that would land outside the archive's root, a link, a device, a name given twice, more
members or bytes than the limits: each refuses the whole archive. Nothing is written to disk.
"""

import gzip
import io
import lzma
import posixpath
import tarfile
import zlib
from dataclasses import dataclass

from edgetwin.policy.errors import ArchiveError


@dataclass(frozen=True)
class ArchiveLimits:
    """How much an archive may hold. OPA's own limit is 1 GiB a file (facts/opa-wasm.md, 2.1); an
    edge node of 4 GB cannot give that, so ours are lower. They are arguments, not constants."""

    members: int = 10_000
    member_bytes: int = 64 * 2**20
    total_bytes: int = 256 * 2**20


class _Metered(io.RawIOBase):
    """A stream that refuses to give more than *limit_bytes* bytes."""

    def __init__(self, source: gzip.GzipFile, limit_bytes: int) -> None:
        self.source = source
        self.left_bytes = limit_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        block = self.source.read(self.left_bytes + 1 if size < 0 else size)
        self.left_bytes -= len(block)
        if self.left_bytes < 0:
            raise OverflowError
        return block


def read_archive(name: str, raw: bytes, limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    """Return the files of the ``.tar.gz`` *raw* by path (``/data.json``), in the archive's order.

    Raises ArchiveError, naming the bundle *name* and the member, for anything but plain files
    and folders within *limits*.
    """
    limits = limits or ArchiveLimits()
    files: dict[str, bytes] = {}
    try:
        stream = _Metered(gzip.GzipFile(fileobj=io.BytesIO(raw)), limits.total_bytes)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for count, member in enumerate(tar, start=1):
                if count > limits.members:
                    raise ArchiveError(name, f"has more than {limits.members} members")
                if member.isdir():
                    continue
                path = _path(name, member)
                if path in files:
                    raise ArchiveError(name, f"holds {path} twice")
                if member.size > limits.member_bytes:
                    raise ArchiveError(
                        name,
                        f"member {path} has {member.size} bytes",
                        f"at most {limits.member_bytes} are accepted",
                    )
                content = tar.extractfile(member)
                assert content is not None, member.name
                files[path] = content.read()
                if len(files[path]) != member.size:
                    raise ArchiveError(name, f"member {path} is cut short")
    except OverflowError:
        raise ArchiveError(
            name,
            f"unpacks to more than {limits.total_bytes} bytes",
            "a bundle that compresses this well is either a bomb or needs a higher limit",
        ) from None
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ArchiveError(name, f"is not a whole .tar.gz archive: {error}") from None
    except (ValueError, OSError, RecursionError) as error:  # malformed headers, of many kinds
        raise ArchiveError(name, f"has a malformed header: {error}") from None
    return files


def _path(name: str, member: tarfile.TarInfo) -> str:
    """Return the member's path from the archive's root, or refuse it."""
    shown = member.name[:80]
    if not member.isreg():
        raise ArchiveError(name, f"member {shown!r} is a link or a special file")
    parts = member.name.split("/")
    if ".." in parts or "\\" in member.name or "\x00" in member.name:
        raise ArchiveError(name, f"member {shown!r} escapes the archive")
    return posixpath.normpath("/" + member.name.lstrip("/"))
