"""What is to say of a backup's grade and age: `deploy.B050` to `deploy.B059`, and B124, B125."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

PROOF_NOT_RECORDED = FindingType(
    "deploy.B050",
    "warning",
    "Backup {id} is proved to L{grade}, and that could not be recorded in its manifest: {reason}.",
    "Let this account overwrite manifest.json below {prefix} (roles/storage.objectUser, no retention policy "
    "there), then: python manage.py backups verify {id} --grade L{shown}",
    why="Without the record, retention and `migrategate apply` take the backup for an unproved one.",
)
MANIFEST_CHANGED = FindingType(
    "deploy.B051",
    "error",
    "The manifest of backup {id} is not the one that was proved: {what} changed meanwhile.",
    "Nothing but a proof is ever added to a manifest: look who wrote it, then: "
    "python manage.py backupdb --prove",
)
BACKUP_TOO_OLD = FindingType(
    "deploy.B052",
    "error",
    "The newest backup of {identity}{graded} is {age} old, and {most} is the most: {id}.",
    "python manage.py backupdb --prove",
    why="What was written since then is in no backup.",
)
NO_BACKUP = FindingType(
    "deploy.B053",
    "error",
    "There is no backup of {identity}{graded}.",
    "python manage.py backupdb --prove; then have it run every day: docs/how-to/back-up.md",
)
APPLY_NEEDS_BACKUP = FindingType(
    "deploy.B054",
    "error",
    "Migrations are applied only after a backup of grade {grade} that is at most {most} old, and {found}.",
    "{command}",
    why="DEPLOY['BACKUP_APPLY_GRADE'] and ['BACKUP_APPLY_MAX_AGE_SECONDS'] ask for it.",
)
PROVED_LESS = FindingType(
    "deploy.B055",
    "info",
    "DEPLOY['BACKUP_GRADE'] is {grade}: {left_out}.",
    "DEPLOY = {{…, 'BACKUP_GRADE': 'L3'}}",
    why="What is not rehearsed on the restored data is found by the live database.",
)
LEFT_ELSEWHERE = FindingType(
    "deploy.B056",
    "info",
    "Backup {id} goes, and what it names outside the bucket stays: {what}.",
    "Give it a lifetime of its own where it lies (a bucket's lifecycle rule, an instance's retention).",
)
DAMAGE_NOT_RECORDED = FindingType(
    "deploy.B112",
    "warning",
    "Backup {id} failed to be proved to L{grade}, and that could not be recorded in its manifest: {reason}.",
    "Let this account overwrite manifest.json below {prefix} (roles/storage.objectUser, no retention policy "
    "there), then: python manage.py backups verify {id} --grade L{shown}",
    why="Without the record, retention and `migrategate apply` go on taking it for a good one.",
)
DAMAGED = FindingType(
    "deploy.B113",
    "warning",
    "Backup {id} is damaged and does not count: its proof of L{grade} failed on {at:%Y-%m-%d %H:%M:%S} UTC.",
    "python manage.py backupdb --prove\n"
    "If what was damaged has been mended: python manage.py backups verify {id} --grade L{shown}",
)
CLONE_PROVES_LESS = FindingType(
    "deploy.B115",
    "error",
    "DEPLOY['BACKUP_APPLY_GRADE'] is {grade}, and the backup would be proved to L1 only: at {size} the "
    "database is rehearsed on a clone.",
    "DEPLOY = {{…, 'BACKUP_APPLY_GRADE': 'L1'}}, or a larger 'clone_over_bytes' in ['CLOUD_SQL']",
    why="Its migrations would be refused after the dump and the clone (deploy.B054).",
)
DATED_AHEAD = FindingType(
    "deploy.B116",
    "warning",
    "Backup {id} is dated {ahead} in the future and does not count.",
    "Set the clock of the machine that took it, or of this one (timedatectl), then: "
    "python manage.py backupdb --prove",
    why="How old it is cannot be known.",
)
NOT_RESTORED = FindingType(
    "deploy.B058",
    "warning",
    "The newest backup, {id}, was never restored (grade {grade}).",
    "python manage.py backups verify {id} --grade L2",
    why="Only a restore shows that a backup can be restored.",
)
DEFINITIONS_DIFFER = FindingType(
    "deploy.B124",
    "error",
    "The {kind} of backup {id} are not the same after its restore.",
    "See which, by the text that pg_dump --schema-only makes of both databases (python manage.py restoredb "
    "{id} --into NAME keeps what was restored), then take a new backup: python manage.py backupdb",
    why="How each of them is defined is compared (of large objects, the content) between servers of one "
    "major version; expressions without casts, parentheses and white space, which a restore may write "
    "otherwise.",
)
LARGE_OBJECTS_COUNTED = FindingType(
    "deploy.B125",
    "info",
    "The {count} large objects of {database!r} are more than {most} or {limit} in all, so they are counted "
    "and their content is not compared after a restore.",
    "Raise DEPLOY['BACKUP_DIGEST_LIMIT_BYTES'] if that is what they are over.",
)
