"""Which backups there are: list them, read one's manifest, check one's archive."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from deploy import conf as configuration
from deploy.buckets import Bucket
from deploy.buckets.base import ObjectCorrupt, ObjectInfo, ObjectMissing
from deploy.conf import DeployConf
from deploy.reporting.facts import human_seconds
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
from .findings_of_proofs import DAMAGED, DATED_AHEAD
from .manifest import Manifest, Part
from .naming import MANIFEST, Identity, is_id, is_moment

# A manifest is small, and the way to it is long: so many are on it at once.
_READERS = 16
_FEW = 8
# Two machines' clocks may differ by so much; beyond it a backup "of the future" would be young for too long.
_CLOCKS_DIFFER_SECONDS = 300


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
    found = _folders(bucket, identity)
    whole = [files[MANIFEST] for files in found.values() if MANIFEST in files]
    read = _read_all(bucket, identity, whole)
    manifests = [one for one in read if isinstance(one, Manifest)]
    manifests.sort(key=lambda manifest: (manifest.created, manifest.id), reverse=True)
    return Catalog(
        manifests,
        unreadable=[one for one in read if isinstance(one, Finding)],
        unfinished=[info for files in found.values() if MANIFEST not in files for info in files.values()],
    )


def newest(
    conf: DeployConf,
    bucket: Bucket,
    *,
    least_grade: int | None = None,
    environment: str | None = None,
    sound: bool = False,
) -> tuple[Manifest | None, list[Finding]]:
    """The newest backup (of at least this grade), and a warning for each newer one that can't be read.

    Reads no more manifests than it must: an id begins with its time.

    Args:
        sound: pass over those known to be damaged and those dated in the future too, with a warning.
    """
    passed: list[Finding] = []
    for one in _newest_first(bucket, _identity(conf, environment)):
        if isinstance(one, Finding):
            passed.append(one)
        elif sound and (unsound := _unsound(one)):
            passed.append(unsound)
        elif least_grade is None or (one.grade is not None and one.grade >= least_grade):
            return one, passed
    return None, passed


def _unsound(manifest: Manifest) -> Finding | None:
    """Why it is not to be relied on, if that is known: a proof failed, or its date is not its age."""
    if damage := manifest.damage:
        shown = min(damage.grade, 2)  # what `backups verify` can do
        return DAMAGED(id=manifest.id, grade=damage.grade, at=damage.at.astimezone(UTC), shown=shown)
    if manifest.age_seconds < -_CLOCKS_DIFFER_SECONDS:
        return DATED_AHEAD(id=manifest.id, ahead=human_seconds(-manifest.age_seconds))
    return None


def list_backups(conf: DeployConf, bucket: Bucket) -> list[Manifest]:
    """The backups of this project, environment and database, newest first; unreadable ones are left out."""
    return scan(conf, bucket).manifests


def read_manifest(
    conf: DeployConf, bucket: Bucket, backup_id: str, *, environment: str | None = None
) -> Manifest:
    """The manifest of one backup, or of the newest for the id `latest`.

    Args:
        backup_id: its time alone (`20261125T013645123Z`) will do where only one has it.
        environment: take it from another environment of this project.

    Raises:
        Refusal: deploy.B001 absent; deploy.B002 damaged; deploy.B011 it is another environment's; deploy.B095
            the newest is damaged, and `latest` was asked for.
    """
    identity = _identity(conf, environment)
    if backup_id == "latest":
        return _latest(identity, *newest(conf, bucket, environment=environment))
    if is_moment(backup_id):
        backup_id = _by_moment(bucket, identity, backup_id)
    if not is_id(backup_id):
        raise Refusal(BACKUP_MISSING(id=backup_id, identity=identity))
    name = identity.object_name(backup_id, MANIFEST)
    try:
        info = bucket.stat(name)
        if info is None:
            raise Refusal(_elsewhere(bucket, identity, backup_id))
        return _read(bucket, identity, backup_id, info.generation)
    except ObjectMissing as error:
        raise Refusal(BACKUP_MISSING(id=backup_id, identity=identity)) from error
    except (ValueError, ObjectCorrupt) as error:
        raise Refusal(MANIFEST_DAMAGED(name=name, reason=error, place=name)) from error


def verify(bucket: Bucket, manifest: Manifest, *, step: Step) -> dict[str, Any]:
    """Read every archive and companion: SHA-256, sizes, every frame's checksum. Facts: sizes in bytes.

    Raises:
        Refusal: deploy.B004, exit code 1.
    """
    for part in manifest.files:
        with open_archive(bucket, manifest, part, step) as raw:
            for _ in raw:
                pass
    return {
        "backup": manifest.id,
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": manifest.stored_bytes,
        "sha256": {part.file: part.sha256 for part in manifest.files},
    }


@contextmanager
def open_archive(
    bucket: Bucket, manifest: Manifest, part: Part, step: Step, *, lasting: bool = True
) -> Iterator[Iterator[bytes]]:
    """One archive's raw bytes; what is wrong with them is a refusal (deploy.B004) from within the block.

    Who writes each piece and forgets it can do without `lasting` ones (see `frames.decoded`): it is faster.

    One that is encrypted is read with the private key of `BACKUP_AGE_IDENTITY`: it belongs to this machine,
    not to the call. Raises Refusal (deploy.B101 to B105) without it.
    """
    name = manifest.object_name(part.file)
    unseal = unsealing(configuration.load(), manifest) if manifest.encryption else None
    try:
        with bucket.open_read(name) as reader:
            stored = Stored(part.raw_bytes, part.stored_bytes, part.sha256, part.crc32c)
            yield _counted(
                read_archive(reader, stored, unseal=unseal, lasting=lasting), stored.raw_bytes, step
            )
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


def reread(bucket: Bucket, manifest: Manifest) -> Manifest:
    """The manifest as it is in the bucket now.

    Raises:
        ObjectMissing: it was pruned. ValueError: it can't be used, in words.
    """
    info = bucket.stat(manifest.manifest_name)
    if info is None:
        raise ObjectMissing(f"{bucket.url}/{manifest.manifest_name} does not exist")
    return _read(bucket, manifest.identity, manifest.id, info.generation)


def _folders(bucket: Bucket, identity: Identity) -> Mapping[str, Mapping[str, ObjectInfo]]:
    """What lies in each backup's folder, by id and file name."""
    found: dict[str, dict[str, ObjectInfo]] = {}
    for info in bucket.list(identity.prefix):
        backup_id, _, file_name = info.name.removeprefix(identity.prefix).partition("/")
        if is_id(backup_id) and file_name and "/" not in file_name:
            found.setdefault(backup_id, {})[file_name] = info
    return found


