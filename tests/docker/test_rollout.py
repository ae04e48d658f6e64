"""Rollouts, as processes: what the public gets, what the ledger is told, what is kept."""

import json

import pytest

from .machine import Machine, wait_for


def test_a_first_release_and_a_second_one(machine: Machine) -> None:
    first = machine.image("A")
    assert "release A of the backend is live" in machine.rollout(first)
    assert machine.public() == "A"
    machine.rollout(machine.image("B"))
    assert machine.public() == "B"
    assert machine.ledger() == ["prepared A", "live A", "prepared B", "live B"]
    assert "backend-blue" not in machine.running()  # drained and stopped
    state = machine.journal()
    assert state["operation"] is None
    assert state["colours"]["backend"]["blue"] == {"image": first, "release": "A"}  # and kept


def test_the_steps_come_in_their_order(served: Machine) -> None:
    served.rollout(served.image("B"))
    names = [job.split()[0] for job in served.jobs()]
    assert names == ["releases", "predeploy", "smoketest", "smoketest", "postdeploy"]
    assert any("http://backend-green:8000 --release B --host optifit.example" in job for job in served.jobs())
    assert not (served.stand_in / "lock.json").exists()  # given back
    # and the token of the lock was in no command line
    for line in served.lines("calls.jsonl"):
        if "compose" in line and "run" in line["compose"]:
            assert not any(argument.startswith("DEPLOY_LOCK_TOKEN=") for argument in line["compose"])


def test_the_image_that_is_live_is_left_alone(served: Machine) -> None:
    image = next(iter(served.images))
    assert "live already" in served.rollout(image)
    assert served.ledger() == []


def test_the_same_image_again_tells_the_ledger_nothing(served: Machine) -> None:
    image = next(iter(served.images))
    served.rollout(image, "--again")
    assert served.public() == "A"
    assert (served.state / "live" / "backend.green").exists()
    assert served.ledger() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["127.0.0.1:5000/optifit/backend:latest"],
        ["optifit/backend:1@sha256:" + "0" * 64],
        ["optifit/backend@sha256:" + "0" * 63],
        ["--help-me"],
        ["$(reboot)@sha256:" + "0" * 64],
        ["optifit/backend@sha256:" + "0" * 64, "--canary", "80%"],
        ["optifit/backend@sha256:" + "0" * 64, "--for", "10m"],
        ["optifit/backend@sha256:" + "0" * 64, "--canary", "5%", "--for", "ever"],
        ["optifit/backend@sha256:" + "0" * 64, "--release", "a b"],
        [],
    ],
)
def test_refuses_what_it_can_not_use_before_anything_is_done(machine: Machine, arguments: list[str]) -> None:
    output = machine.rollout(*arguments, expect=2)
    assert "Traceback" not in output
    assert not (machine.state / "rollout").exists()


def test_needs_to_know_the_public_name(machine: Machine) -> None:
    assert "rollout.R003" in machine.rollout(machine.image("A"), expect=2, PUBLIC_HOST="")


def test_reads_what_stands_in_dotenv(machine: Machine) -> None:
    (machine.folder / ".env").write_text(
        "# plain settings\nPUBLIC_HOST=optifit.example\nROLLOUT_DRAIN_SECONDS=x\n"
    )
    del machine.environment["PUBLIC_HOST"], machine.environment["ROLLOUT_DRAIN_SECONDS"]
    assert "ROLLOUT_DRAIN_SECONDS 'x'" in machine.rollout(machine.image("A"), expect=2)


def test_an_image_must_say_its_release(machine: Machine) -> None:
    output = machine.rollout(machine.image("A", label=""), expect=1)
    assert "rollout.R020" in output
    assert machine.journal()["operation"] is None


def test_an_image_of_another_release_is_refused(served: Machine) -> None:
    output = served.rollout(served.image("B"), "--release", "C", expect=1)
    assert "of release B, not of C" in output
    assert served.ledger()[-1] == "failed C"
    assert served.public() == "A"


