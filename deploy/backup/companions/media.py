"""The media bucket beside the data: which generation of each file belongs to this backup.

The files themselves stay where they are. Their bucket keeps older generations (versioning, soft delete), and
the inventory says which ones the database's rows speak of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from deploy.backup.manifest import Companion, Part
from deploy.buckets.base import BucketError
from deploy.buckets.versions import Version, Versions, open_versions
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.report import Step

from . import Folder
from .media_fields import NamesUnknown, file_fields, names_of
from .media_inventory import Comparison, OutOfOrder, compare, counted, lines

KIND = "media"
FILE = "media.jsonl.zst"

FILES_MISSING = FindingType(
    "deploy.B068",
    "warning",
    "{count} files that the database names are not in {url}: {names}.",
    "If an older backup names them: python manage.py backups media ID --bring-back --dry-run",
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
            # The manifest is not encrypted, and names may be of people.
            missing_names=[] if folder.recipients else compared.missing_names,
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


def files_missing(conf: DeployConf) -> int | None:
    """How many files the database names now and the media bucket lacks; None: that can't be found out."""
    compared = Comparison()
    try:
        store = _Readable(open_versions(conf.backup.media_bucket))
        fields, _ = file_fields(conf)
        with names_of(conf, fields, "") as (names, _):
            for _file in compare(store.live(), names, compared, prefix=store.prefix):
                pass
    except (_UnreadableError, Refusal):
        return None
    except _not_comparable():
        return None
    return compared.missing


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

    from django.core.exceptions import ImproperlyConfigured

    # ImproperlyConfigured: of a storage that a field names and STORAGES lacks, or that can't be made.
    kinds: tuple[type[Exception], ...] = (NamesUnknown, OutOfOrder, ImproperlyConfigured, sqlite3.Error)
    try:
        import psycopg
    except ImportError:
        return kinds
    return (*kinds, psycopg.Error)
