"""What backups and restores have to say: the findings `deploy.B001` and on."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

BACKUP_MISSING = FindingType(
    "deploy.B001",
    "error",
    "There is no backup {id!r} of {identity}.",
    "python manage.py backups list",
)
MANIFEST_DAMAGED = FindingType(
    "deploy.B002",
    "error",
    "The manifest {name} cannot be used: {reason}.",
    "Take another backup: python manage.py backups list",
)
DUMP_FAILED = FindingType(
    "deploy.B003",
    "error",
    "{tool} could not dump the database {database!r}: {reason}.",
    "Correct what it names, then: python manage.py backupdb",
)
ARCHIVE_DAMAGED = FindingType(
    "deploy.B004",
    "error",
    "The archive of backup {id} is damaged: {reason}.",
    "Use another backup (python manage.py backups list) and take a new one now: python manage.py backupdb",
)
RESTORE_FAILED = FindingType(
    "deploy.B005",
    "error",
    "{tool} could not restore backup {id} into {database!r}: {reason}.",
    "Correct what it names, then run it again; this backup is not proved until it is restored.",
)
ROWS_DIFFER = FindingType(
    "deploy.B006",
    "error",
    "The table {table} has {restored} rows after the restore of backup {id}, and {saved} were saved.",
    "Do not rely on this backup; take a new one: python manage.py backupdb",
)
CONTENT_DIFFERS = FindingType(
    "deploy.B007",
    "error",
    "The rows of table {table} are not the same after the restore of backup {id} "
    "(digest {restored}, was {saved}).",
    "Look for a type whose text depends on the server (python manage.py restoredb {id} --into NAME keeps "
    "what was restored), or do not rely on this backup: python manage.py backupdb",
)
OBJECTS_DIFFER = FindingType(
    "deploy.B008",
    "error",
    "The restore of backup {id} has {restored} {kind}, and there were {saved} when it was taken.",
    "Compare the schemas, pg_dump --schema-only of both databases (python manage.py restoredb {id} --into "
    "NAME keeps what was restored); then take a new backup: python manage.py backupdb",
)
DATABASE_EXISTS = FindingType(
    "deploy.B009",
    "error",
    "There is already a database {name!r}; a restore only goes into a new one.",
    "Choose another name for --into.",
)
NOT_SCRATCH = FindingType(
    "deploy.B010",
    "error",
    "{name!r} is not a scratch database of {identity}, and is not touched.",
    "Scratch databases of this project begin with {prefix}.",
)
FOREIGN_BACKUP = FindingType(
    "deploy.B011",
    "error",
    "The backup {id} is of {theirs}, and this is {ours}.",
    "Name where it comes from if you mean it: --from-environment {environment!q}",
)
NOT_CONFIRMED = FindingType(
    "deploy.B012",
    "error",
    "Replacing the database {database!r} needs its name typed, and {given}.",
    "python manage.py restoredb {id} --yes-replace {database!q}",
)
WRONG_ENGINE = FindingType(
    "deploy.B013",
    "error",
    "The backup {id} is of {theirs}, and the database is {ours}.",
    "Point DEPLOY['DATABASE'] at a database of the same engine.",
)
NAME_INVALID = FindingType(
    "deploy.B014",
    "error",
    "The name {name!r} cannot be used: {reason}.",
    "Use letters, digits and _ , at most 63 bytes.",
)
IN_MEMORY = FindingType(
    "deploy.B015",
    "error",
    "The SQLite database {name!r} is not a file, so there is nothing to back up or restore.",
    "Set DATABASES[...]['NAME'] to a path.",
)
NOT_REPLACED = FindingType(
    "deploy.B016",
    "error",
    "{name!r} is not a database that a restore put aside, and is not dropped.",
    "Those are named {pattern}.",
)
REPLACED = FindingType(
    "deploy.B017",
    "info",
    "The database {live!r} is now {now}; the one before is kept as {old!r}.",
    "Back again: python manage.py restoredb --swap-back {old!q} --yes-replace {live!q}\n"
    "When you are sure: python manage.py restoredb --drop-old {old!q}",
)
SQLITE_BUSY = FindingType(
    "deploy.B018",
    "error",
    "The SQLite file {name} is in use: {reason}.",
    "Stop the processes that have it open, then run it again.",
)
INTEGRITY = FindingType(
    "deploy.B019",
    "error",
    "SQLite's integrity check of {name} says: {reason}.",
    "Do not use this file; restore a backup: python manage.py backups list",
)
GRANTS_NEED_ROLES = FindingType(
    "deploy.B020",
    "info",
    "{count} objects of {database!r} carry grants to other roles: restoredb in its place brings them back, "
    "and needs those roles; --into leaves them out.",
    "Keep CREATE ROLE with your infrastructure code: a backup holds one database, not the server's roles.",
)
ARCHIVE_NOT_STORED = FindingType(
    "deploy.B021",
    "error",
    "The bucket holds something else than was written for backup {id}: {stored}, not {written}.",
    "Run it again; if it repeats, check what sits between this machine and the bucket.",
)
UNREADABLE = FindingType(
    "deploy.B022",
    "warning",
    "The backup {id} is listed, but its manifest cannot be read: {reason}.",
    "It is never pruned; look at it, then delete it by hand.",
)
DUMP_TOOL_NEWER = FindingType(
    "deploy.B023",
    "warning",
    "{tool} {tool_major} writes an archive that a server of version {server_major} cannot be restored from "
    "with its own tools.",
    "apt-get install postgresql-client-{server_major}",
)
SETTINGS_LEFT_OUT = FindingType(
    "deploy.B024",
    "warning",
    "The database {live!r} was replaced, and these settings of the one before could not be set on it: "
    "{settings}.",
    "Set them as a superuser; their values: SELECT setrole::regrole, setconfig FROM pg_db_role_setting r "
    "JOIN pg_database d ON d.oid = r.setdatabase WHERE d.datname = {quoted};",
)
SEQUENCE_DIFFERS = FindingType(
    "deploy.B025",
    "error",
    "The sequence {sequence} goes on at {restored} after the restore of backup {id}, and at {saved} when it "
    "was taken.",
    "New rows would take numbers that are given already; do not rely on this backup: "
    "python manage.py backupdb",
)
LATEST_UNREADABLE = FindingType(
    "deploy.B095",
    "error",
    "The newest backup of {identity}, {id}, cannot be read; the newest that can be is {older}.",
    "Name the one you mean instead of latest: python manage.py backups list",
    why="What is newer than the older one would be lost without a word.",
)