FAILURES = [
    # image's fault, faults.json, exit code, finding, ledger's last line
    ("no_start", None, 1, "rollout.R022", "failed B"),
    ("never_ready", None, 1, "rollout.R024", "failed B"),
    ("smoke_fails", None, 1, "rollout.R022", "failed B"),
    ("public_fails", None, 1, "rollout.R027", "back-record B"),
    ("", ("predeploy", {"code": 1}), 1, "rollout.R022", "failed B"),
    ("", ("predeploy", {"code": 75}), 75, "rollout.R011", "failed B"),
    ("", ("pull", {"code": 1, "say": "dial tcp 10.0.0.1:443: connection refused"}), 2, "rollout.R009", ""),
    ("", ("pull", {"code": 1, "say": "write /var/lib/x: no space left on device"}), 2, "rollout.R008", ""),
    ("", ("up-backend", {"code": 1, "say": "no space left on device"}), 2, "rollout.R008", "failed B"),
    ("", ("hold", {"code": 75}), 75, "rollout.R011", ""),
]


@pytest.mark.parametrize(("image_fault", "fault", "code", "finding", "last"), FAILURES)
def test_whatever_fails_the_public_has_the_old_release(
    served: Machine, image_fault: str, fault: tuple[str, dict] | None, code: int, finding: str, last: str
) -> None:
    if fault:
        served.fault(fault[0], **fault[1])
    output = served.rollout(served.image("B", fault=image_fault), expect=code, ROLLOUT_START_SECONDS="2")
    assert finding in output
    assert "Traceback" not in output
    assert served.public() == "A"
    assert "backend-green" not in served.running()
    assert (served.ledger() or [""])[-1] == last
    assert served.journal()["operation"] is None


def test_a_container_that_is_never_ready_says_why(served: Machine) -> None:
    output = served.rollout(served.image("B", fault="never_ready"), expect=1, ROLLOUT_START_SECONDS="1")
    assert "/readyz answers 503 DatabaseAnswers fails" in output
    assert "    | serving" in output  # its log
    assert "docker logs optifit_backend-green_1" in output


def test_a_release_that_fails_at_pulling_is_in_the_ledger_when_its_name_is_known(served: Machine) -> None:
    served.fault("pull", code=1, say="no such host")
    served.rollout(served.image("B"), "--release", "B", expect=2)
    assert served.ledger()[-1] == "failed B"


def test_nothing_was_live_before_so_it_keeps_running(machine: Machine) -> None:
    machine.proxy.broken["A"] = 500
    output = machine.rollout(machine.image("A"), expect=1)
    assert "rollout.R032" in output
    assert "backend-blue" in machine.running()


def test_postdeploy_says_no_and_the_ledger_knows_the_way_back(served: Machine) -> None:
    served.fault("postdeploy", code=1)
    served.write("plan.json", {"way": "switch", "release": "B", "target": "A"})
    output = served.rollout(served.image("B"), expect=1)
    assert "rollout.R030" in output
    assert served.public() == "A"
    assert served.ledger()[-1] == "back-record B"
    assert served.running().count("backend-green") == 0


def test_postdeploy_says_no_after_contract_migrations_that_can_be_reversed(served: Machine) -> None:
    served.fault("postdeploy", code=1)
    served.write("plan.json", {"way": "reverse", "release": "B", "target": "A"})
    served.rollout(served.image("B"), expect=1)
    assert served.public() == "A"
    assert served.ledger()[-2:] == ["back-database B", "back-record B"]


@pytest.mark.parametrize("way", ["restore", "impossible"])
def test_nothing_is_restored_by_itself(served: Machine, way: str) -> None:
    served.fault("postdeploy", code=1)
    served.write("plan.json", {"way": way, "release": "B", "target": "A"})
    output = served.rollout(served.image("B"), expect=1)
    assert "rollout.R033" in output
    assert served.public() == "B"
    assert served.journal()["operation"] is None


