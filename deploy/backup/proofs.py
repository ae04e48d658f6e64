"""How far a backup is proved, from L0 to L3, and the record of it in the manifest.

L0: the stored bytes are those that were written. L1: they decode to the end. L2: restored into a scratch
database, every count and digest equal. L3: the migrations were rehearsed there. Each holds those before it.
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from deploy.buckets import Bucket
from deploy.buckets.base import BucketError, ObjectCorrupt, ObjectMissing, PreconditionFailed
from deploy.buckets.lost_answers import put_surely
from deploy.conf import DeployConf
from deploy.conf_backup import GRADES
from deploy.reporting.findings import Finding, Refusal
from deploy.reporting.report import Step

from .catalog import reread, verify
from .engines import identity_of
from .findings import (
    ARCHIVE_DAMAGED,
    CONTENT_DIFFERS,
    INTEGRITY,
    OBJECTS_DIFFER,
    ROWS_DIFFER,
    SEQUENCE_DIFFERS,
)
from .findings_of_proofs import (
    DAMAGE_NOT_RECORDED,
    DEFINITIONS_DIFFER,
    MANIFEST_CHANGED,
    PROOF_NOT_RECORDED,
)
from .manifest import Manifest, Part, Proof
from .restore import fill
from .scratch import proving_scratch

# A backup that is verified every night keeps its last proofs of each grade, not a thousand of them.
_KEPT_OF_A_GRADE = 5
_ATTEMPTS = 10
_PIECE_BYTES = 1024 * 1024
# What is wrong with a backup, and not with where it was looked at.
_OF_THE_BACKUP = frozenset(
    one.id
    for one in (
        ARCHIVE_DAMAGED,
        CONTENT_DIFFERS,
        DEFINITIONS_DIFFER,
        INTEGRITY,
        OBJECTS_DIFFER,
        ROWS_DIFFER,
        SEQUENCE_DIFFERS,
    )
)


def grade_number(grade: str) -> int:
    """2 for `L2`."""
    return GRADES.index(grade)


def grade_name(grade: int | None) -> str:
    """`L2` for 2, `none` for None."""
    return "none" if grade is None else GRADES[grade]


def grade_of(manifest: Manifest) -> str:
    """`L2`, `none`, or `damaged`."""
    return "damaged" if manifest.damage else grade_name(manifest.grade)


def prove(
    conf: DeployConf,
    bucket: Bucket,
    manifest: Manifest,
    grade: str,
    *,
    step: Step,
    guard: Callable[[], None] = lambda: None,
) -> Manifest:
    """Prove the backup to `L0`, `L1` or `L2` and record it; the facts of `step` say what was looked at.

    A difference that a restore shows is an error of the step; that, and damage, is recorded as a failure.

    Raises:
        Refusal: as `check_stored`, `verify`, `proving_scratch`, `restore_into` and `record`.
    """
    began = time.monotonic()
    step.facts["grade"] = grade
    with failures_recorded(conf, bucket, manifest, grade, step=step, guard=guard):
        if grade == "L0":
            step.facts.update(check_stored(bucket, manifest, step=step))
        elif grade == "L1":
            step.facts.update(verify(bucket, manifest, step=step))
        else:
            with proving_scratch(conf) as (engine, name):
                step.facts.update(fill(engine, bucket, manifest, name=name, step=step))
    if not step.ok:
        return manifest
    proof = proof_of(conf, grade, seconds=time.monotonic() - began, facts=step.facts)
    return record(bucket, manifest, proof, step=step, guard=guard)


@contextmanager
def failures_recorded(
    conf: DeployConf,
    bucket: Bucket,
    manifest: Manifest,
    grade: str,
    *,
    step: Step,
    guard: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Record in the manifest that the backup is damaged or came back different, if the block finds that.

    What is missing here (a key, a right, a bucket's answer) says nothing of the backup and is not recorded,
    and another environment's backup is that one's to judge.
    Where the record can't be written, that is a warning of `step` (deploy.B112).
    """
    began = time.monotonic()
    before = len(step.findings)
    found: Sequence[Finding] = ()
    try:
        yield
        found = step.findings[before:]
    except Refusal as refusal:
        found = refusal.findings
        raise
    finally:
        ours = manifest.identity == identity_of(conf)
        if ours and any(finding.id in _OF_THE_BACKUP for finding in found):
            failure = replace(proof_of(conf, grade, seconds=time.monotonic() - began, facts={}), ok=False)
            try:
                record(bucket, manifest, failure, step=step, guard=guard)
            except Refusal as refusal:  # what was found is to be told, not this
                step.add(_not_recorded(bucket, manifest, failure, refusal.findings[0].message.rstrip(".")))


def proof_of(conf: DeployConf, grade: str, *, seconds: float, facts: dict[str, Any]) -> Proof:
    """A proof that ends now. `facts` of a restore give the time to recover."""
    number = grade_number(grade)
    return Proof(
        grade=number,
        at=datetime.now(UTC),
        seconds=round(seconds, 3),
        by=conf.owner,
        rto_seconds=facts.get("rto_seconds") if number >= 2 else None,
    )


