"""References through Google's own client to a server that speaks the API, and through files."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from deploy.reporting.redaction import redact
from deploy.secret_references import resolve
from deploy.secret_references.secret_manager import THREADS
from deploy.testing import Fault
from deploy.testing.secret_manager_server import SecretManagerServer

MARKER = "marker-that-must-not-be-seen"


@pytest.fixture
def server() -> Iterator[SecretManagerServer]:
    with SecretManagerServer() as running:
        running.add("shop", "key", b"first value\n")
        running.add("shop", "key", f"{MARKER}\n".encode())
        yield running


@pytest.fixture
def environ(server: SecretManagerServer) -> dict[str, str]:
    return {"SECRET_MANAGER_EMULATOR_HOST": server.url, "GOOGLE_CLOUD_PROJECT": "shop"}


def refusal(environ: dict[str, str], reference: str, limit_seconds: float = 20) -> tuple[str, str]:
    """Id and message of the one finding; the variable is left as it was, and the value told to nobody."""
    environ["KEY"] = reference
    found = resolve(environ, files=["KEY"], limit_seconds=limit_seconds)
    assert environ["KEY"] == reference
    assert "KEY_SECRET" not in environ
    assert list(found) == ["KEY"]
    assert MARKER not in f"{found['KEY']}"
    return found["KEY"].id, found["KEY"].message


@pytest.mark.parametrize(
    ("reference", "value", "version"),
    [
        ("sm://key", MARKER, 2),
        ("sm://shop/key", MARKER, 2),
        (" sm://shop/key#1 ", "first value", 1),
        ("sm://key#latest", MARKER, 2),
        ("sm://key#stable", "first value", 1),
    ],
)
def test_a_reference_becomes_the_value_and_its_version_is_kept(server, environ, reference, value, version):
    server.alias("shop", "key", "stable", 1)
    environ["KEY"] = reference
    assert resolve(environ) == {}
    assert environ["KEY"] == value
    assert environ["KEY_SECRET"] == f"projects/123456789012/secrets/key/versions/{version}"
    assert redact(f"it is {value}") == "it is [redacted]"


def test_several_are_asked_for_at_once_and_each_only_once(server, environ):
    # Each answer waits for all the requests to be there: one after the other they would never come.
    meeting = threading.Barrier(3, timeout=60)
    for number in range(3):
        server.add("shop", f"part-{number}", str(number).encode())
    answer = server.answer
    server.answer = lambda request: (meeting.wait(), answer(request))[1]
    environ |= {f"PART_{number}": f"sm://part-{number}" for number in range(3)} | {"AGAIN": "sm://part-1"}
    assert resolve(environ, limit_seconds=60) == {}
    assert [environ[name] for name in ("PART_0", "PART_1", "PART_2", "AGAIN")] == ["0", "1", "2", "1"]
    assert len(server.requests) == 3


def test_no_thread_is_left_for_a_fork_to_meet(environ):
    assert resolve(environ | {"KEY": "sm://key"}) == {}
    assert THREADS not in {thread.name for thread in threading.enumerate()}


def test_what_is_missing_forbidden_or_disabled_has_its_own_finding(server, environ):
    server.add("shop", "secret-of-others", b"x")
    server.forbid("shop", "secret-of-others")
    server.disable("shop", "key", 1)
    assert refusal(environ, "sm://missing#3") == (
        "deploy.H021",
        "KEY: Secret Manager has no sm://shop/missing#3.",
    )
    assert refusal(environ, "sm://key#9")[0] == "deploy.H021"
    assert refusal(environ, "sm://other/key")[0] == "deploy.H021"
    assert refusal(environ, "sm://secret-of-others") == (
        "deploy.H022",
        "KEY: this process may not read sm://shop/secret-of-others#latest.",
    )
    assert refusal(environ, "sm://key#1") == (
        "deploy.H023",
        "KEY: Secret Manager refuses sm://shop/key#1: HTTP 400 "
        "Secret Version [projects/123456789012/secrets/key/versions/1] is in DISABLED state.",
    )


def test_one_that_is_refused_does_not_keep_the_others_from_being_resolved(environ):
    environ |= {"KEY": "sm://missing", "OTHER": "sm://key"}
    assert list(resolve(environ)) == ["KEY"]
    assert environ["OTHER"] == MARKER


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(status=429), Fault(status=502), Fault(reset=True), Fault(lose_response=True)],
)
def test_a_service_that_flaps_is_asked_again(server, environ, fault):
    server.faults.add(fault, times=2)
    environ["KEY"] = "sm://key"
    assert resolve(environ, limit_seconds=60) == {}
    assert environ["KEY"] == MARKER
    assert len(server.requests) == 3


def test_a_service_that_is_down_is_given_up_at_the_limit(server, environ):
    server.faults.add(Fault(status=503), times=1000)
    identifier, message = refusal(environ, "sm://key", limit_seconds=1)
    assert identifier == "deploy.H024"
    assert message.startswith("KEY: sm://shop/key#latest could not be read within 1 seconds: ")


def test_a_service_that_is_silent_is_given_up_at_the_limit(server, environ):
    held, answer = threading.Event(), server.answer
    server.answer = lambda request: (held.wait(60), answer(request))[1]
    try:
        assert refusal(environ, "sm://key", limit_seconds=0.5) == (
            "deploy.H024",
            "KEY: sm://shop/key#latest could not be read within 0.5 seconds: no answer.",
        )
    finally:
        held.set()


def test_a_damaged_value_is_refused(server, environ):
    answer = server.answer

    def damaged(request):
        given = answer(request)
        return type(given)(given.status, given.body.replace(b'"data": "', b'"data": "QUJD'), given.headers)

    server.answer = damaged
    assert refusal(environ, "sm://key") == (
        "deploy.H028",
        "KEY: what sm://shop/key#latest holds can't be an environment variable: it was damaged on its way.",
    )


@pytest.mark.parametrize(
    ("data", "reason"), [(b"\xff\xfe", "not UTF-8"), (b"a\0b", "a zero byte"), (b" \n", "empty")]
)
def test_a_value_that_no_variable_can_hold_is_refused(server, environ, data, reason):
    server.add("shop", "odd", data)
    identifier, message = refusal(environ, "sm://odd")
    assert identifier == "deploy.H028"
    assert reason in message


@pytest.mark.parametrize(
    "text", ["", "/key", "shop/", "a/b/c", "key#", "key#0", "key#-1", "ke y", "key#1\n2", "Ünï"]
)
def test_a_reference_of_no_form_is_refused_before_anybody_is_asked(server, environ, text):
    assert refusal(environ, f"sm://{text}")[0] == "deploy.H020"
    assert server.requests == []


def test_a_reference_without_a_project_is_refused_where_nothing_names_one(environ):
    del environ["GOOGLE_CLOUD_PROJECT"]
    assert refusal(environ, "sm://key")[0] == "deploy.H027"


def test_missing_credentials_are_named(environ, monkeypatch, tmp_path):
    del environ["SECRET_MANAGER_EMULATOR_HOST"]
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert refusal(environ, "sm://key") == (
        "deploy.H026",
        "KEY: sm://shop/key#latest needs credentials of Google Cloud, and there are none "
        "(DefaultCredentialsError).",
    )


def test_a_missing_client_is_named(environ, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.secretmanager_v1", None)
    assert refusal(environ, "sm://key")[0] == "deploy.H025"


def test_files_are_read_only_for_variables_that_may_be_files(environ, tmp_path):
    (tmp_path / "secret").write_text(f"{MARKER}\n")
    reference = f"file://{tmp_path}/secret"
    environ |= {"KEY": reference, "BUCKET": reference}
    assert resolve(environ, files=["KEY"]) == {}
    assert (environ["KEY"], environ["BUCKET"]) == (MARKER, reference)
    assert refusal(environ, f"file://{tmp_path}/none") == (
        "deploy.H029",
        f"KEY: file://{tmp_path}/none can't be read: No such file or directory.",
    )
    assert refusal(environ, "file://secret")[0] == "deploy.H020"


def test_nothing_logs_a_value(server, environ, caplog):
    with caplog.at_level(logging.DEBUG):
        assert resolve(environ | {"KEY": "sm://key"}) == {}
    assert MARKER not in caplog.text


def test_without_a_reference_nothing_is_imported():
    code = (
        "import sys\nfrom deploy.secret_references import resolve\n"
        "assert resolve({'A': 'b'}, files=['A']) == {}\n"
        "assert not [name for name in sys.modules if name.startswith(('google', 'grpc', 'requests'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
