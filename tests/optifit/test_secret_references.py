"""OptiFit started with references in the place of its secrets, as a process of its own."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.testing.secret_manager_server import SecretManagerServer
from optifit.environment import SECRETS

ROOT = Path(__file__).parents[2]
KEY = "a-secret-key-from-secret-manager-that-is-long-enough-0123456789"
SHOW = """
import json, os, django
django.setup()
from django.conf import settings
from deploy import conf
versions = dict(conf.load().backup.secret_versions)
print(json.dumps([settings.SECRET_KEY, settings.SENTRY_DSN, settings.DEPLOY["BUCKET"], versions]))
"""


@pytest.fixture
def environ(tmp_path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "optifit.settings",
        "SECRET_KEY": "sm://optifit/secret-key",
        "SENTRY_DSN": f"file://{tmp_path}/dsn",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DEPLOY_BUCKET": f"file://{tmp_path}/bucket",
        "ALLOWED_HOSTS": "optifit.example",
    }


def run(environ: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_settings_have_the_values_and_a_backup_the_versions(environ, tmp_path):
    (tmp_path / "dsn").write_text("http://key@127.0.0.1:9/1\n")
    with SecretManagerServer() as server:
        server.add("optifit", "secret-key", KEY.encode())
        done = run(environ | {"SECRET_MANAGER_EMULATOR_HOST": server.url}, "-c", SHOW)
    assert done.returncode == 0, done.stderr
    key, dsn, bucket, versions = json.loads(done.stdout)
    assert (key, dsn, bucket) == (KEY, "http://key@127.0.0.1:9/1", environ["DEPLOY_BUCKET"])
    assert versions == {"SECRET_KEY": "projects/123456789012/secrets/secret-key/versions/1"}


@pytest.mark.parametrize("argv", [["manage.py", "check"], ["docker/entrypoint", "serve"]])
def test_each_that_cannot_be_read_is_named_once_and_nothing_starts(environ, tmp_path, argv):
    with SecretManagerServer() as server:
        server.forbid("optifit", "secret-key")
        hosts = {"ALLOWED_HOSTS": "sm://optifit/hosts", "SECRET_MANAGER_EMULATOR_HOST": server.url}
        done = run(environ | hosts, *argv)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "hint:" not in line] == [
        f"deploy.H029 SENTRY_DSN: file://{tmp_path}/dsn can't be read: No such file or directory.",
        "deploy.H022 SECRET_KEY: this process may not read sm://optifit/secret-key#latest.",
        "deploy.H021 ALLOWED_HOSTS: Secret Manager has no sm://optifit/hosts#latest.",
    ]


def test_the_container_takes_the_same_variables_as_files():
    assert runpy.run_path(str(ROOT / "docker" / "entrypoint"))["SECRETS"] == SECRETS
