"""A process of its own that applies a shop's migrations: `python -m tests.gate.applier JSON`.

JSON: root and package of the app, the DATABASES entry, DEPLOY changes, the migrations' names, and perhaps
`signal` and `at`: which one it sends itself before which statement that is no SELECT.
With `answer` instead of `at`: in the middle of which of all that the server is asked, over any cursor.
Prints what it applied, or the ids of the findings that stopped it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import django
from django.conf import settings
from django.db import connections
from django.db.models.signals import pre_migrate


def end_at(number: int, which: int) -> None:
    """From inside the applier's own wrapper; SIGTERM comes as the command's exception."""
    sent = 0

    def count(execute, sql, params, many, context):
        nonlocal sent
        if not str(sql).lstrip().startswith("SELECT"):
            if sent == number:
                os.kill(os.getpid(), which)
            sent += 1
        return execute(sql, params, many, context)

    connections["default"].execute_wrappers.append(count)


def end_before_the_answer(number: int, which: int) -> None:
    """Once it is sent, and before the server has said anything."""
    import psycopg

    asked, wait = 0, psycopg.Connection.wait

    def count(self, generator, *args, **kwargs):
        nonlocal asked
        asked += 1
        if asked == number + 1:
            next(generator, None)
            os.kill(os.getpid(), which)
        return wait(self, generator, *args, **kwargs)

    psycopg.Connection.wait = count


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
    from deploy.management.interruption import Interrupted, signals_raise
    from deploy.reporting.findings import Refusal
    from deploy.reporting.report import Step

    if "answer" in job:
        end_before_the_answer(job["answer"], job["signal"])
    elif "signal" in job:
        pre_migrate.connect(lambda **_: end_at(job["at"], job["signal"]), weak=False)
    step = Step("apply")
    try:
        with signals_raise():
            done = apply(
                replace(conf.load(), **job["conf"]),
                alias="default",
                migrations=[("shop", name) for name in job["names"]],
                guard=lambda: None,
                step=step,
            )
    except Interrupted as event:
        sys.exit(event.exit_code)
    except Refusal as refusal:
        return json.dumps({"refused": [finding.as_dict() for finding in refusal.findings]})
    return json.dumps({"applied": [name for _, name in done], "facts": step.facts})


if __name__ == "__main__":
    sys.stdout.write(main(json.loads(sys.argv[1])))
