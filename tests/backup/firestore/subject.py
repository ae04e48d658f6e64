"""A process of its own to kill: `python -m tests.backup.firestore.subject JSON`.

It exports or restores, and says a line for each step on the way: then whoever kills it knows where it is.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.backup.companions import Folder
from deploy.backup.companions.firestore import FirestoreKeeper
from deploy.backup.firestore.connection import Database
from deploy.backup.firestore.restore import Wish, plan_restore, restore
from deploy.backup.manifest import Manifest
from deploy.backup.naming import Identity
from deploy.buckets.local import LocalBucket
from deploy.conf_backup import FirestoreConf
from deploy.reporting.report import Step


class Telling:
    def step_started(self, step: Step) -> None: ...
    def step_finished(self, step: Step) -> None: ...

    def step_progress(self, step: Step) -> None:
        sys.stdout.write(f"{step.done}\n")
        sys.stdout.flush()


def main(task: dict[str, Any]) -> None:
    bucket = LocalBucket(Path(task["folder"]))
    step = Step("work", _listener=Telling())
    if task["do"] == "export":
        folder = Folder(
            bucket,
            Identity("project", "test", "app"),
            task["id"],
            datetime.fromisoformat(task["created"]),
            1,
            lambda: None,
        )
        FirestoreKeeper(
            FirestoreConf(task["project"], task["database"], "", True, task["endpoint"], "")
        ).keep(folder, step)
        return
    manifest = Manifest.from_dict(task["manifest"])
    wish = Wish(Database(task["project"], task["database"]), task["endpoint"])
    plan_restore(bucket, manifest, wish, step=Step("plan"))
    restore(bucket, manifest, wish, step=step)


main(json.loads(sys.argv[1]))
