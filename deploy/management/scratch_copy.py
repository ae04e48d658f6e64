"""The database that a rehearsal by hand works on: a given copy, or one that is made for it and dropped."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.conf import DeployConf
from deploy.gate.rehearsing.rehearsal_findings import SCHEMA_ONLY
from deploy.management.command import USAGE
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report


@contextmanager
def scratch_copy(
    conf: DeployConf, alias: str, options: dict[str, Any], report: Report
) -> Iterator[tuple[str, str]]:
    """Yield (name, what it is) of the copy that the options ask for; one made here is dropped at the end.

    Nobody who clears away stale copies takes it meanwhile: it is held by the lock that they ask for.

    Raises:
        Refusal: deploy.R002, exit code 2; deploy.M049; deploy.D009 when somebody else holds the copy.
    """
    from deploy import backup
    from deploy.backup.engines import engine_of
    from deploy.databases import copies

    mine = replace(conf, database=alias)
    if not (options["from_template"] or options["schema_only"]):
        given = given_copy(conf, alias, options["scratch"])
        with engine_of(mine).locked(given, "rehearsing on"):
            yield given, "given"
        return
    name = backup.scratch_name(mine, f"hand-{secrets.token_hex(4)}")  # two at once, on any hosts
    try:
        with report.step("copy") as step:
            if options["from_template"]:
                what = f"copy of {options['from_template']}"
                copies.copy_whole(alias, _source(alias, options["from_template"]), name)
            else:
                _refuse_sqlite(alias)
                brought = copies.copy_schema(alias, name, pg_bin=conf.pg_bin)
                what = "schema and statistics only" if brought else "schema only"
                step.add(SCHEMA_ONLY(what="statistics" if brought else "records of migrations"))
            step.facts.update(copy=what, name=Path(name).name)
        yield name, what
    finally:
        backup.drop_scratch(mine, name)


def given_copy(conf: DeployConf, alias: str, given: str) -> str:
    """The name of the scratch database, which a rehearsal changes beyond repair: never one that is in use.

    Its name has to say that it is a copy, because on a server full of databases nothing else does. A SQLite
    file is looked for beside the live one, where `restoredb --into` puts it.

    Raises:
        Refusal: deploy.R002, exit code 2.
    """
    from django.conf import settings
    from django.db import connections

    prefix = conf.scratch_prefix
    name, problem = given, ""
    if not given:
        problem = "Rehearse needs --scratch NAME, --from-template NAME or --schema-only"
    elif connections[alias].vendor == "sqlite":
        live = Path(str(settings.DATABASES[alias]["NAME"])).resolve()
        path = (live.parent / given).resolve()  # a link is judged by what it leads to
        name = str(path)
        if not path.name.startswith(prefix):
            problem = f"The file {path} is not named like a copy ({prefix}…)"
        elif not path.is_file():
            problem = f"There is no file {path}"
        elif live.exists() and path.samefile(live):
            problem = f"The file {path} is the configured database"
    elif not given.startswith(prefix) or given in {str(db.get("NAME")) for db in settings.DATABASES.values()}:
        problem = f"The database {given} is not named like a copy ({prefix}…), or it is a configured one"
    elif not _is_there(alias, given):
        problem = f"The server has no database {given}"
    if problem:
        raise _usage(
            f"{problem}: make a copy first, with python manage.py restoredb latest --into {prefix}_look."
        )
    return name


def _is_there(alias: str, name: str) -> bool:
    """False where the server says that it has no such database; one that can't be asked is reported later."""
    import psycopg

    from deploy.databases import postgresql as server

    try:
        with server.connect(alias) as connection:
            return server.exists(connection, name)
    except (psycopg.Error, Refusal):
        return True


def _source(alias: str, given: str) -> str:
    from django.db import connections

    if connections[alias].vendor != "sqlite":
        return given
    return str((Path(str(connections[alias].settings_dict["NAME"])).resolve().parent / given).resolve())


def _refuse_sqlite(alias: str) -> None:
    from django.db import connections

    if connections[alias].vendor == "sqlite":
        live = Path(str(connections[alias].settings_dict["NAME"])).name
        raise _usage(f"--schema-only is for PostgreSQL; copy the file as a whole: --from-template {live}.")


def _usage(message: str) -> Refusal:
    return Refusal(USAGE(message=message, command="migrategate"))
