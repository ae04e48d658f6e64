"""The inventory: every file of a bucket in its listing's order, compared, written and read in passing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from deploy.backup.archive import ArchiveDamaged
from deploy.buckets.versions import Version

from .media_fields import is_normal

_MOST_NAMES = 5
_PIECE_LINES = 2000


@dataclass
class Comparison:
    """The names that the database holds against the files that are there, as both streams went by."""

    objects: int = 0
    size_bytes: int = 0
    referenced: int = 0
    missing: int = 0
    missing_names: list[str] = field(default_factory=list)
    odd: int = 0


class OutOfOrder(ValueError):  # noqa: N818 – reads as the fact it is
    """A stream that should be sorted is not, so the comparison would be wrong."""


def compare(
    files: Iterable[Version], names: Iterable[bytes], compared: Comparison, *, prefix: str
) -> Iterator[Version]:
    """The files as they come, while they are compared with `names`: both sorted, neither held in memory.

    A name outside `prefix` is not of this bucket's part that is kept, and counts as odd, like one that a
    storage would read otherwise than it stands there.
    """
    wanted = _sorted(names)
    inside = prefix.encode()
    name = next(wanted, None)
    last = b""

    def pass_by(name: bytes) -> None:
        if not name.startswith(inside) or not is_normal(name):
            compared.odd += 1
            return
        compared.missing += 1
        if len(compared.missing_names) < _MOST_NAMES:
            compared.missing_names.append(name.decode(errors="backslashreplace"))

    for file in counted(files, compared):
        key = file.key
        if key < last:
            raise OutOfOrder(f"the bucket lists {file.name!r} out of order")
        last = key
        while name is not None and name < key:
            pass_by(name)
            name = next(wanted, None)
        if name == key:
            compared.referenced += 1
            name = next(wanted, None)
        yield file
    while name is not None:
        pass_by(name)
        name = next(wanted, None)


def _sorted(names: Iterable[bytes]) -> Iterator[bytes]:
    last = b""
    for name in names:
        if name < last:
            raise OutOfOrder(f"the database gives {name!r} out of order")
        last = name
        yield name


def counted(files: Iterable[Version], compared: Comparison) -> Iterator[Version]:
    """The files as they come, counted."""
    for file in files:
        compared.objects += 1
        compared.size_bytes += file.size_bytes
        yield file


def lines(files: Iterable[Version]) -> Iterator[bytes]:
    """The inventory: a JSON object a line, `[name, generation, crc32c, size in bytes]`, sorted by name."""
    piece: list[str] = []
    for file in files:
        # ASCII, because a name of a folder may be no UTF-8; its odd bytes come back from the escapes.
        piece.append(json.dumps([file.name, file.generation, file.crc32c, file.size_bytes]))
        if len(piece) == _PIECE_LINES:
            yield ("\n".join(piece) + "\n").encode()
            piece.clear()
    if piece:
        yield ("\n".join(piece) + "\n").encode()


def read_lines(pieces: Iterable[bytes]) -> Iterator[Version]:
    """Back from `lines`, whatever the pieces are.

    Raises:
        ArchiveDamaged: a line that `lines` does not write.
    """
    rest = b""
    number = 0
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            yield _version(line, number)
    if rest:
        raise ArchiveDamaged(f"it ends within line {number + 1}")


def _version(line: bytes, number: int) -> Version:
    try:
        name, generation, crc32c, size_bytes = json.loads(line)
        return Version(str(name), int(generation), int(size_bytes), str(crc32c))
    except (ValueError, TypeError) as error:
        raise ArchiveDamaged(f"its line {number} is not one of an inventory") from error
