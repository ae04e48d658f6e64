"""Whose the restored objects are: as before, where we may give them away, or else ours, and that is told."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from deploy.backup.findings_of_restore import OWNERS_LOST
from deploy.databases import postgresql as server

from .postgresql_load import Loader
from .postgresql_obstacles import is_superuser

# Of a grant, the listing names the owner of what is granted, be it the server's own.
_ENTRY = re.compile(r"\d+; \d+ \d+ (?!(?:DEFAULT )?ACL ).*\S$")
_SERVERS_OWN = "pg_database_owner"  # of the schema public


def settle_owners(loader: Loader) -> None:
    """Let objects keep their owners when we are a superuser and the server has all of these roles.

    Otherwise they come to belong to our role; a warning names the roles that lose them.
    """
    listing = loader.listing(loader.saved.manifest.parts[0])
    with server.connect_maintenance(loader.conf.database) as connection:
        roles = {str(name) for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        row = connection.execute("SELECT current_user::text").fetchone()
        superuser = is_superuser(connection)
    assert row is not None  # noqa: S101 – everybody is somebody
    owners = owners_of(listing, roles)
    if superuser and owners <= roles:
        loader.owners = True
    elif others := sorted(owners - {str(row[0]), _SERVERS_OWN}):
        loader.saved.step.add(OWNERS_LOST(id=loader.saved.manifest.id, owners=", ".join(others), role=row[0]))


def owners_of(listing: Iterable[str], roles: Collection[str]) -> set[str]:
    """The owners in a listing, whose lines end with them.

    A name with spaces is known only by the server's `roles`; of another one, the last word is returned.
    """
    found = set()
    for line in filter(_ENTRY.match, listing):
        words = line.split(" ")
        ends = (" ".join(words[place:]) for place in range(4, len(words)))
        found.add(next((end for end in ends if end in roles), words[-1]))
    return found
