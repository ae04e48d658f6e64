"""What taking a backup has to say: the findings `deploy.B030` to `deploy.B039`, and B106."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

FILE_NOT_KEPT = FindingType(
    "deploy.B114",
    "error",
    "{name} is not in the bucket any more as it was written for backup {id}, so there is no backup: {now}.",
    "Look who deletes below {prefix} (a lifecycle rule, a script), then: python manage.py backupdb",
    why="`backups prune` takes files without a manifest for left ones when the youngest is a day old.",
)

NOT_DIGESTED = FindingType(
    "deploy.B030",
    "info",
    "{count} tables of more than {limit} bytes have no key by which rows could be sampled, so that their "
    "rows are counted and not compared: {tables}.",
    "Give them a primary key, or raise DEPLOY['BACKUP_DIGEST_LIMIT_BYTES'].",
    why="A sample must be the same rows before the dump and after the restore, whatever their order on disk; "
    "it is chosen by the hash of the primary key, or of the columns of fixed length.",
)
DUMP_UNRESTORABLE = FindingType(
    "deploy.B106",
    "error",
    "{tool} {tool_major} would write an archive that nothing can restore into PostgreSQL {server_major}, "
    "which this server is.",
    "apt-get install postgresql-client-{server_major}, or point DEPLOY['PG_BIN'] at its folder.",
    why="pg_restore 17 and newer set transaction_timeout, which a server before 17 does not know, and an "
    "older pg_restore cannot read the newer format of the archive.",
)
