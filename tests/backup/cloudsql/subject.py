"""A process of its own to be killed: `python -m tests.backup.cloudsql.subject JSON` takes or clones."""

from __future__ import annotations

import json
import sys
from datetime import datetime

from deploy.backup.cloudsql.clones import delete, delete_stale, make, new_name
from deploy.backup.cloudsql.connection import ADMIN, Instance, connected
from deploy.backup.cloudsql.on_demand import take
from deploy.backup.cloudsql.operations import Admin, Pace
from deploy.backup.naming import Identity
from deploy.conf_backup import CloudSQLConf
from deploy.reporting.report import Step


def act(task: dict[str, str]) -> None:
    conf = CloudSQLConf("shop-1", "shop", on_demand=True, clone_over_bytes=0, endpoint=task["url"])
    identity = Identity("shop", "production", "app")
    created = datetime.fromisoformat(task["created"])
    with connected(conf) as service:
        admin = Admin(service, Instance("shop-1", "shop"), ADMIN, Pace(0.01, 20), Step("x"))
        if task["do"] == "take":
            taken = take(admin, identity, task["backup"], created, exists=lambda _: False)
            assert taken.run.is_whole
            return
        delete_stale(admin, identity)
        name = new_name(identity, created)
        try:
            make(admin, identity, name, created)
        finally:
            delete(admin, identity, name)


if __name__ == "__main__":
    act(json.loads(sys.argv[1]))
