"""What is kept beside the database, so that the whole can come back: each kind in a module of its own.

A companion is taken right after the database's snapshot, while the archive is written or after it; the
manifest records its own moment, so that the skew between the two is there to be read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from deploy.backup.manifest import Companion, Part
from deploy.backup.naming import Identity
from deploy.backup.store import store_archive
from deploy.buckets import Bucket
from deploy.conf import DeployConf
from deploy.reporting.report import Step


@dataclass(frozen=True, slots=True)
class Folder:
    """One backup's folder in the bucket, for what is added to it before the manifest.

    Attributes:
        created: UTC, of the database's snapshot; what can be read as of then, should be.
        guard: called before each visible write.
        snapshot: what the dump reads, for another connection: PostgreSQL's exported snapshot, or the path of
            SQLite's copy; empty when it is over.
        stopped: set when the backup has failed: `store` ends then, and whoever waits should.
        recipients: the public keys that files are encrypted for; none: they are not.
    """

    bucket: Bucket
    identity: Identity
    backup_id: str
    created: datetime
    level: int
    guard: Callable[[], None]
    snapshot: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    recipients: tuple[str, ...] = ()

    def store(self, file: str, pieces: Iterator[bytes]) -> Part:
        """Stream `pieces` into the file `file` (compressed, checked); what `pieces` raises leaves none."""
        source = _Pieces(pieces, self.stopped)
        part, _ = store_archive(
            self.bucket,
            self.identity,
            self.backup_id,
            file,
            source,
            level=self.level,
            recipients=self.recipients,
            guard=self.guard,
            finish=lambda: None,
        )
        return part


class Abandoned(Exception):  # noqa: N818 – reads as the fact it is
    """What was being kept is not needed any more."""


class Keeper(Protocol):
    """Keeps one kind of companion. With a true `reads_snapshot` it is given the snapshot, and comes first."""

    kind: str

    def keep(self, folder: Folder, step: Step) -> Companion:
        """Keep it, and say what and of when.

        What goes wrong in a way that the database's backup survives is a finding of `step`.

        Raises:
            Refusal: when the backup should not go on without it.
        """


def keepers(conf: DeployConf) -> list[Keeper]:
    """Those that the configuration asks for, in the order in which they are taken.

    Each is imported only where it is asked for: what it needs may not be installed.
    """
    from .configuration import ConfigurationKeeper

    found: list[Keeper] = [ConfigurationKeeper(conf)]
    if conf.backup.media_bucket:
        from .media import MediaKeeper

        found.append(MediaKeeper(conf))
    # Before Firestore, which can still be read as of the snapshot: this one is of when it begins.
    if conf.backup.cloud_sql and conf.backup.cloud_sql.on_demand:
        from .cloudsql import CloudSQLKeeper

        found.append(CloudSQLKeeper(conf.backup.cloud_sql))
    if conf.backup.firestore and conf.backup.firestore.managed_export:
        from .firestore_managed import ManagedFirestoreKeeper

        found.append(ManagedFirestoreKeeper(conf.backup.firestore))
    if conf.backup.firestore and conf.backup.firestore.portable:
        from .firestore import FirestoreKeeper

        found.append(FirestoreKeeper(conf.backup.firestore))
    return found


class _Pieces:
    """Pieces as a stream to read."""

    def __init__(self, pieces: Iterator[bytes], stopped: threading.Event) -> None:
        self._pieces = pieces
        self._stopped = stopped
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        if self._stopped.is_set():
            raise Abandoned("the backup that this is a part of has failed")
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        taken = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(taken) :]
        return taken
