"""SQLite: its backup API into a file beside the live one, and an exchange of files by rename.

The API copies pages, so it needs a file to copy to: `serialize()` would hold the whole database in memory,
and `iterdump` loses what has no SQL (page size, user_version, virtual tables). The copy lies beside the live
file, under a scratch name that `drop_stale_scratch` clears away should we be killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.db import connections

from deploy.backup.archive import Readable
from deploy.backup.contents import Contents
from deploy.backup.findings import DATABASE_EXISTS, IN_MEMORY, INTEGRITY, NAME_INVALID, SQLITE_BUSY
from deploy.backup.findings_of_restore import DISK_TOO_SMALL
from deploy.backup.manifest import Manifest
from deploy.backup.naming import Identity
from deploy.conf import DeployConf
from deploy.databases.postgresql import BUSY, UNREACHABLE
from deploy.reporting.facts import human_bytes
from deploy.reporting.findings import Refusal

from . import SourceFacts, Stream
from .sqlite_tables import copy_tables

if TYPE_CHECKING:
    from deploy.backup.restore import Saved

DIGEST_METHOD = "none: the archive holds the file byte by byte"

_COMPANIONS = ("-wal", "-shm", "-journal")
_BESIDE = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_MOMENT = re.compile(r"\d{8}T\d{6}")
_BUSY_SECONDS = 5.0
_WRITER_SECONDS = 60.0


class SQLite:
    """The engine of one alias (see `deploy.backup.engines.Engine`)."""

    kind = "sqlite"
    archive = "archive.sqlite3.zst"

    def __init__(self, conf: DeployConf) -> None:
        self.conf = conf
        self.alias = conf.database
        name = str(connections[self.alias].settings_dict["NAME"])
        if name == ":memory:" or name.startswith("file:") or not name:
            raise Refusal(IN_MEMORY(name=name))
        # Beside the file itself and not beside a link to it, which a rename would replace.
        self.live = Path(name).resolve()
        self._name = Path(name).name

    def database_name(self) -> str:
        return self._name

    @contextmanager
    def source(self) -> Iterator[_Copy]:
        """A consistent copy of the live file, gone at the end of the block."""
        identity = Identity(self.conf.project, self.conf.environment, self.database_name())
        prefix = identity.scratch_prefix(self.conf.scratch_prefix)
        copy = Path(self.scratch_name(prefix, f"copy-{secrets.token_hex(4)}"))
        with self.locked(str(copy), "copying"):
            try:
                copy.touch(mode=0o600, exist_ok=False)
                # The API waits while a writer has the file, and reads from one snapshot.
                with closing(self._open_live()) as live, closing(sqlite3.connect(copy)) as target:
                    moment = datetime.now(UTC)
                    live.backup(target, progress=_patience(self.live))
                with copy.open("rb") as stream:
                    yield _Copy(copy, stream, moment)
            finally:
                self.drop(str(copy))

    def _open_live(self) -> sqlite3.Connection:
        try:
            return _open(self.live)
        except sqlite3.OperationalError as error:  # it is not there, or not ours to read
            raise Refusal(UNREACHABLE(name=str(self.live), alias=self.alias, reason=str(error))) from error

    def restore(self, saved: Saved, name: str, *, grants: bool = False) -> dict[str, float]:  # noqa: ARG002 – the protocol's
        target = Path(name)
        self._require_room(saved.manifest, target.parent)
        began = time.monotonic()
        target.touch(mode=0o600, exist_ok=False)
        try:
            with saved.open(saved.manifest.parts[0]) as raw, target.open("wb") as out:
                self._same_access(target)
                for piece in raw:
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
        except BaseException:
            self.drop(name)
            raise
        return {"read_seconds": time.monotonic() - began}

    def _require_room(self, manifest: Manifest, folder: Path) -> None:
        free = shutil.disk_usage(folder).free
        if free < manifest.raw_bytes:
            needed = human_bytes(manifest.raw_bytes)
            raise Refusal(DISK_TOO_SMALL(id=manifest.id, needed=needed, disk=folder, free=human_bytes(free)))

    def _same_access(self, path: Path) -> None:
        """The owner and mode of the live file: whoever serves it must be able to, and nobody else."""
        path.chmod(0o600)
        with suppress(FileNotFoundError):
            live = self.live.stat()
            with suppress(PermissionError):
                os.chown(path, live.st_uid, live.st_gid)
            path.chmod(stat.S_IMODE(live.st_mode))

    def fill_tables(self, saved: Saved, name: str, tables: Sequence[str]) -> dict[str, float]:  # noqa: ARG002 – the protocol's
        return self.restore(saved, name)  # the archive is one file

    def check_beside(self, name: str) -> str:
        if not _BESIDE.match(name):
            raise Refusal(NAME_INVALID(name=name, reason="it is not of small letters, digits and _"))
        beside = str(self.live.with_name(f"{self.live.stem}_{name}{self.live.suffix}"))
        if self.exists(beside):
            raise Refusal(NAME_INVALID(name=name, reason=f"there is already a file {beside}"))
        return beside

    def move_tables(self, scratch: str, tables: Sequence[str], beside: str) -> None:
        filling = Path(scratch).with_name(f"{Path(scratch).stem}_new.sqlite3")
        self.drop(str(filling))
        try:
            filling.touch(mode=0o600)
            self._same_access(filling)
            copy_tables(Path(scratch), filling, tables)
            self.rename(str(filling), beside)
        finally:
            self.drop(str(filling))

    def contents(self, name: str, manifest: Manifest) -> Contents:  # noqa: ARG002 – the protocol's
        with closing(_open(Path(name))) as connection:
            try:
                said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
            except sqlite3.DatabaseError as error:
                said = [str(error)]
            if said != ["ok"]:
                raise Refusal(INTEGRITY(name=name, reason="; ".join(said)), exit_code=1)
            return _measure(connection)

    def contents_now(
        self,
        manifest: Manifest,  # noqa: ARG002 – the protocol's
        *,
        limit_bytes: int,  # noqa: ARG002 – there are no estimates
    ) -> tuple[Contents, frozenset[str]]:
        with closing(_open(self.live)) as connection:
            return _measure(connection), frozenset()

    def check_name(self, name: str) -> str:
        path = Path(name)
        path = path if path.is_absolute() else self.live.parent / path
        if "\0" in name or not path.name:
            raise Refusal(NAME_INVALID(name=name, reason="it is empty or holds a zero byte"))
        if not path.parent.is_dir():
            raise Refusal(NAME_INVALID(name=name, reason=f"there is no folder {path.parent}"))
        return str(path)

    def scratch_name(self, prefix: str, rest: str) -> str:
        return str(self.live.with_name(f"{prefix}{rest}.sqlite3"))

    def filling_name(self, prefix: str, name: str) -> str:
        # In the folder of `name`, which may be on another disk: a file gets its name only where it lies.
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return str(Path(name).with_name(f"{prefix}into_{digest}.sqlite3"))

    def is_named(self, name: str, prefix: str) -> bool:
        path = Path(name)
        return path.parent == self.live.parent and path.name.startswith(prefix) and path != self.live

    def connections(self) -> int:
        return 0  # a swap ends none: it is refused while another process has the file

    def exists(self, name: str) -> bool:
        # A journal without its file counts: SQLite would play it into whatever gets the name.
        return any(os.path.lexists(name + companion) for companion in ("", *_COMPANIONS))

    def names(self, prefix: str) -> list[str]:
        return sorted(
            str(path)
            for path in self.live.parent.iterdir()
            if path.name.startswith(prefix) and not path.name.endswith(_COMPANIONS)
        )

    def drop(self, name: str) -> None:
        for path in (Path(name), *(Path(name + companion) for companion in _COMPANIONS)):
            path.unlink(missing_ok=True)

    def rename(self, before: str, after: str) -> None:
        # A link fails where a rename would replace. Killed between the two, the scratch name is a second one.
        try:
            os.link(before, after)
        except FileExistsError as error:
            raise Refusal(DATABASE_EXISTS(name=after)) from error
        Path(before).unlink()
        _sync_folder(Path(after).parent)

    @contextmanager
    def locked(self, name: str, doing: str) -> Iterator[None]:
        # Not beside the database: a lock file must never be deleted, and would be litter there.
        key = hashlib.sha256(str(Path(name).absolute()).encode()).hexdigest()[:32]
        path = Path(tempfile.gettempdir()) / f"deploy-{os.getuid()}-{key}.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Refusal(BUSY(doing=doing, name=name)) from error
            yield
        finally:
            os.close(handle)

    def _replaced_parts(self) -> tuple[str, str]:
        return f"{self.live.stem}_before_", self.live.suffix

    def replaced_name(self, moment: str) -> str:
        before, suffix = self._replaced_parts()
        return str(self.live.with_name(before + moment + suffix))

    def is_replaced(self, name: str) -> bool:
        before, suffix = self._replaced_parts()
        path = Path(name)
        if path.parent != self.live.parent or not (
            path.name.startswith(before) and path.name.endswith(suffix)
        ):
            return False
        return bool(_MOMENT.fullmatch(path.name.removeprefix(before).removesuffix(suffix)))

    def replaced(self) -> list[str]:
        # One that is the live file itself is left of a swap that was killed between its two steps.
        return [
            name
            for name in self.names(self._replaced_parts()[0])
            if self.is_replaced(name) and not (self.live.exists() and Path(name).samefile(self.live))
        ]

    def size_bytes(self, name: str) -> int:
        return Path(name).stat().st_size

    def is_there(self) -> bool:
        return self.live.exists()

    def require_replaceable(self) -> None:
        """Whoever may write the restored file beside the live one may rename both."""

    def swap(self, *, new: str, old: str) -> list[str]:
        """The live file gets a second name, then the new one takes the first: it is never without a file.

        Killed between the two, the second name is of the live file itself; the next swap removes it. The
        live file leaves WAL mode first, which needs every other process to have closed it: a write-ahead
        log that stays behind would be taken for the new file's.
        """
        connections[self.alias].close()
        for leftover in self.names(self._replaced_parts()[0]):
            if self.is_replaced(leftover) and self.live.exists() and Path(leftover).samefile(self.live):
                Path(leftover).unlink()
        if not self.live.exists():
            Path(new).replace(self.live)
            return []
        try:
            with closing(_open(self.live)) as live:
                live.isolation_level = None
                live.execute("PRAGMA journal_mode=DELETE")
                live.execute("BEGIN EXCLUSIVE")
                os.link(self.live, old)
                Path(new).replace(self.live)
                _sync_folder(self.live.parent)
        except sqlite3.OperationalError as error:
            raise Refusal(SQLITE_BUSY(name=self.live, reason=error)) from error
        return []


class _Copy:
    """The source: the copied file."""

    def __init__(self, path: Path, stream: Readable, moment: datetime) -> None:
        self.moment = moment
        self.streams: tuple[Stream, ...] = (Stream(stream, lambda: None),)
        self.expected_bytes = path.stat().st_size
        self.snapshot = str(path)
        self._path = path

    def stop(self) -> None:
        """A file ends by itself."""

    def finish(self) -> SourceFacts:
        with closing(_open(self._path)) as connection:
            return SourceFacts(
                server_version=sqlite3.sqlite_version,
                client_version=sqlite3.sqlite_version,
                contents=_measure(connection),
                digest_method=DIGEST_METHOD,
                migrations=_migrations(connection),
                locale={"encoding": str(connection.execute("PRAGMA encoding").fetchone()[0])},
            )


def _patience(path: Path) -> Callable[[int, int, int], None]:
    """For the backup API, which by itself waits for a writer without end."""
    began = time.monotonic()

    def look(status: int, _remaining: int, _total: int) -> None:
        waits = status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        if waits and time.monotonic() - began > _WRITER_SECONDS:
            reason = f"a writer has held it for {_WRITER_SECONDS:g} s"
            raise Refusal(SQLITE_BUSY(name=path, reason=reason))

    return look


def _open(path: Path) -> sqlite3.Connection:
    # Read-write, because reading a database in WAL mode may have to recover its log; never created.
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_BUSY_SECONDS)


def _measure(connection: sqlite3.Connection) -> Contents:
    # A virtual table needs its module to be counted; what it stores is in tables of its own anyway.
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        " AND sql NOT LIKE 'CREATE VIRTUAL TABLE%' ORDER BY name"
    ).fetchall()
    tables = {}
    for (name,) in names:
        quoted = str(name).replace('"', '""')
        counted = connection.execute(f'SELECT count(*) FROM "{quoted}"')  # noqa: S608 – a name can't be bound
        tables[str(name)] = int(counted.fetchone()[0])
    kinds = {"index": "indexes", "view": "views", "trigger": "triggers"}
    found = dict(connection.execute("SELECT type, count(*) FROM sqlite_master GROUP BY type").fetchall())
    return Contents(tables, {}, {plural: int(found.get(kind, 0)) for kind, plural in kinds.items()})


def _migrations(connection: sqlite3.Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with suppress(sqlite3.OperationalError):  # a database without Django's table
        for app, name in connection.execute("SELECT app, name FROM django_migrations ORDER BY id"):
            found.setdefault(app, []).append(name)
    return found


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
