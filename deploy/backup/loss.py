"""What restoring a backup would lose: the live database's rows now, beside what the manifest says of then."""

from __future__ import annotations

from typing import Any, Literal

from deploy.conf import DeployConf

from .engines import engine_of
from .manifest import Manifest

How = Literal["counted", "estimated", "unknown"]

# Tables up to here are counted, and held against the backup's digest: that takes a second or two each.
COUNTED_BYTES = 256 * 1024**2
# Which migrations are applied is not what anybody has written.
_NOT_DATA = ("django_migrations", "public.django_migrations")


def written_since(conf: DeployConf, manifest: Manifest) -> dict[str, Any]:
    """What is in the live database and not in the backup, as far as it can be known.

    Returns:
        `since` (UTC), `rows` (how many more there are now, summed over the tables that have more), `how`
        (the worst of the tables'), `tables`: each table that differs or may differ, with `then`, `now` and
        `added` (fewer rows: negative), `how`, and `changed`: True where rows or columns are other ones, also
        with the same number of rows; None where nobody has looked. Rows that were changed in place, or
        deleted while as many came, are in no number: `rows` is the least.

    Raises:
        Refusal: the database can't be read.
    """
    engine = engine_of(conf)
    now, estimated = engine.contents_now(manifest, limit_bytes=COUNTED_BYTES)
    tables: list[dict[str, Any]] = []
    for name in sorted((manifest.tables.keys() | now.tables.keys()) - set(_NOT_DATA)):
        then, rows = manifest.tables.get(name, 0), now.tables.get(name, 0)
        # The planner knows nothing of a table that was never analyzed.
        how: How = "counted" if name not in estimated else "estimated" if rows else "unknown"
        compared = name in manifest.digests and name in now.digests
        changed = manifest.digests[name] != now.digests[name] if compared else None
        if how == "counted" and then != rows:
            changed = True
        if then != rows or changed or how != "counted":
            added = None if how == "unknown" else rows - then
            row = {"table": name, "then": then, "now": None if how == "unknown" else rows, "added": added}
            tables.append({**row, "how": how, "changed": changed})
    hows: list[How] = [row["how"] for row in tables]
    worst: How = "unknown" if "unknown" in hows else "estimated" if "estimated" in hows else "counted"
    return {
        "since": manifest.created.isoformat(timespec="seconds"),
        "rows": sum(row["added"] for row in tables if (row["added"] or 0) > 0),
        "how": worst,
        "tables": tables,
    }
