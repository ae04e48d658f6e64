"""A process of its own that applies a shop's migrations: `python -m tests.gate.applier JSON`.

JSON: root and package of the app, the DATABASES entry, DEPLOY changes, and the migrations' names.
Prints what it applied, or the ids of the findings that stopped it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import django
from django.conf import settings


def main(job: dict) -> str:
    sys.path.insert(0, job["root"])
    settings.configure(
        DATABASES={"default": job["database"]},
        INSTALLED_APPS=[f"{job['package']}.apps.Shop"],
        ROOT_URLCONF="shop.urls",
        SECRET_KEY="only-for-this-process",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    from deploy import conf
    from deploy.gate import apply
    from deploy.reporting.findings import Refusal
    from deploy.reporting.report import Step

    step = Step("apply")
    try:
        done = apply(
            replace(conf.load(), **job["conf"]),
            alias="default",
            migrations=[("shop", name) for name in job["names"]],
            guard=lambda: None,
            step=step,
        )
    except Refusal as refusal:
        return json.dumps({"refused": [finding.as_dict() for finding in refusal.findings]})
    return json.dumps({"applied": [name for _, name in done], "facts": step.facts})


if __name__ == "__main__":
    sys.stdout.write(main(json.loads(sys.argv[1])))
