"""A process of its own to be killed: `python -m tests.backup.subject JSON` does one thing to a live database.

It says a line on standard output when it has reached the place where it waits to be killed.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path


def reached(*_: object, **__: object) -> None:
    sys.stdout.write("reached\n")
    sys.stdout.flush()
    time.sleep(60)


def reached_after(act: Callable[..., object]) -> Callable[..., None]:
    def acted(*args: object) -> None:
        act(*args)
        reached()

    return acted


def main() -> None:
    task = json.loads(sys.argv[1])
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.db import connections

    from deploy import backup
    from deploy.buckets.local import LocalBucket
    from deploy.databases import swap
    from deploy.reporting.report import Step

    from .conftest import ALIAS, configuration_of

    entry = copy.deepcopy(connections.settings["default"])
    if task["live"].startswith("/"):
        entry["ENGINE"] = "django.db.backends.sqlite3"
    connections.settings[ALIAS] = {**entry, "NAME": task["live"], "OPTIONS": {}}
    conf = configuration_of(Path(task["folder"]), task["project"])
    bucket = LocalBucket(Path(task["folder"]) / "bucket")
    step = Step("killed")
    if task["do"] == "backup":
        backup.create_backup(conf, bucket, release="killed", step=step, guard=lambda: None)
        return
    if task["do"] == "backup in parts":
        from deploy.backup.engines import postgresql_dump, postgresql_parts

        own_tables, go = postgresql_dump.own_tables, Path(task["folder"]) / "go"

        def know_and_wait(*args: object) -> object:
            known = own_tables(*args)  # type: ignore[arg-type]  # passed through
            sys.stdout.write("reached\n")
            sys.stdout.flush()
            while not go.exists():
                time.sleep(0.02)
            return known

        postgresql_parts.WORTH_BYTES = 0
        postgresql_dump.own_tables = know_and_wait  # type: ignore[assignment]  # before any pg_dump runs
        conf = replace(conf, backup=replace(conf.backup, jobs=3))
        backup.create_backup(conf, bucket, release="killed", step=step, guard=lambda: None)
        return
    manifest = backup.read_manifest(conf, bucket, "latest")
    if task["do"] == "unpack":
        step.progress = reached  # type: ignore[method-assign]  # in the middle of the stream
        name = backup.scratch_name(conf, "killed")
        backup.restore_into(conf, bucket, manifest, name=name, step=step)
    elif task["do"] == "restore":
        name = backup.scratch_name(conf, "killed")
        backup.restore_into(conf, bucket, manifest, name=name, step=step)
    elif task["do"] == "restore beside":
        if task["live"].startswith("/"):
            step.progress = reached  # type: ignore[method-assign]  # in the middle of the file
        backup.restore_beside(conf, bucket, manifest, name=task["name"], step=step)
    elif task["do"] == "tables":
        tables = backup.plan_tables(conf, manifest, ["slow", "animal"], beside=task["name"])
        backup.restore_tables(conf, bucket, manifest, tables, step=step)
    elif task["do"] == "name":
        os.link = reached_after(os.link)  # type: ignore[assignment]  # between the two steps of it
        swap._rename = reached  # type: ignore[assignment]  # PostgreSQL's one step
        backup.restore_beside(conf, bucket, manifest, name=task["name"], step=step)
    elif task["do"] in ("swap", "swap back"):
        rename = swap._rename

        def rename_and_die(*args: str) -> None:
            rename(*args)  # type: ignore[arg-type]  # passed through
            os.kill(os.getpid(), signal.SIGKILL)

        swap._rename = rename_and_die  # type: ignore[assignment]  # dies after the first of two
        if task["do"] == "swap back":
            plan = backup.plan_swap_back(conf, task["name"])
            backup.swap_back(conf, plan, guard=lambda: None, step=step)
        backup.replace_database(conf, bucket, manifest, guard=lambda: None, step=step)


if __name__ == "__main__":
    main()
