"""What stands in the way of bringing a backup back: the findings `deploy.B040` to `deploy.B049`, B107
to B110, and `deploy.B122` and on.
"""

from __future__ import annotations

from deploy.reporting.findings import FindingType

SPOOL_TOO_SMALL = FindingType(
    "deploy.B040",
    "warning",
    "Backup {id} is {needed} unpacked and {folder} has {free} free, so one connection loads it straight from "
    "the bucket, which is slower.",
    "Point TMPDIR at a folder with more room: TMPDIR=/mnt/large python manage.py restoredb {id}",
    why="Several connections can only load an archive that can be read at several places at once.",
)
DISK_TOO_SMALL = FindingType(
    "deploy.B041",
    "error",
    "Backup {id} needs at least {needed}, and the disk of {disk} has {free} free.",
    "Drop what earlier restores put aside (python manage.py restoredb --list-kept), or grow that disk.",
    why="The server's disk is looked at where its data folder can be seen from here: same machine, and a "
    "role that may read data_directory (pg_read_all_settings). Cloud SQL shows it to nobody; it grows its "
    "disk by itself when told to: gcloud sql instances patch INSTANCE --storage-auto-increase",
)
DISK_FULL = FindingType(
    "deploy.B042",
    "error",
    "The server's disk was full before backup {id} was back in {database!r}: {reason}.",
    "The half restored database is dropped again. Grow the disk (Cloud SQL: gcloud sql instances patch "
    "INSTANCE --storage-size=GB), then run it again.",
)
EXTENSION_MISSING = FindingType(
    "deploy.B043",
    "error",
    "Backup {id} needs the extension {name}, which the server does not have.",
    "On the server: apt-get install postgresql-{major}-{package}. On Cloud SQL it must be one of "
    "https://cloud.google.com/sql/docs/postgres/extensions, some of which need a database flag.",
)
EXTENSION_REFUSED = FindingType(
    "deploy.B044",
    "error",
    "Backup {id} needs the extension {name}, which the role {role!r} may not create.",
    "Restore as a role that may: a superuser in DATABASES[{alias!r}]['USER'], or on Cloud SQL, as postgres: "
    "GRANT cloudsqlsuperuser TO {quoted};",
    why="A role without superuser rights may only create extensions that are marked as trusted "
    "(https://www.postgresql.org/docs/current/sql-createextension.html).",
)
ROLE_MISSING = FindingType(
    "deploy.B045",
    "error",
    "Backup {id} has grants to the role {role!r}, which the server does not have.",
    "Create it as your infrastructure code does, or for now: CREATE ROLE {quoted} NOLOGIN; then run it "
    "again. To only look at the data: python manage.py restoredb {id} --into NAME",
)
ENTRIES_LEFT_OUT = FindingType(
    "deploy.B046",
    "info",
    "What only a superuser could restore of backup {id} was left out: {entries}.",
    "No rows are among them. Should you need one: restore as a superuser.",
    why="Comments on extensions and on the schema public belong to whoever set up the server; event triggers "
    "need a superuser.",
)
COLLATION_DIFFERS = FindingType(
    "deploy.B047",
    "warning",
    "Backup {id} was taken with version {theirs} of the collation {collate}, and the server has {ours}.",
    "Nothing to REINDEX: a restore builds every index anew. Texts may sort otherwise than before, so look at "
    "tables that are partitioned by ranges of text, and at CHECK constraints that compare text.",
    why="https://www.postgresql.org/docs/current/sql-altercollation.html",
)
NOT_KEPT = FindingType(
    "deploy.B048",
    "error",
    "There is no database {name!r} that a restore put aside; there is {kept}.",
    "python manage.py restoredb --list-kept",
)
NOT_NAMED = FindingType(
    "deploy.B110",
    "warning",
    "What was restored of backup {id} is not what was saved, so it did not get the name {name!r}; it is kept "
    "as {scratch!r}.",
    "Look at it there: the next restore or deploy drops it.",
)
TABLE_UNKNOWN = FindingType(
    "deploy.B049",
    "error",
    "Backup {id} has no table {table!r} of its own to restore; {near}.",
    "Name it as the manifest does: python manage.py backups show {id}",
)
NOT_OWNER = FindingType(
    "deploy.B107",
    "error",
    "The role {role!r} may not rename the live database {name!r}, which belongs to {owner!r}, so no backup "
    "can take its place.",
    "As {owner} or a superuser: ALTER DATABASE {name!i} OWNER TO {role!i}; or GRANT {owner!i} TO {role!i};\n"
    "To only look at a backup: python manage.py restoredb latest --into NAME",
    why="Only its owner renames a database (https://www.postgresql.org/docs/current/sql-alterdatabase.html).",
)
RESTORED_KEPT = FindingType(
    "deploy.B108",
    "info",
    "Backup {id} is restored and compared, and kept as {old!r}; {live!r} is as it was.",
    "When those clients are gone: python manage.py restoredb --swap-back {old!q} --yes-replace {live!q}\n"
    "If you do not want it any more: python manage.py restoredb --drop-old {old!q}",
)
OWNERS_LOST = FindingType(
    "deploy.B109",
    "warning",
    "Objects of backup {id} that belonged to {owners} belong to {role!r} now.",
    "Give them back by hand, per table: ALTER TABLE name OWNER TO role; or restore as a superuser, on a "
    "server that has these roles: then they keep their owners.",
)
GRANTS_NOT_MADE = FindingType(
    "deploy.B122",
    "warning",
    "{count} grants of backup {id} could not be made by the role {role!r}, so other roles can do less than "
    "before.",
    "As an administrator (on Cloud SQL as postgres, or as a member of the role that is named), in the "
    "database {live}:\n{statements}",
    why="Only a member of a role changes the default privileges of what that role makes, and only an owner "
    "grants what belongs to an extension or to the server.",
)
ARCHIVE_TOO_NEW = FindingType(
    "deploy.B126",
    "error",
    "Backup {id} was written by pg_dump {archive_major}, and only a server of PostgreSQL 17 or newer takes "
    "that; this one is {server_major}.",
    "Restore it into a newer server: point DATABASES at one, or upgrade this one. If what was saved is still "
    "there: apt-get install postgresql-client-{server_major}, then python manage.py backupdb",
    why="pg_restore 17 and newer set transaction_timeout, which an older server does not know, and an older "
    "pg_restore cannot read the archive.",
)
GRANTED_BY_US = FindingType(
    "deploy.B123",
    "info",
    "What {roles} had granted in backup {id} is granted by {role!r} now.",
    "Whoever could use it can use it. To have it granted by them again: restore as a superuser.",
    why="Only a superuser grants in the name of another role (SET SESSION AUTHORIZATION).",
)
