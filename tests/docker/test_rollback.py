"""`rollback`: by the way that the ledger's verdict says."""

import json

import pytest

from .machine import Machine, wait_for


@pytest.fixture
def two(served: Machine) -> Machine:
    """B is live in green, and A's container is kept, stopped, in blue."""
    served.serve("B", "green")
    wait_for(lambda: served.public() == "B")
    return served


def plan(machine: Machine, way: str, **more: object) -> None:
    machine.write("plan.json", {"way": way, "release": "B", "target": "A", **more})


def test_switches_back_to_the_container_that_was_kept(two: Machine) -> None:
    plan(two, "switch")
    code, output = two.run("rollback", "--reason", "checkout fails")
    assert code == 0, output
    assert "release A is live again after" in output
    assert two.public() == "A"
    assert two.ledger() == ["back-record B"]
    assert "backend-green" not in two.running()
    assert not any(
        "up" in line.get("compose", []) and "backend-blue" in line["compose"] for line in calls(two)
    )


def calls(machine: Machine) -> list[dict]:
    """After the fixtures' own."""
    return machine.lines("calls.jsonl")[2:]


def test_reverses_the_database_before_traffic_moves(two: Machine) -> None:
    plan(two, "reverse")
    code, output = two.run("rollback")
    assert code == 0, output
    assert two.ledger() == ["back-database B", "back-record B"]
    jobs = [job for job in two.jobs() if job.startswith("rollback --release")]
    assert "--stage database" in jobs[0]


def test_a_restore_asks_for_the_releases_name(two: Machine) -> None:
    plan(two, "restore", backup="20261125T010203", loss="at least 12 rows (counted) in 1 table")
    code, output = two.run("rollback")
    assert code == 2
    assert "rollout.R036" in output
    assert "at least 12 rows (counted)" in output
    assert "rollback A --yes-restore B" in output
    assert two.public() == "B"
    code, output = two.run("rollback", "--yes-restore", "Z")
    assert code == 2
    code, output = two.run("rollback", "--yes-restore", "B")
    assert code == 0, output
    assert two.ledger() == ["back-database B", "back-record B"]
    database = next(job for job in two.jobs() if "--stage database" in job)
    assert "--yes-restore B" in database
    assert two.public() == "A"


def test_says_why_there_is_no_way(two: Machine) -> None:
    plan(two, "impossible", reason="backup 1 is gone")
    code, output = two.run("rollback")
    assert code == 1
    assert "There is no way back: backup 1 is gone." in output
    assert two.public() == "B"


def test_a_release_that_this_machine_never_served(two: Machine) -> None:
    code, output = two.run("rollback", "Z")
    assert code == 2
    assert "has never served release 'Z'; it knows B, A" in output


def test_to_a_release_by_its_name(two: Machine) -> None:
    two.serve("C", "blue")
    wait_for(lambda: two.public() == "C")
    two.write("plan.json", {"way": "switch", "release": "C", "target": "A"})
    code, output = two.run("rollback", "A")
    assert code == 0, output
    assert two.public() == "A"  # made anew in green, from the image that is still here
    assert any("--to A" in job and "--dry-run" in job for job in two.jobs())


def test_a_target_that_does_not_start_leaves_what_is_live(two: Machine) -> None:
    plan(two, "switch")
    first = next(image for image, one in two.images.items() if one["release"] == "A")
    two.images[first]["fault"] = "no_start"
    two.write("images.json", two.images)
    two.fault("up-backend", code=1)
    container = next(
        path for path in (two.stand_in / "containers").glob("*.json") if '"backend-blue"' in path.read_text()
    )
    two.docker("stop", "-t", "1", container.stem)
    container.unlink()
    code, output = two.run("rollback")
    assert code == 2, output
    assert two.public() == "B"
    assert two.ledger() == []
    assert two.journal()["operation"] is None


def test_a_dry_run_says_the_way(two: Machine) -> None:
    plan(two, "reverse", infrastructure={"terraform_generation": {"target": 17, "release": 18}})
    code, output = two.run("rollback", "--dry-run", "--format", "json")
    document = json.loads(output)
    assert code == 0
    assert document["plan"][0] == "reverse from B to A"
    assert document["way"]["infrastructure"]["terraform_generation"]["target"] == 17
    assert two.ledger() == []
    assert two.public() == "B"


def test_says_which_infrastructure_belonged_to_the_release(two: Machine) -> None:
    plan(two, "switch", infrastructure={"terraform_generation": {"target": 1732, "release": 1740}})
    output = two.run("rollback")[1]
    assert "Terraform state of release A: generation 1732 (now 1740)." in output


def test_the_frontend_goes_back_with_the_backend(served: Machine) -> None:
    served.serve("F1", "blue", "frontend")
    served.serve("B", "green")
    served.serve("F2", "green", "frontend")
    wait_for(lambda: served.public() == "B" and served.public("/version.json") == "F2")
    plan(served, "switch")
    code, output = served.run("rollback")
    assert code == 0, output
    assert (served.public(), served.public("/version.json")) == ("A", "F1")


def test_the_frontend_alone_goes_back(served: Machine) -> None:
    served.serve("F1", "blue", "frontend")
    served.serve("F2", "green", "frontend")
    wait_for(lambda: served.public("/version.json") == "F2")
    code, output = served.run("rollback", "--frontend")
    assert code == 0, output
    assert (served.public(), served.public("/version.json")) == ("A", "F1")
    assert served.ledger() == []
