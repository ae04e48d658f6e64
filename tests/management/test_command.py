"""What a command does with each way to end, seen from outside: its output and its exit code."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from deploy import conf
from deploy.reporting.redaction import register_secret
from tests.management.sample import PASSWORD, Command

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "RELEASE": "r1"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.management.sample", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def call(*arguments: str) -> tuple[int, dict[str, object]]:
    """In this process, which is quicker; the exit code and the JSON document."""
    out = io.StringIO()
    try:
        call_command(Command(), *arguments, "--format", "json", stdout=out)
    except SystemExit as stop:
        return int(stop.code or 0), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def ids(document: dict) -> list[tuple[str, str]]:
    return [(step["name"], finding["id"]) for step in document["steps"] for finding in step["findings"]]


def test_done_is_exit_0_without_systemexit():
    code, document = call("succeed")
    assert (code, document["ok"], document["exit_code"]) == (0, True, 0)
    assert ids(document) == [("look around", "deploy.X800")]


def test_an_error_finding_in_a_step_is_exit_1():
    code, document = call("add-error")
    assert (code, document["ok"], document["exit_code"]) == (1, False, 1)


def test_a_refusal_in_a_step_is_told_once_in_that_step():
    code, document = call("refuse")
    assert code == 1
    assert ids(document) == [("look around", "deploy.X800"), ("cross the bridge", "deploy.X801")]


def test_a_refusal_outside_of_steps_gets_a_step_and_keeps_its_exit_code():
    code, document = call("locked")
    assert code == document["exit_code"] == 75
    assert ids(document)[1:] == [("command", "deploy.X801")]


@pytest.mark.parametrize(
    ("action", "finding", "text"),
    [
        ("crash", "deploy.R001", "unexpected RuntimeError: boom with [redacted]"),
        ("usage", "deploy.R002", "There is no release 'x'."),
        ("settings", "deploy.R004", "STATIC_ROOT is not set"),
        ("database", "deploy.R005", "The database did not do what sample asked: connection refused"),
        ("driver", "deploy.R005", "The database did not do what sample asked: could not extend file"),
        ("bucket", "deploy.R005", "The bucket did not do what sample asked: 503 after 5 tries"),
    ],
)
def test_what_goes_wrong_is_one_finding_and_exit_2(action, finding, text):
    register_secret(PASSWORD)
    code, document = call(action)
    assert code == document["exit_code"] == 2
    last = document["steps"][-1]
    assert last["name"] == "command"
    assert [f["id"] for f in last["findings"]] == [finding]
    assert text in last["findings"][0]["message"]
    assert last["findings"][0]["hint"]


def test_a_mistake_in_the_configuration_is_a_finding_before_any_work(settings):
    settings.DEPLOY = {"BUKET": "x"}
    code, document = call("succeed")
    assert code == 2
    assert ids(document) == [("command", "deploy.C001")]


def test_settings_that_do_not_load_are_a_finding(monkeypatch):
    def broken():
        raise ImproperlyConfigured("The SECRET_KEY setting must not be empty.")

    monkeypatch.setattr(conf, "read", broken)
    code, document = call("succeed")
    assert code == 2
    assert ids(document) == [("command", "deploy.R004")]


def test_json_is_all_there_is_on_standard_output():
    done = run("succeed", "--format", "json")
    assert json.loads(done.stdout)["command"] == "sample"
    assert done.stderr == "a library prints something\n"
    assert done.returncode == 0


def test_the_format_may_come_before_or_after_the_action():
    code, document = call("succeed")
    assert code == 0
    done = run("--format", "json", "succeed")
    assert json.loads(done.stdout)["steps"][0]["name"] == document["steps"][0]["name"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sink"], "Argument action: invalid choice: 'sink'"),
        (["sleep", "long"], "Argument seconds: invalid float value: 'long'"),
        ([], "The following arguments are required: action"),
        (["succeed", "--wat"], "Unrecognized arguments: --wat"),
    ],
)
def test_wrong_arguments_are_a_finding_in_the_format_asked_for(arguments, message):
    done = run(*arguments, "--format", "json")
    assert (done.returncode, done.stderr) == (2, "")
    document = json.loads(done.stdout)
    assert ids(document) == [("command", "deploy.R002")]
    assert document["steps"][0]["findings"][0]["message"].startswith(message)
    assert document["steps"][0]["findings"][0]["hint"] == "python manage.py sample --help"


def test_an_unknown_format_is_told_in_plain_lines():
    done = run("succeed", "--format", "yaml")
    assert done.returncode == 2
    assert "deploy.R002 Argument --format: invalid choice: 'yaml'" in done.stdout


def test_help_is_still_help():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Do one thing." in done.stdout


def test_no_traceback_unless_asked_for_and_then_without_secrets():
    assert "Traceback" not in (done := run("crash")).stdout + done.stderr
    traced = run("crash", "--traceback")
    assert traced.returncode == 2
    assert "Traceback" in traced.stderr
    assert "boom" in traced.stderr
    assert PASSWORD not in traced.stdout + traced.stderr


@pytest.mark.parametrize("form", ["plain", "json", "junit", "github", "terminal"])
def test_a_secret_never_leaves_the_process(form, tmp_path):
    summary = tmp_path / "summary.md"
    done = run("leak", "--format", form, "--traceback", GITHUB_STEP_SUMMARY=str(summary))
    told = done.stdout + done.stderr + (summary.read_text() if summary.exists() else "")
    assert summary.exists() == (form == "github")
    assert "[redacted]" in told
    assert PASSWORD not in told


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_unwinds_the_command_and_is_reported(number, code):
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "tests.management.sample", "sleep", "60", "--format", "plain"],
        cwd=ROOT,
        env=ENVIRONMENT | {"PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        told = []
        while told[-1:] != ["asleep\n"]:
            told.append(process.stdout.readline())
            assert told[-1], "it ended before it was asked to"
        assert "▶ sleep\n" in told  # the start line comes at once, not when the step ends
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert err == "unwound\n"
    assert f"deploy.R003 sample was interrupted by {number.name}." in out
    assert "✗ sleep" in out


def test_a_reader_that_goes_away_does_not_stop_the_deploy():
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.management.sample", "sleep", "0.01", "--format", "plain"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "unwound\n")


def test_handlers_are_as_before_once_the_command_is_over():
    before = signal.getsignal(signal.SIGTERM)
    call("succeed")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_a_time_limit_that_never_comes_is_a_mistake_in_usage(seconds: str, capsys) -> None:
    from deploy.management.commands.migrategate import Command

    with pytest.raises(SystemExit) as stopped:
        Command().run_from_argv(
            ["manage.py", "migrategate", "wait", f"--timeout={seconds}", "--format", "json"]
        )
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert stopped.value.code == 2
    assert [finding["id"] for finding in step["findings"]] == ["deploy.R002"]
    assert seconds in step["findings"][0]["message"]


def test_only_a_command_that_goes_on_where_it_stopped_says_so_when_it_is_interrupted():
    from deploy.management.commands.migrategate import Command as Migrategate
    from deploy.management.commands.predeploy import Command as Predeploy

    rehearse = {"action": "rehearse", "scratch": ""}
    assert "goes on after the last proved step" in Predeploy().after_interruption({})
    assert "goes on" in Migrategate().after_interruption({"action": "apply"})
    assert "begins anew" in Migrategate().after_interruption(rehearse)
    assert "Make a new one" in Migrategate().after_interruption(rehearse | {"scratch": "deploy_scratch_x"})
    assert Command().after_interruption({}) == "Run the same command again."
