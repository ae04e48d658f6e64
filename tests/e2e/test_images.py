"""The images as production runs them: what is in them, what they may do, and how they start and stop."""

from __future__ import annotations

import gzip
import http.client
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import bundle, images
from tests.e2e.engine import Engine, EngineError
from tests.e2e.system import wait_for

SITE = Path(__file__).parent / "site"
HOST = "optifit.test"
BEHIND_CADDY = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
# As x-hardened in docker/compose.gce.yaml.
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp:size=64m")
LIMITED = ("--memory=768m", "--memory-swap=768m", "--pids-limit=256")
POSTGRES = """set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
$bin/initdb -D /data/pg -U optifit --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
echo 'host all all 0.0.0.0/0 trust' >>/data/pg/pg_hba.conf
exec $bin/postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off
"""


@dataclass(frozen=True)
class Served:
    """A container that answers on 127.0.0.1:`port`."""

    name: str
    port: int

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", path, headers=BEHIND_CADDY | headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()


def inside(engine: Engine, image: str, script: str) -> str:
    """What the shell script prints in a container of `image`, as the image's own user."""
    return engine.docker("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", script)


def publish_port(engine: Engine, name: str, port: int) -> int:
    return int(engine.docker("port", name, str(port)).rpartition(":")[2])


def is_healthy(engine: Engine, name: str) -> bool:
    said = engine.docker("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", name)
    assert said.startswith("running "), engine.logs(name)
    return said == "running healthy"


@pytest.fixture(scope="module")
def network(engine: Engine) -> Iterator[str]:
    engine.docker("network", "create", "images")
    yield "images"
    engine.clean()


@pytest.fixture(scope="module")
def environment(engine: Engine, network: str, base_image: str, tmp_path_factory) -> list[str]:
    """Arguments of `docker run` for the backend: its settings, and a database that is up."""
    run = ["run", "--detach", "--name=postgres", f"--network={network}", "--user=postgres"]
    engine.docker(*run, "--tmpfs=/data:mode=1777", base_image, "sh", "-c", POSTGRES)

    def has_database() -> bool:
        with suppress(EngineError):
            engine.docker("exec", "postgres", "createdb", "--host=127.0.0.1", "--username=optifit", "optifit")
            return True
        return False

    wait_for(has_database, "PostgreSQL", seconds=120)
    folder = tmp_path_factory.mktemp("secrets")
    folder.chmod(0o755)
    (folder / "secret_key").write_text(secrets.token_urlsafe(50))
    (folder / "secret_key").chmod(0o444)
    settings = {
        "SECRET_KEY_FILE": "/run/secrets/secret_key",
        "DATABASE_URL": "postgresql://optifit@postgres/optifit",
        "ALLOWED_HOSTS": HOST,
        "DEPLOY_BUCKET": "file:///var/lib/deploy/bucket",
        "STATIC_BUCKET": "file:///var/lib/deploy/static",
        "MEDIA_ROOT": "/var/lib/deploy/media",
    }
    arguments = [f"--env={name}={value}" for name, value in settings.items()]
    mounts = [f"--volume={folder}:/run/secrets:ro", "--volume=deploy:/var/lib/deploy"]
    return [f"--network={network}", *HARDENED, *LIMITED, *mounts, *arguments]


@pytest.fixture(scope="module")
def backend(engine: Engine, backend_image: str, environment: list[str]) -> Served:
    """The backend with a slow address more, migrated, ready."""
    text = f"FROM {backend_image}\nCOPY site /app/e2e\nENV DJANGO_SETTINGS_MODULE=e2e.settings\n"
    image = engine.build(text, "optifit-backend:with-slow", context=SITE.parent)
    engine.docker("run", "--rm", *environment, image, "migrate", "--verbosity=0")
    run = ["run", "--detach", "--name=backend", "--publish=127.0.0.1::8000", "--health-interval=1s"]
    engine.docker(*run, *environment, image)
    served = Served("backend", publish_port(engine, "backend", 8000))

    wait_for(lambda: is_healthy(engine, "backend"), "the health check", seconds=180)
    return served


def test_the_backend_says_what_it_is_and_keeps_no_secret(engine, backend_image):
    (image,) = json.loads(engine.docker("inspect", backend_image))
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in image["Config"]["Labels"].items()
    }
    assert labels == {
        "title": "OptiFit backend",
        "licenses": "Apache-2.0",
        "revision": images.FIRST_RELEASE,
        "source": "https://git.invalid/optifit",
        "version": "1.2.3",
        "created": "2026-01-02T03:04:05Z",
    }
    assert image["Config"]["User"] == "10001:10001"
    assert f"RELEASE={images.FIRST_RELEASE}" in image["Config"]["Env"]
    names = {entry.partition("=")[0] for entry in image["Config"]["Env"]}
    assert names == {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "STATIC_ROOT", "RELEASE"}
    history = engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", backend_image)
    # The key of the build is made by the command that uses it: nothing that is kept has its value.
    assert 'SECRET_KEY="$(python -c' in history
    assert "ARG SECRET" not in history


TOOLS = ("gcc", "cc", "make", "pip", "pip3", "curl", "pg_dump", "pg_restore", "python")
LEFTOVERS = """find / -xdev -path /usr/share/python-wheels -prune -o \\
    \\( -name .cache -o -name '*.whl' -o -name .git -o -path '/app/docker/secrets' \\) -print 2>/dev/null
true
"""


