"""Which backups there are: list them, read one's manifest, check one's archive."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deploy import conf as configuration
from deploy.buckets import Bucket
from deploy.buckets.base import ObjectCorrupt, ObjectInfo, ObjectMissing
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, Refusal
from deploy.reporting.report import Step

from .archive import ArchiveDamaged, Stored, read_archive
from .encryption import unsealing
from .engines import identity_of
from .findings import (
    ARCHIVE_DAMAGED,
    BACKUP_MISSING,
    FOREIGN_BACKUP,
    LATEST_UNREADABLE,
    MANIFEST_DAMAGED,
    UNREADABLE,
)
from .manifest import Manifest, Part
from .naming import MANIFEST, Identity, is_id


@dataclass(frozen=True, slots=True)
class Catalog:
    """What lies in the bucket for one database.

    Attributes:
        manifests: newest first.
        unreadable: a warning for each manifest that is there and cannot be used.
        unfinished: archives without a manifest: of a backup that was killed, or half pruned.
    """

    manifests: list[Manifest]
    unreadable: list[Finding]
    unfinished: list[ObjectInfo]


def scan(conf: DeployConf, bucket: Bucket, *, environment: str | None = None) -> Catalog:
    """Everything under this database's own folder, and nothing else."""
    identity = _identity(conf, environment)
    found: dict[str, dict[str, ObjectInfo]] = {}
    for info in bucket.list(identity.prefix):
        backup_id, _, file_name = info.name.removeprefix(identity.prefix).partition("/")
        if is_id(backup_id) and file_name and "/" not in file_name:
            found.setdefault(backup_id, {})[file_name] = info
    manifests: list[Manifest] = []
    unreadable: list[Finding] = []
    unfinished: list[ObjectInfo] = []
    for backup_id, files in found.items():
        if MANIFEST not in files:
            unfinished.extend(files.values())
            continue
        try:
            manifests.append(_read(bucket, identity, backup_id, files[MANIFEST].generation))
        except ObjectMissing:
            continue  # pruned since the listing
        except ValueError as error:
            unreadable.append(UNREADABLE(id=backup_id, reason=error, place=files[MANIFEST].name))
    manifests.sort(key=lambda manifest: (manifest.created, manifest.id), reverse=True)
    return Catalog(manifests, unreadable, unfinished)


def list_backups(conf: DeployConf, bucket: Bucket) -> list[Manifest]:
    """The backups of this project, environment and database, newest first; unreadable ones are left out."""
    return scan(conf, bucket).manifests


def read_manifest(
    conf: DeployConf, bucket: Bucket, backup_id: str, *, environment: str | None = None
) -> Manifest:
    """The manifest of one backup, or of the newest for the id `latest`.

    Args:
        environment: take it from another environment of this project.

    Raises:
        Refusal: deploy.B001 absent; deploy.B002 damaged; deploy.B011 it is another environment's; deploy.B095
            the newest is damaged, and `latest` was asked for.
    """
    identity = _identity(conf, environment)
    if backup_id == "latest":
        return _latest(identity, scan(conf, bucket, environment=environment))
    if not is_id(backup_id):
        raise Refusal(BACKUP_MISSING(id=backup_id, identity=identity))
    name = identity.object_name(backup_id, MANIFEST)
    info = bucket.stat(name)
    if info is None:
        raise Refusal(_elsewhere(bucket, identity, backup_id))
    try:
        return _read(bucket, identity, backup_id, info.generation)
    except ObjectMissing as error:
        raise Refusal(BACKUP_MISSING(id=backup_id, identity=identity)) from error
    except ValueError as error:
        raise Refusal(MANIFEST_DAMAGED(name=name, reason=error, place=name)) from error


def verify(bucket: Bucket, manifest: Manifest, *, step: Step) -> dict[str, Any]:
    """Read every archive: SHA-256, sizes, and every frame's checksum. Facts: sizes in bytes.

    Raises:
        Refusal: deploy.B004, exit code 1.
    """
    for part in manifest.parts:
        with open_archive(bucket, manifest, part, step) as raw:
            for _ in raw:
                pass
    return {
        "backup": manifest.id,
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": manifest.stored_bytes,
        "sha256": {part.file: part.sha256 for part in manifest.parts},
    }


@contextmanager
def open_archive(bucket: Bucket, manifest: Manifest, part: Part, step: Step) -> Iterator[Iterator[bytes]]:
    """One archive's raw bytes; what is wrong with them is a refusal (deploy.B004) from within the block.

    One that is encrypted is read with the private key of `BACKUP_AGE_IDENTITY`: it belongs to this machine,
    not to the call. Raises Refusal (deploy.B101 to B105) without it.
    """
    name = manifest.object_name(part.file)
    unseal = unsealing(configuration.load(), manifest) if manifest.encryption else None
    try:
        with bucket.open_read(name) as reader:
            stored = Stored(part.raw_bytes, part.stored_bytes, part.sha256, part.crc32c)
            yield _counted(read_archive(reader, stored, unseal=unseal), stored.raw_bytes, step)
    except (ArchiveDamaged, ObjectCorrupt) as error:
        raise Refusal(ARCHIVE_DAMAGED(id=manifest.id, reason=error, place=name), exit_code=1) from error
    except ObjectMissing as error:
        raise Refusal(
            ARCHIVE_DAMAGED(id=manifest.id, reason="it is not in the bucket", place=name), exit_code=1
        ) from error


def _counted(raw: Iterator[bytes], total_bytes: int, step: Step) -> Iterator[bytes]:
    done = 0
    for piece in raw:
        done += len(piece)
        step.progress(done, total_bytes, unit="bytes")
        yield piece


def _identity(conf: DeployConf, environment: str | None) -> Identity:
    identity = identity_of(conf)
    return dataclasses.replace(identity, environment=environment) if environment else identity


def _read(bucket: Bucket, identity: Identity, backup_id: str, generation: int) -> Manifest:
    try:
        raw = bucket.read(identity.object_name(backup_id, MANIFEST))
    except ObjectCorrupt as error:
        raise ValueError(str(error)) from error
    manifest = Manifest.from_bytes(raw, generation=generation)
    if (manifest.identity, manifest.id) != (identity, backup_id):
        raise ValueError(f"it says that it is {manifest.id} of {manifest.identity}")
    return manifest


def _latest(identity: Identity, found: Catalog) -> Manifest:
    newest = found.manifests[0] if found.manifests else None
    for finding in found.unreadable:
        backup_id = (finding.place or "").split("/")[-2]
        if newest is None or backup_id > newest.id:
            older = newest.id if newest else "none"
            raise Refusal(finding, LATEST_UNREADABLE(identity=identity, id=backup_id, older=older))
    if newest is None:
        raise Refusal(BACKUP_MISSING(id="latest", identity=identity))
    return newest


def _elsewhere(bucket: Bucket, identity: Identity, backup_id: str) -> Finding:
    """The backup is absent here; say so if another environment of this project has it."""
    project_folder = "/".join(identity.prefix.split("/")[:2]) + "/"
    for info in bucket.list(project_folder):
        if info.name.endswith(f"/{backup_id}/{MANIFEST}"):
            try:
                theirs = Manifest.from_bytes(bucket.read(info.name)).identity
            except (ValueError, ObjectMissing, ObjectCorrupt):
                continue
            return FOREIGN_BACKUP(id=backup_id, theirs=theirs, ours=identity, environment=theirs.environment)
    return BACKUP_MISSING(id=backup_id, identity=identity)
