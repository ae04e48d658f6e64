"""The container's start, run without a container: the same script, a real database, a real gunicorn."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

ROOT = Path(__file__).parents[2]
ENTRYPOINT = [sys.executable, str(ROOT / "docker" / "entrypoint")]
KEY = "entrypoint-test-key-that-is-long-enough-for-production-0123456789"


@pytest.fixture
def database(worker_id):
    """An empty database of this test's own: its address."""
    entry = settings.DATABASES["default"]
    server = {"host": entry["HOST"], "user": entry["USER"], "dbname": "postgres", "autocommit": True}
    name = sql.Identifier(f"entrypoint_{worker_id}_{os.getpid()}")
    with psycopg.connect(**server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        quoted = urllib.request.quote(entry["HOST"], safe="")
        yield f"postgresql://{entry['USER']}@/{name._obj[0]}?host={quoted}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    (tmp_path / "secret_key").write_text(f"{KEY}\n")
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SECRET_KEY_FILE": str(tmp_path / "secret_key"),
        "ALLOWED_HOSTS": "127.0.0.1",
        "RELEASE": "r1",
        "DEPLOY_BUCKET": f"file://{tmp_path}/bucket",
        "STATIC_BUCKET": f"file://{tmp_path}/static",
        "MEDIA_ROOT": str(tmp_path / "media"),
        "STATIC_ROOT": str(tmp_path / "staticfiles"),
        "WEB_CONCURRENCY": "1",
        "WEB_DRAIN_SECONDS": "0",
        "WEB_THREADS": "2",
    }


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ENTRYPOINT, *arguments],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 – our own address
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_serves_only_once_the_schema_is_there(environment, database, tmp_path):
    port = free_port()
    environment |= {"DATABASE_URL": database, "PORT": str(port)}
    with subprocess.Popen(
        ENTRYPOINT, cwd="/", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as serving:
        try:
            assert serving.stderr
            assert serving.stderr.readline().startswith("▶ ")
            time.sleep(0.5)
            assert answers(f"http://127.0.0.1:{port}/livez") == 0
            migrated = run(environment, "migrate", "--verbosity", "0")
            assert migrated.returncode == 0, migrated.stderr
            deadline = time.monotonic() + 30
            while (status := answers(f"http://127.0.0.1:{port}/livez")) != 200:
                assert serving.poll() is None
                assert time.monotonic() < deadline, status
                time.sleep(0.1)
        finally:
            serving.send_signal(signal.SIGTERM)
            _, told = serving.communicate(timeout=40)
    assert serving.returncode == 0, told
    # In this order, and gunicorn's master is the process that was started: in a container, process 1.
    order = [
        "✓ migrategate r1: done",
        "✓ preflight r1: done",
        f"Listening at: http://0.0.0.0:{port} ({serving.pid})",
    ]
    assert [told.index(text) for text in order] == sorted(told.index(text) for text in order)
    assert KEY not in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_wait_at_once(environment, database, number, code):
    environment |= {"DATABASE_URL": database}
    with subprocess.Popen(
        ENTRYPOINT, cwd="/", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as starting:
        assert starting.stderr
        assert starting.stderr.readline().startswith("▶ ")
        starting.send_signal(number)
        _, told = starting.communicate(timeout=60)
    assert starting.returncode == code
    assert "Traceback" not in told


def test_serves_nothing_that_preflight_refuses(environment, database):
    environment |= {"DATABASE_URL": database}
    assert run(environment, "migrate", "--verbosity", "0").returncode == 0
    done = run(environment | {"STATIC_BUCKET": environment["DEPLOY_BUCKET"]})
    assert done.returncode == 1
    assert "deploy.P010" in done.stderr
    assert "Listening" not in done.stderr


def test_another_word_is_a_command_of_manage_py(environment, database):
    done = run(environment | {"DATABASE_URL": database}, "check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("System check identified no issues")


def test_an_incomplete_environment_is_named_before_anything_starts(environment):
    done = run(environment)
    assert done.returncode == 2
    assert "DATABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_secret_that_cannot_be_read_is_named(environment):
    done = run(environment | {"SECRET_KEY_FILE": "/nonexistent/key"})
    assert done.returncode == 1
    assert done.stderr == (
        "entrypoint: SECRET_KEY_FILE names /nonexistent/key, which can't be read: No such file or directory\n"
    )