def _newest_first(bucket: Bucket, identity: Identity) -> Iterator[Manifest | Finding]:
    found = _folders(bucket, identity)
    for backup_id in sorted(found, reverse=True):
        if MANIFEST in found[backup_id]:
            one = _read_or_say(bucket, identity, found[backup_id][MANIFEST])
            if one is not None:
                yield one


def _read_all(
    bucket: Bucket, identity: Identity, infos: Sequence[ObjectInfo]
) -> list[Manifest | Finding | None]:
    if len(infos) <= _FEW:
        return [_read_or_say(bucket, identity, info) for info in infos]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="manifests") as pool:
        return list(pool.map(lambda info: _read_or_say(bucket, identity, info), infos))


def _read_or_say(bucket: Bucket, identity: Identity, info: ObjectInfo) -> Manifest | Finding | None:
    """The manifest, a warning that it can't be used, or None: pruned since the listing."""
    backup_id = info.name.split("/")[-2]
    try:
        return _read(bucket, identity, backup_id, info.generation)
    except ObjectMissing:
        return None
    except ValueError as error:
        return UNREADABLE(id=backup_id, reason=error, place=info.name)


def _by_moment(bucket: Bucket, identity: Identity, moment: str) -> str:
    """The one id that begins with it, or `moment` where none or several do."""
    names = bucket.list(f"{identity.prefix}{moment}-")
    found = {name.name.removeprefix(identity.prefix).partition("/")[0] for name in names}
    return found.pop() if len(found) == 1 else moment


def _latest(identity: Identity, found: Manifest | None, passed: Sequence[Finding]) -> Manifest:
    if passed:
        backup_id = (passed[0].place or "").split("/")[-2]
        older = found.id if found else "none"
        raise Refusal(passed[0], LATEST_UNREADABLE(identity=identity, id=backup_id, older=older))
    if found is None:
        raise Refusal(BACKUP_MISSING(id="latest", identity=identity))
    return found


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
