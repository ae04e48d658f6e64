"""What would stop a restore on this server, looked for before anything is created."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.backup.findings_of_restore import (
    COLLATION_DIFFERS,
    DISK_TOO_SMALL,
    EXTENSION_MISSING,
    EXTENSION_REFUSED,
)
from deploy.backup.manifest import Manifest
from deploy.databases import postgresql as server
from deploy.reporting.facts import human_bytes
from deploy.reporting.findings import Finding, Refusal

if TYPE_CHECKING:
    from psycopg import Connection

# Their members are no superusers, and the provider lets them create the extensions that it offers.
_PROVIDERS_ROLES = ["cloudsqlsuperuser", "alloydbsuperuser", "rds_superuser", "azure_pg_admin"]
_RIGHTS = """
SELECT rolsuper, rolname, rolsuper OR EXISTS (
    SELECT 1 FROM pg_roles p WHERE p.rolname = ANY(%s) AND pg_has_role(r.oid, p.oid, 'MEMBER'))
FROM pg_roles r WHERE rolname = current_user
"""
_EXTENSIONS = """
SELECT a.name, bool_or(NOT v.superuser OR v.trusted) FROM pg_available_extensions a
LEFT JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
WHERE a.name = ANY(%s) GROUP BY a.name
"""
_DATA_FOLDER = """
SELECT current_setting('data_directory', true)
WHERE pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')
"""
# Entries of an archive that need a superuser and hold nothing of the application's, as --list shows them.
_SUPERUSERS = re.compile(
    r"\d+; \d+ \d+ "
    r"(COMMENT - EXTENSION \S+|COMMENT - SCHEMA public|EXTENSION - plpgsql|(?:COMMENT - )?EVENT TRIGGER .+?)"
    r"(?: \S*)?$"
)


def is_superuser(connection: Connection[Any]) -> bool:
    """Whether our role is one; on Cloud SQL nobody's is."""
    return bool(_rights(connection)[0])


def require_extensions(connection: Connection[Any], alias: str, manifest: Manifest) -> None:
    """Refuse a backup with an extension that the server has not, or that our role may not create.

    Raises:
        Refusal: deploy.B043, deploy.B044.
    """
    needed = sorted(manifest.extensions.keys() - {"plpgsql"})
    _, role, privileged = _rights(connection)
    offered = dict(connection.execute(_EXTENSIONS, [needed]).fetchall())
    found: list[Finding] = []
    for name in needed:
        if name not in offered:
            major = server.major(connection)
            found.append(EXTENSION_MISSING(id=manifest.id, name=name, major=major, package=name))
        elif not privileged and not offered[name]:
            quoted = server.identifier(role)
            found.append(EXTENSION_REFUSED(id=manifest.id, name=name, role=role, quoted=quoted, alias=alias))
    if found:
        raise Refusal(*found)


def require_room(connection: Connection[Any], manifest: Manifest, *, spool_folder: str) -> None:
    """Refuse when the server's disk can be seen from here and is smaller than the rows alone.

    The indexes come on top of them, but how much is not known before.

    Raises:
        Refusal: deploy.B041.
    """
    if connection.info.host not in ("localhost", "127.0.0.1", "::1") and not connection.info.host.startswith(
        "/"
    ):
        return
    row = connection.execute(_DATA_FOLDER).fetchone()
    folder = Path(row[0]) if row and row[0] else None
    try:
        if folder is None or not folder.is_dir():  # a container's or another machine's behind a tunnel
            return
        free = shutil.disk_usage(folder).free
        shared = folder.stat().st_dev == Path(spool_folder).stat().st_dev
    except PermissionError:
        return
    needed = manifest.raw_bytes + (manifest.parts[0].raw_bytes if shared else 0)
    if free < needed:
        raise Refusal(
            DISK_TOO_SMALL(id=manifest.id, needed=human_bytes(needed), disk=folder, free=human_bytes(free))
        )


def collation_findings(ours: dict[str, str | None], manifest: Manifest) -> Iterator[Finding]:
    """A warning when the new database's collation is of another version than the saved one's.

    Args:
        ours: see `deploy.databases.postgresql.locale`.
    """
    before, now = manifest.locale.get("version"), ours.get("version")
    if before and now and before != now:
        collate = ours.get("locale") or ours.get("collate")
        yield COLLATION_DIFFERS(id=manifest.id, theirs=before, ours=now, collate=collate)


def superusers_entries(listing: Iterable[str]) -> dict[str, str]:
    """Of a listing, the lines of entries that only a superuser can restore, and what they are."""
    found = {}
    for line in listing:
        if match := _SUPERUSERS.match(line):
            found[line] = match[1].replace(" - ", " ", 1)
    return found


def _rights(connection: Connection[Any]) -> tuple[bool, str, bool]:
    """Our role is a superuser, its name, and whether it may create the provider's extensions."""
    row = connection.execute(_RIGHTS, [_PROVIDERS_ROLES]).fetchone()
    assert row is not None  # noqa: S101 – everybody is somebody
    return bool(row[0]), str(row[1]), bool(row[2])
