"""A machine in a folder: rollout.py as a process, the stand-in for Docker, and a proxy that obeys live/."""

from __future__ import annotations

import http.client
import json
import os
import random
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SERVICES = ["backend-blue", "backend-green", "frontend-blue", "frontend-green"]
HOST = "optifit.example"
EMPTY = {"schema": 1, "colours": {}, "deployments": [], "pulled": {}, "operation": None, "last": {}}


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.stand_in = folder / "stand-in"
        (self.stand_in / "containers").mkdir(parents=True)
        network = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"  # noqa: S311 – only to be our own
        self.write("settings.json", {"services": SERVICES, "network": network})
        self.network = network
        self.images: dict[str, dict[str, str]] = {}
        self.compose_file = folder / "compose.yaml"
        self.compose_file.write_text("services: {}\n")
        for name in ("docker", "compose"):
            script = folder / name
            script.write_text(
                f"#!{sys.executable} -SE\nimport sys\nsys.path.insert(0, {str(HERE)!r})\n"
                f"import stand_in\nstand_in.main({name!r}, sys.argv[1:])\n"
            )
            script.chmod(0o755)
        self.proxy = Proxy(self)
        self.environment = {
            "PATH": os.environ["PATH"],
            "STAND_IN": str(self.stand_in),
            "COMPOSE_FILE": str(self.compose_file),
            "ROLLOUT_STATE": str(self.state),
            "ROLLOUT_COMPOSE": str(folder / "compose"),
            "ROLLOUT_DOCKER": str(folder / "docker"),
            "PUBLIC_HOST": HOST,
            "PUBLIC_URL": "https://optifit.example",
            "PROXY_URL": f"http://127.0.0.1:{self.proxy.port}",
            "ROLLOUT_DRAIN_SECONDS": "0",
            "ROLLOUT_START_SECONDS": "30",
            "ROLLOUT_SWITCH_SECONDS": "1",
            "ROLLOUT_STOP_SECONDS": "5",
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
        }

    def serve(self, release: str, colour: str = "blue", part: str = "backend") -> str:
        """As if the release had been rolled out there before: live, or at the colour for `rollback`."""
        image = self.image(release, part)
        self.write("pulled.json", list(self.images))
        path = self.state / "rollout" / "state.json"
        state = json.loads(path.read_text()) if path.exists() else dict(EMPTY)
        there = {"image": image, "release": release}
        state["colours"].setdefault(part, {})[colour] = there
        before = dict(state["deployments"][-1]["parts"]) if state["deployments"] else {}
        state["deployments"].append({"at": "2026-01-01T00:00:00+00:00", "parts": {**before, part: there}})
        state["pulled"].setdefault(part, []).append(image)
        for name in ("rollout", "log", "live/canary"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(state))
        for old in (self.state / "live").glob(f"{part}.*"):
            old.unlink()
        (self.state / "live" / f"{part}.{colour}").touch()
        self.compose("up", "-d", "--no-deps", f"{part}-{colour}", image=image)
        return image

    def compose(self, *arguments: str, image: str) -> None:
        """Call the stand-in as a person might."""
        names = {f"{service.upper().replace('-', '_')}_IMAGE": image for service in SERVICES}
        environment = {**self.environment, **names}
        subprocess.run([self.folder / "compose", *arguments], env=environment, check=True, timeout=60)

    def docker(self, *arguments: str) -> None:
        subprocess.run([self.folder / "docker", *arguments], env=self.environment, check=True, timeout=60)

    def write(self, name: str, data: object) -> None:
        (self.stand_in / name).write_text(json.dumps(data))

    def image(self, release: str, part: str = "backend", **behaves: str) -> str:
        digest = f"{len(self.images) + 1:064x}"
        reference = f"127.0.0.1:5000/optifit/{part}@sha256:{digest}"
        self.images[reference] = {"release": release, **behaves}
        self.write("images.json", self.images)
        return reference

    def fault(self, name: str, **what: object) -> None:
        self.write("faults.json", {name: what} if what else {})

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, str(ROOT / "docker" / "rollout.py"), *arguments]

    def start(self, argv: list[str], **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            argv,
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, str]:
        process = self.start(self.argv(*arguments), **more)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def rollout(self, *arguments: str, expect: int = 0, **more: str) -> str:
        code, output = self.run("rollout", *arguments, **more)
        assert code == expect, output
        return output

    def kill_at(self, state: str, moment: str, *arguments: str) -> None:
        argv = [sys.executable, str(HERE / "killed.py"), state, moment, *arguments]
        process = self.start(argv)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == -9, output

    def journal(self) -> dict:
        return json.loads((self.state / "rollout" / "state.json").read_text())

    def lines(self, name: str) -> list[dict]:
        path = self.stand_in / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def ledger(self) -> list[str]:
        return [f"{line['kind']} {line['release']}" for line in self.lines("ledger.jsonl")]

    def jobs(self) -> list[str]:
        return [" ".join(line["job"]) for line in self.lines("calls.jsonl") if "job" in line]

    def running(self) -> list[str]:
        found = []
        for path in (self.stand_in / "containers").glob("*.json"):
            one = json.loads(path.read_text())
            if one["pid"] and Path(f"/proc/{one['pid']}").exists():
                found.append(one["service"])
        return sorted(found)

    def public(self, path: str = "/version") -> str:
        """The release that answers the public."""
        return self.proxy.ask(path)[1]

    def containers(self) -> list[dict[str, Any]]:
        """What the stand-in knows of each container; a one-shot one may end while they are read."""
        found = []
        for path in (self.stand_in / "containers").glob("*.json"):
            with suppress(FileNotFoundError):
                found.append(json.loads(path.read_text()))
        return found

    def power_cut(self) -> None:
        """End every container at once, as they were."""
        for one in self.containers():
            if one["service"] in SERVICES and one["pid"]:
                with suppress(ProcessLookupError):
                    os.kill(one["pid"], 9)

    def close(self) -> None:
        self.proxy.close()
        for one in self.containers():
            if one["pid"] and one["pid"] != os.getpid() and one["service"] in SERVICES:
                with suppress(ProcessLookupError):
                    os.kill(one["pid"], 9)


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


class Proxy:
    """Obeys live/ as docker/caddy/site.caddy does. `broken`: the status that a release gets here."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.broken: dict[str, int] = {}
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, release, colour, body = proxy.ask(self.path)
                self.send_response(status)
                self.send_header("X-Release", release)
                self.send_header("X-Served-By", colour)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def ask(self, path: str, bucket: str = "ff") -> tuple[int, str, str, bytes]:
        part = "frontend" if path in ("/", "/version.json") else "backend"
        live = self.machine.state / "live"
        colour = "green" if (live / f"{part}.green").exists() else "blue"
        if part == "backend" and (live / "canary" / bucket).exists():
            colour = "blue" if colour == "green" else "green"
        number = SERVICES.index(f"{part}-{colour}") + 1
        port = 8080 if part == "frontend" else 8000
        connection = http.client.HTTPConnection(f"{self.machine.network}.{number}", port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            status, release, body = answer.status, answer.getheader("X-Release", ""), answer.read()
        except OSError:
            status, release, body = 502, "", b""
        finally:
            connection.close()
        status = self.broken.get(release, status)
        return status, release, colour, body

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