def test_postdeploy_that_could_not_work_is_done_by_the_next_run(served: Machine) -> None:
    served.fault("postdeploy", code=2)
    served.rollout(served.image("B"), expect=2)
    assert served.public() == "B"
    served.fault("")
    code, output = served.run("recover")
    assert code == 0, output
    assert served.ledger()[-1] == "live B"
    assert served.journal()["operation"] is None


def test_what_can_not_be_recorded_stays_open_until_it_is(served: Machine) -> None:
    served.proxy.broken["B"] = 500
    served.fault("rollback-record", code=2)
    output = served.rollout(served.image("B"), expect=1)
    assert "rollout.R037" in output
    assert served.public() == "A"  # traffic waits for nobody
    served.fault("")
    served.rollout(served.image("C"))
    assert served.ledger()[-3:] == ["back-record B", "prepared C", "live C"]


def test_the_last_five_images_are_kept(served: Machine) -> None:
    for release in "BCDEF":
        served.serve(release)
    served.rollout(served.image("G"))
    left = json.loads((served.stand_in / "pulled.json").read_text())
    assert sorted(served.images[image]["release"] for image in left) == list("CDEFG")


def test_an_image_that_can_not_be_removed_is_a_warning(served: Machine) -> None:
    for release in "BCDEF":
        served.serve(release)
    served.fault("rm", code=1, say="image is being used")
    assert "rollout.R041" in served.rollout(served.image("G"))


def test_a_second_rollout_is_told_that_one_is_going_on(served: Machine) -> None:
    served.fault("predeploy", hang=60)
    first = served.start(served.argv("rollout", served.image("B")))
    wait_for((served.stand_in / "hangs-predeploy").exists)
    output = served.rollout(served.image("C"), expect=75)
    assert f"rollout.R010 Another rollout works on this machine: process {first.pid}" in output
    first.terminate()
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "rollout.R031" in output
    assert served.ledger()[-1] == "failed B"
    assert served.journal()["operation"] is None


def test_a_dry_run_does_nothing(served: Machine) -> None:
    before = (served.state / "rollout" / "state.json").read_bytes()
    image = served.image("B")
    output = served.rollout(image, "--dry-run", "--canary", "5%", "--for", "10m")
    assert "switch: rename live/backend.blue to live/backend.green" in output
    assert "canary: 5.1% of the requests for 600 s" in output
    assert (served.state / "rollout" / "state.json").read_bytes() == before
    assert not any("pull" in line.get("docker", []) for line in served.lines("calls.jsonl")[-3:])


def test_json_is_one_document_of_the_same_steps(served: Machine) -> None:
    code, output = served.run("rollout", served.image("B", fault="smoke_fails"), "--format", "json")
    document = json.loads(output)
    assert (document["schema"], document["exit_code"], document["ok"], code) == (1, 1, False, 1)
    assert [step["name"] for step in document["steps"]][:3] == ["pull", "deploy lock", "predeploy"]
    findings = [finding for step in document["steps"] for finding in step["findings"]]
    assert findings[0]["evidence"] == ["deploy.S050 The login page answers 500"]


def test_github_gets_annotations(served: Machine) -> None:
    output = served.rollout(served.image("B", fault="smoke_fails"), "--format", "github", expect=1)
    assert "\n::error title=rollout.R022::smoketest said no (exit code 1).%0Adeploy.S050 The login" in output


def test_status_says_what_is_live_and_kept(served: Machine) -> None:
    served.rollout(served.image("B"))
    code, output = served.run("status")
    assert code == 0
    assert "LIVE  backend-green  running" in output
    assert "kept  backend-blue   exited" in output
    document = json.loads(served.run("status", "--format", "json")[1])
    assert document["services"]["backend-green"]["release"] == "B"
    assert document["open"] is None


def test_a_damaged_journal_stops_everything_but_traffic(served: Machine) -> None:
    (served.state / "rollout" / "state.json").write_text("{")
    output = served.rollout(served.image("B"), expect=2)
    assert "rollout.R006" in output
    assert served.public() == "A"
