"""Take a backup: the dump streams through compression and checksums into the bucket, the manifest follows."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.buckets import Bucket
from deploy.buckets.lost_answers import put_surely, stat_surely
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import EXIT_REFUSED, Step

from .companions import Folder, keepers
from .companions.beside import Beside
from .encryption import METHOD, require_recipients
from .engines import engine_of
from .findings_of_dump import FILE_NOT_KEPT
from .manifest import Manifest
from .naming import MANIFEST, Identity, new_id
from .parts import store_parts


def create_backup(
    conf: DeployConf,
    bucket: Bucket,
    *,
    release: str,
    step: Step,
    guard: Callable[[], None],
    commit: str = "",
) -> Manifest:
    """Back up the configured database and return the manifest, which is in the bucket by then.

    Nothing is visible before every archive is whole, and no backup exists before its manifest, whenever this
    is killed. The dump programs' exit codes are checked before an archive is let into the bucket.

    Args:
        release: what it is taken for; part of the id.
        step: progress in raw bytes; facts `backup`, sizes, rows; findings of what a backup does not hold.
        guard: called before each visible write.
        commit: of the release, where it is known.

    Raises:
        Refusal: exit 1 when the dump failed, 2 when the database, its client programs or the engine are
            not usable.
        BucketError: the bucket could not be written, or it does not say whether the manifest was: if it
            was, the backup is whole.
    """
    engine = engine_of(conf)
    identity = Identity(conf.project, conf.environment, engine.database_name())
    recipients = require_recipients(conf)
    guard()
    with Beside(keepers(conf), step) as beside:
        with engine.source() as source:
            began, created = time.monotonic(), source.moment
            backup_id = new_id(created, release)
            folder = Folder(
                bucket,
                identity,
                backup_id,
                created,
                conf.backup.compression_level,
                guard,
                snapshot=source.snapshot,
                recipients=recipients,
            )
            beside.start(folder, stop=source.stop)
            parts, facts = store_parts(
                bucket,
                identity,
                backup_id,
                engine.archive,
                source,
                level=conf.backup.compression_level,
                guard=guard,
                step=step,
                recipients=recipients,
            )
            seconds = time.monotonic() - began
            beside.release()
        companions = beside.finish()
    manifest = Manifest(
        id=backup_id,
        project=identity.project,
        environment=identity.environment,
        database=identity.database,
        engine=engine.kind,
        server_version=facts.server_version,
        client_version=facts.client_version,
        release=release,
        commit=commit,
        created=created,
        duration_seconds=round(seconds, 3),
        parts=parts,
        tables=facts.contents.tables,
        digests=facts.contents.digests,
        samples=facts.contents.samples,
        definitions=facts.contents.definitions,
        digest_method=facts.digest_method,
        objects=facts.contents.objects,
        sequences=facts.contents.sequences,
        migrations=facts.migrations,
        extensions=facts.extensions,
        locale=dict(facts.locale),
        encryption={"method": METHOD, "recipients": list(recipients)} if recipients else {},
        companions=companions,
    )
    _require_files(bucket, manifest)
    guard()
    put_surely(
        bucket,
        identity.object_name(backup_id, MANIFEST),
        manifest.to_bytes(),
        if_generation=0,
        content_type="application/json",
    )
    step.extend(facts.findings)
    step.facts.update(
        stored_bytes=manifest.stored_bytes,
        raw_bytes=manifest.raw_bytes,
        tables=len(manifest.tables),
        rows=sum(manifest.tables.values()),
        archives=len(manifest.parts),
        digested_tables=len(manifest.digests),
        sampled_tables=len(manifest.samples),
        skew_seconds=manifest.skew_seconds,
        backup=backup_id,
    )
    return manifest


def _require_files(bucket: Bucket, manifest: Manifest) -> None:
    """Every file is still there as it was written: a backup that runs for days may have been cleaned up."""
    for part in manifest.files:
        name = manifest.object_name(part.file)
        info = stat_surely(bucket, name)
        if info is None or info.generation != part.generation:
            now = "it is gone" if info is None else f"generation {info.generation}, not {part.generation}"
            prefix = f"{bucket.url}/{manifest.identity.prefix}"
            raise Refusal(
                FILE_NOT_KEPT(id=manifest.id, name=name, now=now, prefix=prefix), exit_code=EXIT_REFUSED
            )
