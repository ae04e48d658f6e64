"""The findings of the rehearsal that came after its first ones (those are in `run_findings`)."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

_LOCKS = "https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES"

BLOCKS_WHILE_IT_GROWS = FindingType(
    "deploy.M090",
    "warning",
    "It holds {lock} on {table} ({size}), so that {stops} wait, while it goes through {through}: {estimate}.",
    "Let the short lock and the long work be two migrations: constraints NOT VALID first and VALIDATE after, "
    "indexes CONCURRENTLY (atomic = False), rows in batches. python manage.py migrategate check",
    why="Seen on the copy: the lock in pg_locks, the work in PostgreSQL's own counters. However short it was "
    "there, it grows with the table.",
    lock="The one that the message names, until the end of the transaction.",
    depends="The size of the table in production: where its statistics prove it small (under 0.1 s), "
    "nothing is said.",
    source=_LOCKS,
)
ROWS_LOCKED = FindingType(
    "deploy.M091",
    "warning",
    "One transaction changes {rows} rows of {table} ({of}); all of them stay locked until it ends.",
    "Change them in batches, each in a transaction of its own: atomic = False on the migration, and "
    "for start in range(0, last + 1, 1000): rows.filter(pk__gte=start, pk__lt=start + 1000).update(…)",
    why="Whoever writes one of the rows waits for the whole transaction, and VACUUM cannot clean behind it.",
    lock="ROW EXCLUSIVE on the table, and every changed row FOR NO KEY UPDATE, until the transaction ends.",
    depends="The number of rows in production.",
    source="https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS",
)
CODE_NOT_FIRST = FindingType(
    "deploy.M092",
    "info",
    "The new code cannot be started before the migrations: {statements} ({problem}).",
    "Let predeploy apply the expand migrations first; it does so by itself.",
    why="Some releases start their code first. This one must not.",
)
AFTER_CONTRACT = FindingType(
    "deploy.M093",
    "info",
    "After the contract migrations the deployed code can no longer do on {model}: {statement} ({problem}).",
    "They wait for postdeploy, when none of its containers is left: python manage.py postdeploy",
    why="From then on, going back to it takes more than a switch; see verdict_after_contract.",
)
REDO_DIFFERS = FindingType(
    "deploy.M094",
    "warning",
    "Undone and run again, the migrations do not lead to the same schema: {problem}",
    "Let each operation's reverse undo all that it does: after a rollback, the next deploy runs it again.",
)
OLD_VALUE_REFUSED = FindingType(
    "deploy.M095",
    "error",
    "After the expand migrations the deployed code can no longer {statement} {model}, which it could "
    "before: {problem}",
    "Widen first and narrow last: let the new code stop writing such values, and bring the constraint or the "
    "smaller type one release later. If no code ever writes them, say so:\n"
    '@acknowledge("deploy.M095", "why the deployed code never writes that")',
    why="The old containers go on writing until the switch, and a rollback brings them back.",
    depends="Whether the deployed code writes such a value at all; the schema let it.",
)
SCHEMA_ONLY = FindingType(
    "deploy.M048",
    "info",
    "Rehearsed on schema and {what} only, without a row: what data migrations do, what the rows violate "
    "and how long anything takes was not seen; times are estimated from the sizes of the live tables.",
    "With room for a copy: python manage.py restoredb latest --into deploy_scratch_look && "
    "python manage.py migrategate rehearse --scratch deploy_scratch_look",
)
COPY_DIFFERS = FindingType(
    "deploy.M096",
    "error",
    "The copy's schema is not the live one: {problem}",
    "Make a new copy: python manage.py backupdb && python manage.py restoredb latest --into {name!q}",
    why="What is proved on another schema says nothing of this one.",
)
PROOF_STALE = FindingType(
    "deploy.M097",
    "error",
    "The {what} is not the one that was rehearsed at {at}.",
    "Rehearse again on a new copy, then apply:\n"
    "python manage.py restoredb latest --into deploy_scratch_look\n"
    "python manage.py migrategate rehearse --scratch deploy_scratch_look",
    why="A rehearsal proves these files on this schema, on this version of the server, and no others.",
)
NOT_REHEARSED = FindingType(
    "deploy.M098",
    "error",
    "{count} pending migrations have not been rehearsed: the ledger has no proof of them.",
    "python manage.py predeploy   # or by hand:\n"
    "python manage.py migrategate rehearse --schema-only\n"
    'Or take the risk and say why: python manage.py migrategate apply --unproved "reason"',
)
UNPROVED = FindingType(
    "deploy.M099",
    "warning",
    "Applied without a rehearsal: {reason}",
    "It is recorded in the ledger. Next time: python manage.py migrategate rehearse --schema-only",
)
DRILL_DIVERGES = FindingType(
    "deploy.M120",
    "error",
    "Interruption drill: {where} and run again, it does not come to its end: {problem}",
    "Let the migration be one transaction (atomic = True) where it can be; where not, one operation a "
    "migration, each of which may run twice (IF NOT EXISTS, a filter for the rows that are not done).",
    why="A container is killed, a connection lost: the next run must go on by itself.",
)
DRILL_ASKS = FindingType(
    "deploy.M121",
    "info",
    "Interruption drill: {where}, the next run asks a person whether the data may be changed once more "
    "(deploy.M057).",
    "Let it be one transaction, or so that running twice does no harm; then answer with --interrupted again.",
)
ROWS_GONE = FindingType(
    "deploy.M123",
    "error",
    "{table} had rows on the copy, and {what} after it.",
    "Take the statement out, or keep the rows somewhere else first. If they may go, say so:\n"
    '@acknowledge("deploy.M123", "why nobody needs the rows")',
    why="Going back brings the table back, and only the backup brings its rows.",
    depends="On the rows of the copy. For a table that neither the deployed nor the new code has a model of, "
    "and where the check said it, this is for information.",
)
