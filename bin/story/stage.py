"""The stage of the demo: one database, one bucket, one public port, and what is done on it."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from processes import Servers, StoryError, console, output, python, run, wait_until
from releases import RELEASE_A, Release, build
from visitors import Visitors, live_release


@dataclass
class Act:
    """A line of the summary."""

    title: str
    told: str = "not reached"
    seconds: float = 0.0


class Stage:
    """The demo's state and its tools. Each raises StoryError when something does not end as told."""

    def __init__(self, root: Path, demo: Path, servers: Servers, socket_dir: Path) -> None:
        self.root, self.demo, self.servers = root, demo, servers
        (demo / "logs").mkdir()
        # The listening socket belongs to the stage, not to a release: old and new gunicorn accept from the
        # same queue during a switch, so no connection is ever refused or lost.
        self._door = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._door.set_inheritable(True)
        self.port: int = self._door.getsockname()[1]
        self.visitors = Visitors(self.port)
        self.acts: list[Act] = []
        self._live = ""
        self._rows = 0
        password = secrets.token_urlsafe(18)
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", str(demo)),
            **{
                name: os.environ[name]
                for name in ("TERM", "NO_COLOR", "COLUMNS", "LANG", "LC_ALL")
                if name in os.environ
            },
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": f"postgresql://postgres@/optifit?host={quote(str(socket_dir), safe='')}",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ALLOWED_HOSTS": "127.0.0.1",
            "ENVIRONMENT": "demo",
            "DEPLOY_BUCKET": f"file://{demo / 'bucket'}",
            "STATIC_BUCKET": f"file://{demo / 'static'}",
            "STATIC_URL": "/static/",
            "MEDIA_ROOT": str(demo / "media"),
            "SECURE_SSL_REDIRECT": "0",  # the demo has no TLS in front of it
            "LOG_LEVEL": "WARNING",
            "SMOKE_ACCOUNT": "smoke",
            "SMOKE_PASSWORD": password,
            "DJANGO_SUPERUSER_PASSWORD": password,
        }
        self._create_database(socket_dir)

    def timings(self) -> dict[str, dict[str, float]]:
        """Seconds of each step that predeploy proved, by release, from the ledger."""
        found: dict[str, dict[str, float]] = {}
        if not self._live:
            return found
        for name in self._releases():
            proofs = self._json("releases", "show", name).get("record", {}).get("steps", [])
            if proofs:
                found[name] = {step["name"]: float(step["seconds"]) for step in proofs}
        return found

    @contextmanager
    def _act(self, title: str, release: Release | None) -> Iterator[Act]:
        act = Act(title)
        self.acts.append(act)
        console.rule(f"[bold]Act {title}", align="left")
        if release:
            console.print(f"{release.name}: {release.brings}.")
        began = time.monotonic()
        try:
            yield act
        except BaseException:
            act.told = "did not end as told"
            raise
        finally:
            act.seconds = time.monotonic() - began

    def _home(self, release: Release) -> Path:
        return self.demo / "releases" / release.name

    def _env_of(self, release: Release) -> dict[str, str]:
        return {**self._env, "RELEASE": release.name}

    def _build(self, release: Release) -> None:
        build(release, source=self.root, target=self._home(release))

    def _manage(self, release: Release, *arguments: str, expect: tuple[int, ...] = (0,)) -> int:
        argv = [python(), "manage.py", *arguments]
        return run(argv, cwd=self._home(release), env=self._env_of(release), expect=expect)

    def _json(self, *arguments: str) -> dict[str, Any]:
        argv = [python(), "manage.py", *arguments, "--format", "json"]
        report = json.loads(output(argv, cwd=self._home(RELEASE_A), env=self._env_of(RELEASE_A)))
        facts: dict[str, Any] = report["steps"][0]["facts"]
        return facts

    def _releases(self) -> dict[str, dict[str, Any]]:
        return {row["release"]: row for row in self._json("releases", "list")["releases"]}

    def _stage_and_smoke(self, release: Release, *, expect: tuple[int, ...] = (0,)) -> int:
        """Start the release on a private port beside the live one, and smoke it there."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        name = f"{release.name} staged"
        self._gunicorn(release, name, f"127.0.0.1:{port}")
        wait_until(lambda: self._answers(name, port, release), seconds=20, what=f"{name} answering")
        return self._manage(
            release, "smoketest", f"http://127.0.0.1:{port}/", "--release", release.name, expect=expect
        )

    def _answers(self, name: str, port: int, release: Release) -> bool:
        self.servers.check(name)
        return live_release(port) == release.name

    def _switch(self, release: Release) -> None:
        """The port swap: the new release accepts from the public socket, then the old one drains and ends."""
        console.print(f"\n[bold cyan]→[/] switch the public port to {release.name}")
        self._gunicorn(release, release.name, f"fd://{self._door.fileno()}")
        seen = 0

        def mostly_new() -> bool:
            nonlocal seen
            self.servers.check(release.name)
            seen += live_release(self.port) == release.name
            return seen >= 3

        wait_until(mostly_new, seconds=30, what=f"{release.name} answering in public")
        if self._live:
            self.servers.stop(self._live)
        self.servers.stop(f"{release.name} staged")
        self._live = release.name
        self._expect_live(release.name)

    def _gunicorn(self, release: Release, name: str, bind: str) -> None:
        argv = [
            python(), "-m", "gunicorn", "optifit.wsgi:application", "--bind", bind, "--workers", "2",
            "--worker-class", "gthread", "--threads", "4", "--no-control-socket", "--graceful-timeout", "15",
            "--worker-tmp-dir", "/dev/shm" if Path("/dev/shm").is_dir() else str(self.demo),  # noqa: S108 – gunicorn's own advice
        ]  # fmt: skip
        self.servers.start(
            name,
            argv,
            cwd=self._home(release),
            env=self._env_of(release),
            log=self.demo / "logs" / f"{name.replace(' ', '-')}.log",
            pass_fd=self._door.fileno() if bind.startswith("fd://") else None,
        )

    def _expect_live(self, name: str) -> None:
        answered = {live_release(self.port) for _ in range(5)}
        if answered != {name}:
            raise StoryError(f"the public port is answered by {answered}, not only by {name}")

    def _sign_in(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"username": self._env["SMOKE_ACCOUNT"], "password": self._env["SMOKE_PASSWORD"]})
        connection.request("POST", "/api/tokens", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if "token" not in answer:
            raise StoryError(f"the smoke account could not sign in: {answer}")
        return str(answer["token"])

    def _create_database(self, socket_dir: Path) -> None:
        import psycopg

        with psycopg.connect(
            host=str(socket_dir), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute("CREATE DATABASE optifit")
        self._socket_dir = socket_dir

    def _columns(self, table: str) -> list[str]:
        import psycopg

        query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY 1"
        with psycopg.connect(host=str(self._socket_dir), user="postgres", dbname="optifit") as connection:
            return [name for (name,) in connection.execute(query, [table])]
