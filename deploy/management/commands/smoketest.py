"""`smoketest URL`: the checklist against a container or the public address."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand


class Command(DeployCommand):
    """Exit code 0 when every probe is content, 1 when one is not, 2 for an address that can't be used."""

    help = "Smoke test a running server: health, release, headers, static files, login, API, error pages."

    def arguments(self, parser: CommandParser) -> None:
        """Where it is, which release it should be, and how to get past a proxy."""
        parser.add_argument("url", help="for example https://app.example.com or http://127.0.0.1:8001")
        parser.add_argument("--release", help="the release that must answer; default: RELEASE, else any")
        parser.add_argument("--host", metavar="NAME", help="Host header to send instead of the URL's host")
        parser.add_argument(
            "--resolve",
            metavar="HOST:PORT:ADDRESS",
            help="connect to ADDRESS for the URL's host, as curl does: the next server before the name moves",
        )
        parser.add_argument(
            "--behind-proxy",
            action="store_true",
            help="send X-Forwarded-Proto: https, for a private port that a TLS proxy will stand before",
        )
        parser.add_argument(
            "--timeout",
            type=_seconds,
            metavar="SECONDS",
            help="for the whole run; default: DEPLOY['SMOKE_TIMEOUT_SECONDS']",
        )

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        """Run the probes; each is a step."""
        from deploy.smoke import run_probes

        release = options["release"] or conf.release
        self.report.release = release
        for step in run_probes(
            conf,
            options["url"],
            release=release,
            host=options["host"],
            resolve=options["resolve"],
            behind_proxy=options["behind_proxy"],
            timeout_seconds=options["timeout"],
        ):
            self.report.add_step(step)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from above 0 to 3600")
    return seconds
