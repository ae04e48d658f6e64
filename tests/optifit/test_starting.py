"""What a process does with its environment, in real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optifit.development import DEPLOY_COMMANDS, use_embedded_defaults

ROOT = Path(__file__).resolve().parents[2]
KEY = "k3y-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2
PRODUCTION = {
    "SECRET_KEY": KEY,
    "DATABASE_URL": "postgresql://optifit:hunter2-hunter2@127.0.0.1:1/optifit",
    "ALLOWED_HOSTS": "optifit.example",
}


def run(*argv: str, **variables: str) -> subprocess.CompletedProcess:
    """The argv in a bare environment with only these variables."""
    return subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_bare_production_process_refuses_naming_everything_without_a_traceback():
    done = run("manage.py", "check")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.split(":")[0] for line in lines[::2]] == [
        "optifit.E001 SECRET_KEY is not set",
        "optifit.E001 ALLOWED_HOSTS is not set",
        "optifit.E001 DATABASE_URL is not set",
    ]
    assert all(line.startswith("    hint: export ") for line in lines[1::2])


def test_traceback_is_there_for_who_asks():
    done = run("manage.py", "check", "--traceback")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("module", ["optifit.wsgi", "optifit.asgi"])
def test_a_server_process_refuses_too_and_never_starts_an_embedded_database(module):
    done = run("-c", f"import {module}")
    assert done.returncode == 3
    assert "optifit.E001 DATABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_gunicorn_stops_instead_of_restarting_its_workers(tmp_path):
    done = run("-m", "gunicorn", "-b", f"unix:{tmp_path}/s", "--no-control-socket", "optifit.wsgi")
    assert done.returncode == 3
    assert done.stderr.count("optifit.E001 SECRET_KEY is not set") == 1


def test_no_secret_is_in_a_refusal():
    done = run("manage.py", "check", **PRODUCTION | {"SECRET_KEY": "hunter2", "RELEASE": "not a release"})
    assert done.returncode == 2
    assert "optifit.E002 RELEASE is 'not a release'" in done.stderr
    assert "hunter2" not in done.stderr


def settings_of(*names: str, **variables: str) -> dict:
    """Those settings of a process with these variables."""
    code = (
        "import json, sys; from optifit import settings as s;"
        "print(json.dumps({n: getattr(s, n) for n in sys.argv[1:]}, default=str))"
    )
    done = run("-c", code, *names, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_production_is_safe_by_default():
    expected = {
        "DEBUG": False,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_CONTENT_TYPE_NOSNIFF": True,
        "SECURE_REFERRER_POLICY": "same-origin",
        "X_FRAME_OPTIONS": "DENY",
        "ALLOWED_HOSTS": ["optifit.example"],
    }
    assert settings_of(*expected, **PRODUCTION) == expected


def test_djangos_deployment_checks_have_nothing_to_say_about_production():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


def test_connections_are_kept_and_checked_in_production():
    entry = settings_of("DATABASES", **PRODUCTION)["DATABASES"]["default"]
    assert (entry["CONN_MAX_AGE"], entry["CONN_HEALTH_CHECKS"]) == (60, True)


def test_a_media_bucket_selects_google_cloud_storage_with_short_signed_urls():
    storages = settings_of(
        "STORAGES", GS_MEDIA_BUCKET="optifit-media", SIGNED_URL_SECONDS="300", **PRODUCTION
    )
    assert storages["STORAGES"]["default"] == {
        "BACKEND": "storages.backends.gcloud.GoogleCloudStorage",
        "OPTIONS": {
            "bucket_name": "optifit-media",
            "querystring_auth": True,
            "expiration": "0:05:00",
            "file_overwrite": False,
            "iam_sign_blob": False,
        },
    }


def test_without_a_media_bucket_files_are_on_disk():
    assert settings_of("STORAGES", **PRODUCTION)["STORAGES"]["default"] == {
        "BACKEND": "django.core.files.storage.FileSystemStorage"
    }


def test_deploy_is_configured_from_the_same_environment():
    deploy = settings_of(
        "DEPLOY", DEPLOY_BUCKET="gs://ops/optifit", STATIC_BUCKET="optifit-static", **PRODUCTION
    )["DEPLOY"]
    assert (deploy["PROJECT"], deploy["ENVIRONMENT"]) == ("optifit", "production")
    assert (deploy["BUCKET"], deploy["STATIC_BUCKET"]) == ("gs://ops/optifit", "gs://optifit-static")


def test_starting_imports_no_cloud_client():
    code = "import django, sys; django.setup(); print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = run("-c", code, DJANGO_SETTINGS_MODULE="optifit.settings", GS_MEDIA_BUCKET="media", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert not {"google", "storages", "rich", "zstandard", "sentry_sdk"} & set(
        json.loads(done.stdout.replace("'", '"'))
    )


def test_sentry_gets_no_personal_data_and_no_request_bodies():
    code = (
        "import sentry_sdk; from optifit import settings; o = sentry_sdk.get_client().options;"
        "print(o['send_default_pii'], o['max_request_body_size'], o['environment'], o['release'])"
    )
    done = run(
        "-c", code, SENTRY_DSN="https://0123456789abcdef@127.0.0.1:1/1", RELEASE="r1", ENVIRONMENT="staging",
        **PRODUCTION,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "never", "staging", "r1"]


class TestWithNoSettingAtAll:
    def test_a_command_of_deploys_switches_to_development(self):
        environ: dict[str, str] = {}
        assert use_embedded_defaults(["manage.py", "predeploy"], environ)
        assert environ == {"DJANGO_DEBUG": "1"}

    @pytest.mark.parametrize("command", ["check", "migrate", "runserver", "shell", "collectstatic"])
    def test_no_other_command_does(self, command):
        environ: dict[str, str] = {}
        assert not use_embedded_defaults(["manage.py", command], environ)
        assert environ == {}

    def test_one_variable_is_enough_to_mean_it(self):
        assert not use_embedded_defaults(["manage.py", "predeploy"], {"RELEASE": "r1"})
        assert not use_embedded_defaults(["manage.py", "predeploy"], {"DJANGO_DEBUG": "0"})

    def test_not_where_production_has_no_embedded_postgresql(self, monkeypatch):
        monkeypatch.setattr("deploy.databases.embedded.is_installed", lambda: False)
        assert not use_embedded_defaults(["manage.py", "predeploy"], {})

    def test_not_for_other_settings(self):
        assert not use_embedded_defaults(
            ["manage.py", "predeploy"], {"DJANGO_SETTINGS_MODULE": "tests.settings"}
        )

    def test_manage_py_says_so_in_one_line(self):
        done = run("manage.py", "predeploy", "--no-such-option", RELEASE="")
        assert "optifit.E001" in done.stderr  # an empty variable is set on purpose
        done = run(
            "-c", "import manage, sys; sys.argv = ['manage.py', 'releases', '--version']; manage.main()"
        )
        assert done.returncode == 0
        assert done.stderr == "No setting is set: development, with an embedded PostgreSQL under .deploy/\n"

    def test_every_command_of_deploys_is_known(self):
        from django.core.management import get_commands

        of_deploy = {name for name, app in get_commands().items() if app == "deploy"}
        assert of_deploy <= DEPLOY_COMMANDS
