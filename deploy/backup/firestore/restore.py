"""Restore a portable export: into an empty database, or where it stopped, and compare every document."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deploy.backup.catalog import open_archive
from deploy.backup.manifest import Companion, Manifest, Part
from deploy.buckets import Bucket
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .comparing import Compared, compare
from .connection import USER, VIEWER, Database, connected, failed, refusing
from .findings import DIFFERS, NOT_EMPTY, NOT_KEPT
from .lines import NotAnExport, exported_documents, message_of, mover
from .ramp import Ramp, Unhurried
from .reading import count, is_empty, server_time
from .values import Digest, UnknownValue
from .writing import DocumentRefused, create_all

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

KIND = "firestore"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Attributes:
        endpoint: see `connected`.
        keep_references: references to documents of the source stay references to the source; otherwise they
            are made to point to the same documents in the target.
        into_nonempty: other documents, and other content under the same name, stay and are no reason to stop.
    """

    target: Database
    endpoint: str = ""
    keep_references: bool = False
    into_nonempty: bool = False


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What the restore would do.

    Attributes:
        moment: ISO 8601, UTC, what the export shows is of then.
        documents: of the export. present: how many documents the target holds now.
        create: how many the restore will create.
        references: `rewritten` or `kept`.
    """

    backup: str
    source: str
    target: str
    moment: str
    documents: int
    present: int
    create: int
    references: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return asdict(self)


def kept_export(manifest: Manifest) -> tuple[Companion, Part]:
    """The backup's portable export.

    Raises:
        Refusal: deploy.B081 when there is none.
    """
    for companion in manifest.companions:
        if companion.kind == KIND:
            if companion.part is None:
                said = companion.facts.get("reason", "not stored")
                raise Refusal(NOT_KEPT(id=manifest.id, what="portable", reason=said))
            return companion, companion.part
    raise Refusal(NOT_KEPT(id=manifest.id, what="portable", reason="it was taken without one"))


def plan_restore(bucket: Bucket, manifest: Manifest, wish: Wish, *, step: Step) -> RestorePlan:
    """Look at the target; where it is not empty, compare it with the export, document by document.

    A target that holds nothing but documents of the backup, unchanged, is one whose restore was broken off:
    it may go on.

    Raises:
        Refusal: deploy.B081; B082 (exit code 1) when the target holds something else; B004, B075 to B079.
    """
    companion, _ = kept_export(manifest)
    documents = int(companion.facts["documents"])
    with connected(wish.target, wish.endpoint) as client, _refusing(wish.target, "read", VIEWER):
        if is_empty(client, wish.target):
            _read_whole(bucket, manifest, wish)
            present, create = 0, documents
        else:
            # Both as of one moment: another restore may be writing.
            moment = server_time(client, wish.target)
            found = _compare(client, bucket, manifest, wish, step, moment)
            present, create = count(client, wish.target, moment), found.missing
            foreign = present - found.equal - found.different
            if (foreign or found.different) and not wish.into_nonempty:
                raise Refusal(
                    NOT_EMPTY(
                        target=wish.target,
                        id=manifest.id,
                        foreign=foreign,
                        different=found.different,
                        project=wish.target.project,
                    ),
                    exit_code=1,
                )
    return RestorePlan(
        backup=manifest.id,
        source=str(_source(companion)),
        target=str(wish.target),
        moment=companion.moment.isoformat(),
        documents=documents,
        present=present,
        create=create,
        references="kept" if wish.keep_references else "rewritten",
    )


def restore(bucket: Bucket, manifest: Manifest, wish: Wish, *, step: Step) -> dict[str, Any]:
    """Create what is missing and compare every document with the export. It overwrites nothing, ever.

    Killed at any moment, the same call goes on; two at once do no harm.

    Returns:
        Facts: `target`, `documents`, `created`, `existing`, `digest`, `restore_seconds`, `compare_seconds`.

    Raises:
        Refusal: as `plan_restore`; deploy.B083 (exit code 1) when the target is not as the export says.
    """
    companion, _ = kept_export(manifest)
    began = time.monotonic()
    ramp = Unhurried() if wish.endpoint else Ramp()
    with connected(wish.target, wish.endpoint) as client, _refusing(wish.target, "written", USER):
        with _exported(bucket, manifest, wish) as exported:
            total = int(companion.facts["documents"])
            written = create_all(
                client,
                wish.target,
                (message_of(name, fields) for name, fields in exported),
                ramp=ramp,
                progress=lambda done: step.progress(done, total, unit="documents"),
            )
        restored = time.monotonic()
        found = _compare(client, bucket, manifest, wish, step)
    if not found.whole:
        raise Refusal(
            DIFFERS(
                target=wish.target,
                id=manifest.id,
                documents=total,
                missing=found.missing,
                different=found.different,
                first=found.first,
                project=wish.target.project,
            ),
            exit_code=1,
        )
    return {
        "target": str(wish.target),
        "documents": total,
        "created": written.created,
        "existing": written.existing,
        "digest": companion.facts["digest"],
        "restore_seconds": round(restored - began, 3),
        "compare_seconds": round(time.monotonic() - restored, 3),
    }


def _source(companion: Companion) -> Database:
    return Database.from_path(str(companion.facts["database"]))


def _compare(
    client: FirestoreClient,
    bucket: Bucket,
    manifest: Manifest,
    wish: Wish,
    step: Step,
    moment: datetime | None = None,
) -> Compared:
    companion, _ = kept_export(manifest)
    total = int(companion.facts["documents"])
    with _exported(bucket, manifest, wish) as exported:
        return compare(
            client,
            wish.target,
            exported,
            moment=moment,
            progress=lambda done: step.progress(done, total, unit="documents", note="compared"),
        )


def _read_whole(bucket: Bucket, manifest: Manifest, wish: Wish) -> None:
    """A damaged export is found before the first document is written."""
    with _exported(bucket, manifest, wish) as exported:
        for _ in exported:
            pass


@contextmanager
def _exported(
    bucket: Bucket, manifest: Manifest, wish: Wish
) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """The export's documents as they are to be in the target; at the end they are held to the manifest."""
    companion, part = kept_export(manifest)
    source, digest = _source(companion), Digest()
    rename = mover(source, wish.target)
    refer = (lambda name: name) if wish.keep_references else rename
    # Progress is told in documents by whoever takes them, not in bytes of the archive.
    with open_archive(bucket, manifest, part, Step("read")) as raw:
        yield exported_documents(raw, source, digest, rename=rename, refer=refer)
    if digest.hexdigest() != companion.facts["digest"]:
        raise NotAnExport(f"its documents have the digest {digest.hexdigest()}, not the manifest's")


@contextmanager
def _refusing(database: Database, action: str, role: str) -> Iterator[None]:
    """What goes wrong on the way becomes a refusal."""
    with refusing(database, action, role):
        try:
            yield
        except (NotAnExport, DocumentRefused, UnknownValue) as error:
            raise Refusal(failed(database, action, error)) from error
