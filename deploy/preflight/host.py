"""This machine: enough free disk for what a release writes, and a clock that agrees with the database's."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from django.db import Error as DatabaseError

from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Step

from .check import Check
from .clock import skew
from .connection import engine, reading, sqlite_file

DISK_FULL = FindingType(
    "deploy.P051",
    "error",
    "{folder} has {free} bytes free; a release needs {needed} ({why}).",
    "df -h {folder}; docker system prune; python manage.py backups prune",
)


class HostCheck(Check):
    name = "host"
    looks_at = "free disk for backup, drill and static files; the clock"

    def run(self, conf: DeployConf, step: Step) -> None:
        database_bytes = self._ask_database(conf, step)
        step.facts["database_bytes"] = database_bytes
        free: dict[str, int] = {}
        for folder, needed, why in needs(conf, database_bytes):
            existing = next(path for path in (folder, *folder.parents) if path.exists())
            free[str(existing)] = shutil.disk_usage(existing).free
            if free[str(existing)] < needed:
                step.add(
                    DISK_FULL(
                        folder=existing, free=free[str(existing)], needed=needed, why=why, place=str(existing)
                    )
                )
        step.facts["free_bytes"] = free

    def _ask_database(self, conf: DeployConf, step: Step) -> int:
        """Compare clocks, and the database's size in bytes (0 when it cannot be asked: another finding)."""
        if engine(conf) == "sqlite":
            file = sqlite_file(conf)
            return file.stat().st_size if file is not None and file.exists() else 0
        try:
            before = datetime.now(UTC)
            with reading(conf) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT extract(epoch FROM clock_timestamp()), pg_database_size(current_database())"
                )
                epoch, size = cursor.fetchone()
        except (DatabaseError, Refusal):
            return 0
        theirs = datetime.fromtimestamp(float(epoch), tz=UTC)
        step.extend(skew(before, theirs, datetime.now(UTC), "the database"))
        return int(size)


def needs(conf: DeployConf, database_bytes: int) -> list[tuple[Path, int, str]]:
    """Folder, bytes that must be free there, and why."""
    needs = [(Path(tempfile.gettempdir()), conf.min_free_bytes, "static files are hashed there")]
    if conf.bucket.startswith("file://"):
        folder = Path(conf.bucket.removeprefix("file://"))
        needs.append((folder, conf.min_free_bytes + database_bytes, "the backup lies there"))
    if engine(conf) == "sqlite" and (file := sqlite_file(conf)) is not None:
        needed = conf.min_free_bytes + 2 * database_bytes
        needs.append((file.resolve().parent, needed, "the restore drill makes a copy"))
    return needs