def test_the_backend_has_what_it_runs_and_nothing_to_build_with(engine, backend_image):
    found = inside(engine, backend_image, f"for tool in {' '.join(TOOLS)}; do command -v $tool; done; true")
    assert [Path(line).name for line in found.splitlines()] == ["pg_dump", "pg_restore", "python"]
    assert inside(engine, backend_image, LEFTOVERS) == ""
    # Hashed names, and the map of them; bytecode, since nothing can be written at the start.
    manifest = json.loads(inside(engine, backend_image, "cat /app/staticfiles/staticfiles.json"))
    hashed = next(iter(manifest["paths"].values()))
    modules = ("/app/deploy", "/app/optifit", "/opt/venv/lib/python3*/site-packages/django")
    listed = " ".join(f"{module}/__pycache__/__init__.*.pyc" for module in modules)
    assert len(inside(engine, backend_image, f"ls '/app/staticfiles/{hashed}' {listed}").split()) == 4


def test_the_backend_adds_little_to_its_base(engine, base_image, backend_image):
    size, base = (
        int(engine.docker("inspect", "--format", "{{.Size}}", image)) for image in (backend_image, base_image)
    )
    assert (
        size - base < 280 * 10**6
    )  # 236 MB when this was written, 28 of them Django's and pglast's libraries


def test_the_backend_serves_as_nobody_special_from_what_it_cannot_change(engine, backend):
    status, headers, _ = backend.get("/readyz")
    assert (status, headers["X-Release"]) == (200, images.FIRST_RELEASE)
    assert engine.docker("exec", backend.name, "id", "-u") == "10001"
    process = engine.docker("exec", backend.name, "cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in process
    assert "CapEff:\t0000000000000000" in process
    for place in ("/app/x", "/opt/venv/x", "/x", "/run/secrets/x"):
        with pytest.raises(EngineError, match=r"Read-only file system|Permission denied"):
            engine.docker("exec", backend.name, "sh", "-c", f"echo x > {place}")


def test_the_backend_is_limited_in_memory_and_processes(engine, backend, backend_image, environment):
    eat = ["--entrypoint=python", backend_image, "-c", "x = bytearray(2 * 2**30); print(len(x))"]
    with pytest.raises(EngineError, match="exited with 137"):
        engine.docker("run", "--rm", *environment, *eat)
    fork = "import subprocess; c = [subprocess.Popen(['sleep', '20']) for _ in range(300)]"
    with pytest.raises(EngineError, match="Resource temporarily unavailable"):
        engine.docker("run", "--rm", *environment, "--entrypoint=python", backend_image, "-c", fork)
    assert backend.get("/livez")[0] == 200


def test_the_backend_says_what_it_lacks_and_does_not_start(engine, backend_image):
    with pytest.raises(EngineError, match=r"exited with 2:\n(?s:.)*SECRET_KEY"):
        engine.docker("run", "--rm", "--network=none", *HARDENED, backend_image)


def test_a_stop_lets_the_request_in_flight_finish(engine, backend):
    """The last of the backend's tests: it stops it."""
    connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=60)
    connection.request("GET", "/slow", headers=BEHIND_CADDY)  # sent; the answer takes two seconds
    answers: list[tuple[int, bytes]] = []

    def read() -> None:
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))

    visitor = threading.Thread(target=read)
    visitor.start()
    engine.docker("stop", "--time=45", backend.name)
    visitor.join(60)
    connection.close()
    log = engine.logs(backend.name)
    assert answers == [(200, b"at last\n")], log
    # 137 would be Docker's kill after 45 seconds.
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", backend.name) == "0", log


@pytest.fixture(scope="module")
def frontend(engine: Engine, frontend_image: str, network: str) -> Served:
    run = ["run", "--detach", "--name=frontend", f"--network={network}", "--publish=127.0.0.1::8080"]
    engine.docker(*run, "--health-interval=1s", *HARDENED, "--memory=128m", "--pids-limit=64", frontend_image)
    wait_for(lambda: is_healthy(engine, "frontend"), "the health check", seconds=120)
    return Served("frontend", publish_port(engine, "frontend", 8080))


def test_the_frontend_serves_its_bundle_as_nobody_special(engine, frontend):
    status, headers, body = frontend.get("/")
    assert (status, headers["X-Release"]) == (200, images.FIRST_RELEASE)
    assert f"OptiFit {images.FIRST_RELEASE}".encode() in body
    assert frontend.get("/plans/42")[2] == body  # an address of the application
    assert json.loads(frontend.get("/version.json")[2])["version"] == images.FIRST_RELEASE
    assert engine.docker("exec", frontend.name, "id", "-u") == "10001"
    with pytest.raises(EngineError, match="Read-only file system"):
        engine.docker("exec", frontend.name, "sh", "-c", "echo x > /srv/index.html")


def test_the_frontend_was_compressed_when_it_was_built(engine, frontend):
    for name in bundle.FILES:
        if name.endswith((".js", ".wasm")):
            status, headers, body = frontend.get(f"/{name}", **{"Accept-Encoding": "gzip"})
            assert (status, headers.get("Content-Encoding")) == (200, "gzip"), name
            assert gzip.decompress(body).decode() == bundle.text(name, release=images.FIRST_RELEASE)


def test_the_frontend_says_what_it_is_and_stops_at_once(engine, frontend, frontend_image):
    labels = json.loads(engine.docker("inspect", "--format", "{{json .Config.Labels}}", frontend_image))
    assert labels["org.opencontainers.image.title"] == "OptiFit frontend"
    assert labels["org.opencontainers.image.revision"] == images.FIRST_RELEASE
    engine.docker("stop", "--time=20", frontend.name)
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", frontend.name) == "0"