def check_stored(bucket: Bucket, manifest: Manifest, *, step: Step) -> dict[str, Any]:
    """L0: every file's size, SHA-256 and CRC32C, as they are stored; needs no key. Facts: sizes in bytes.

    Raises:
        Refusal: deploy.B004, exit code 1.
    """
    for part in manifest.files:
        name = manifest.object_name(part.file)
        try:
            wrong = _compare(bucket, name, part, step)
        except ObjectCorrupt as error:
            wrong = str(error)
        except ObjectMissing:
            wrong = "it is not in the bucket"
        if wrong:
            raise Refusal(ARCHIVE_DAMAGED(id=manifest.id, reason=wrong, place=name), exit_code=1)
    return {"backup": manifest.id, "files": len(manifest.files), "stored_bytes": manifest.stored_bytes}


def _compare(bucket: Bucket, name: str, part: Part, step: Step) -> str:
    """What is wrong with the stored bytes, in words, or nothing."""
    import google_crc32c

    sha256, crc32c, size = hashlib.sha256(), google_crc32c.Checksum(), 0
    with bucket.open_read(name) as reader:
        while piece := reader.read(_PIECE_BYTES):
            sha256.update(piece)
            crc32c.update(piece)
            size += len(piece)
            step.progress(size, part.stored_bytes, unit="bytes")
    for what, now, then in (
        ("size", size, part.stored_bytes),
        ("SHA-256", sha256.hexdigest(), part.sha256),
        ("CRC32C", b64encode(crc32c.digest()).decode(), part.crc32c),
    ):
        if now != then:
            return f"its {what} is {now}, and was {then}"
    return ""


def record(
    bucket: Bucket,
    manifest: Manifest,
    proof: Proof,
    *,
    step: Step,
    guard: Callable[[], None] = lambda: None,
) -> Manifest:
    """Write the manifest once more with the proof, over the generation that was read, and return it.

    Of two at once both end up in it. Where the bucket refuses (a retention policy), or the backup was pruned
    meanwhile, that is a warning of `step` (deploy.B050, B112 of a failure), and what is returned has the
    proof all the same.

    Raises:
        Refusal: deploy.B051 (exit code 1): the manifest in the bucket differs in more than its proofs.
    """
    try:
        # What was just made in memory has no generation yet; 0 would bring a pruned backup back.
        current = manifest if manifest.generation else _same_again(bucket, manifest)
        for _ in range(_ATTEMPTS):
            guard()
            proved = _with(current, proof)
            try:
                info = put_surely(
                    bucket,
                    current.manifest_name,
                    proved.to_bytes(),
                    if_generation=current.generation,
                    content_type="application/json",
                )
            except PreconditionFailed:
                current = _same_again(bucket, manifest)
                continue
            step.facts["proved" if proof.ok else "failed"] = grade_name(proof.grade)
            return replace(proved, generation=info.generation)
        reason = "others keep writing it"
    except ObjectMissing:
        reason = "it was pruned meanwhile"
    except (BucketError, ValueError) as error:
        reason = str(error).rstrip(".")
    step.add(_not_recorded(bucket, manifest, proof, reason))
    return _with(manifest, proof)


def _not_recorded(bucket: Bucket, manifest: Manifest, proof: Proof, reason: str) -> Finding:
    finding = PROOF_NOT_RECORDED if proof.ok else DAMAGE_NOT_RECORDED
    shown = min(proof.grade, 2)  # what `backups verify` can do
    prefix = f"{bucket.url}/{manifest.identity.prefix}"
    return finding(id=manifest.id, grade=proof.grade, reason=reason, prefix=prefix, shown=shown)


def _same_again(bucket: Bucket, manifest: Manifest) -> Manifest:
    """What is in the bucket now, if it is this manifest but for proofs."""
    now = reread(bucket, manifest)
    # As JSON: what was made in memory may have tuples where the stored one has lists.
    mine, theirs = (json.loads(replace(one, proofs=()).to_bytes()) for one in (manifest, now))
    changed = [key for key in mine if mine[key] != theirs[key]]
    if changed:
        raise Refusal(MANIFEST_CHANGED(id=manifest.id, what=", ".join(changed)), exit_code=1)
    return now


def _with(manifest: Manifest, proof: Proof) -> Manifest:
    """The manifest with one more proof, and of its grade only the last few; the last failure stays."""
    of_grade = [one for one in manifest.proofs if (one.grade, one.ok) == (proof.grade, proof.ok)]
    dropped = of_grade[: max(0, len(of_grade) + 1 - _KEPT_OF_A_GRADE)]
    kept = [one for one in manifest.proofs if one not in dropped and one != proof]
    return replace(manifest, proofs=(*kept, proof))
