"""The media bucket beside the data: which generation of each file belongs to this backup.

The files themselves stay where they are. Their bucket keeps older generations (versioning, soft delete), and
the inventory says which ones the database's rows speak of.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploy.backup.manifest import Companion, Part
from deploy.buckets.base import BucketError
from deploy.buckets.versions import Version, Versions, open_versions
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType
from deploy.reporting.report import Step

from . import Folder
from .media_fields import NamesUnknown, file_fields, is_normal, names_of

KIND = "media"
FILE = "media.jsonl.zst"
_MOST_NAMES = 5
_PIECE_LINES = 2000

FILES_MISSING = FindingType(
    "deploy.B068",
    "warning",
    "{count} files that the database names are not in {url}: {names}.",
    "Look for older generations: gcloud storage ls --all-versions {url}",
    why="A row whose file is gone is broken already, before anything is restored.",
)
FILES_UNREFERENCED = FindingType(
    "deploy.B069",
    "info",
    "{count} of the {total} files in {url} are named by no row.",
    "They cost storage only; whatever deletes them, keep what the oldest backup needs.",
)
NO_INVENTORY = FindingType(
    "deploy.B070",
    "warning",
    "The files in {url} could not be inventoried, so the backup holds the database without them: {reason}.",
    "Check the name and the permission storage.objects.list: gcloud storage ls {url}",
)
NOT_CHECKED = FindingType(
    "deploy.B071",
    "warning",
    "Whether the files that the database names are in {url} could not be checked: {reason}.",
    "Correct what it names, then: python manage.py backupdb",
)


@dataclass
class Comparison:
    """The names that the database holds against the files that are there, as both streams went by."""

    objects: int = 0
    size_bytes: int = 0
    referenced: int = 0
    missing: int = 0
    missing_names: list[str] = field(default_factory=list)
    odd: int = 0


class MediaKeeper:
    """Keeps the inventory and compares it with the FileFields (see `Keeper`).

    Raises:
        Refusal: deploy.K005 where Google's library is not installed.
    """

    kind = KIND
    reads_snapshot = True

    def __init__(self, conf: DeployConf) -> None:
        self._conf = conf
        self._store = _Readable(open_versions(conf.backup.media_bucket))

    def keep(self, folder: Folder, step: Step) -> Companion:
        """Never stops a backup: what is missing is a finding (an error with `MEDIA_STRICT`)."""
        url = self._conf.backup.media_bucket
        began, moment = time.monotonic(), datetime.now(UTC)
        facts: dict[str, Any] = {"url": url}
        try:
            part, compared = self._inventory(folder, facts, step)
        except _UnreadableError as error:
            step.add(NO_INVENTORY(url=url, reason=error, place=url))
            return Companion(KIND, moment, None, {**facts, "failed": str(error)})
        facts["listing_seconds"] = round(time.monotonic() - began, 3)
        step.extend(self._findings(compared, facts))
        return Companion(KIND, moment, part, facts)

    def _inventory(self, folder: Folder, facts: dict[str, Any], step: Step) -> tuple[Part, Comparison]:
        """Store the inventory, with the comparison on the way; without it where that can't be done."""
        store = self._store
        compared = Comparison()
        try:
            fields, elsewhere = file_fields(self._conf)
            with names_of(self._conf, fields, folder.snapshot) as (names, not_there):
                found = compare(store.live(), names, compared, prefix=store.prefix)
                part = folder.store(FILE, lines(found))
        except _not_comparable() as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            step.add(NOT_CHECKED(url=store.url, reason=reason, place=store.url))
            compared = Comparison()
            part = folder.store(FILE, lines(counted(store.live(), compared)))
            facts.update(objects=compared.objects, size_bytes=compared.size_bytes, checked=False)
            return part, compared
        facts.update(
            objects=compared.objects,
            size_bytes=compared.size_bytes,
            checked=True,
            in_snapshot=bool(folder.snapshot),
            fields=[one.label for one in fields if one.label not in not_there],
            fields_elsewhere=elsewhere,
            fields_not_there=not_there,
            referenced=compared.referenced,
            missing=compared.missing,
            missing_names=compared.missing_names,
            unreferenced=compared.objects - compared.referenced,
            names_not_checked=compared.odd,
        )
        return part, compared

    def _findings(self, compared: Comparison, facts: dict[str, Any]) -> Iterator[Finding]:
        if not facts["checked"]:
            return
        url = facts["url"]
        if compared.missing:
            more = ", …" if compared.missing > len(compared.missing_names) else ""
            yield FILES_MISSING(
                count=compared.missing,
                url=url,
                names=", ".join(compared.missing_names) + more,
                place=url,
                level="error" if self._conf.backup.media_strict else None,
            )
        if facts["unreferenced"]:
            yield FILES_UNREFERENCED(count=facts["unreferenced"], total=compared.objects, url=url, place=url)


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


class _UnreadableError(Exception):
    """The media bucket's own error, told apart from those of the bucket that the inventory goes into."""


class _Readable:
    """The store's live files."""

    def __init__(self, store: Versions) -> None:
        self._store = store
        self.url, self.prefix = store.url, store.prefix

    def live(self) -> Iterator[Version]:
        try:
            yield from self._store.live()
        except BucketError as error:
            raise _UnreadableError(str(error).rstrip(".")) from error


def _not_comparable() -> tuple[type[Exception], ...]:
    """What keeps the comparison from being made, and the inventory not."""
    import sqlite3

    kinds: tuple[type[Exception], ...] = (NamesUnknown, OutOfOrder, sqlite3.Error)
    try:
        import psycopg
    except ImportError:
        return kinds
    return (*kinds, psycopg.Error)
