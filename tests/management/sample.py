"""A command that does what its argument says, in a process of its own: python -m tests.management.sample"""

import sys
import time
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser
from django.db import OperationalError

from deploy.buckets.base import BucketError
from deploy.conf import DeployConf
from deploy.management.command import DeployCommand
from deploy.reporting.findings import FindingType, Refusal

PASSWORD = "canary-in-the-coal-mine"
WARNS = FindingType("deploy.X800", "warning", "The tide is {height}.", "sail {height}")
REFUSES = FindingType("deploy.X801", "error", "The bridge is {state}.", "wait --until=open")


class Command(DeployCommand):
    help = "Do one thing."

    def arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for name in (
            "succeed",
            "refuse",
            "locked",
            "crash",
            "usage",
            "settings",
            "database",
            "driver",
            "bucket",
            "leak",
        ):
            actions.add_parser(name)
        actions.add_parser("add-error")
        sleep = actions.add_parser("sleep")
        sleep.add_argument("seconds", type=float)

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        print("a library prints something")  # noqa: T201 – what must not reach a JSON document
        with self.report.step("look around") as step:
            step.facts["found_bytes"] = 2048
            step.add(WARNS(height="low"))
        action = options["action"].replace("-", "_")
        if action != "succeed":
            getattr(self, action)(options)

    def refuse(self, options: dict[str, Any]) -> None:
        with self.report.step("cross the bridge"):
            raise Refusal(REFUSES(state="up"), exit_code=1)

    def add_error(self, options: dict[str, Any]) -> None:
        with self.report.step("cross the bridge") as step:
            step.add(REFUSES(state="up"))

    def locked(self, options: dict[str, Any]) -> None:
        raise Refusal(REFUSES(state="taken"), exit_code=75)

    def crash(self, options: dict[str, Any]) -> None:
        with self.report.step("cross the bridge"):
            raise RuntimeError(f"boom\nwith {PASSWORD}")

    def usage(self, options: dict[str, Any]) -> None:
        raise CommandError("There is no release 'x'.")

    def settings(self, options: dict[str, Any]) -> None:
        raise ImproperlyConfigured("STATIC_ROOT is not set")

    def database(self, options: dict[str, Any]) -> None:
        raise OperationalError("connection refused")

    def driver(self, options: dict[str, Any]) -> None:
        import psycopg

        raise psycopg.errors.DiskFull("could not extend file")

    def bucket(self, options: dict[str, Any]) -> None:
        raise BucketError("503 after 5 tries")

    def leak(self, options: dict[str, Any]) -> None:
        with self.report.step(f"step {PASSWORD}") as step:
            step.facts["dsn"] = f"postgresql://u:{PASSWORD}@h/db"
            step.facts["rows"] = [{"name": PASSWORD}]
            step.progress(1, 2, note=PASSWORD)
            step.add(REFUSES(state=PASSWORD, place=PASSWORD))
            raise RuntimeError(PASSWORD)

    def sleep(self, options: dict[str, Any]) -> None:
        with self.report.step("sleep"):
            try:
                print("asleep", flush=True)  # noqa: T201 – from here on a signal finds it in its work
                time.sleep(options["seconds"])
            finally:
                print("unwound", file=sys.stderr)  # noqa: T201 – the lock's release, as the test sees it


def main() -> None:
    from django.conf import settings

    settings.configure(
        SECRET_KEY="long-and-secret-enough",
        ROOT_URLCONF="tests.management.sample",
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "PASSWORD": PASSWORD}
        },
    )
    Command().run_from_argv(["manage.py", "sample", *sys.argv[1:]])


if __name__ == "__main__":
    # By its real name, which is where a command has its own from.
    from tests.management.sample import main

    main()
