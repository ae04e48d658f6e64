"""A share of the requests first: compared by Caddy's access log."""

import json
import threading
from pathlib import Path

import pytest
from switching.canary import AccessLog, Count, is_enough, is_worse

from .machine import Machine, wait_for


def line(colour: str, status: int, **more: str) -> str:
    headers = {"X-Served-By": [colour], **{name: [value] for name, value in more.items()}}
    return json.dumps({"ts": 1.0, "status": status, "resp_headers": headers}) + "\n"


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (Count(100, 0), Count(1900, 0), False),
        (Count(3, 2), Count(1900, 0), False),  # two may be anybody's
        (Count(3, 3), Count(1900, 0), True),
        (Count(500, 3), Count(9500, 0), False),  # 0.6 %: not one in a hundred
        (Count(100, 10), Count(1900, 190), False),  # both have it
        (Count(100, 30), Count(1900, 190), True),
    ],
)
def test_what_is_worse(new: Count, old: Count, worse: bool) -> None:
    assert is_worse(new, old) is worse


def test_too_few_requests_are_enough_only_when_none_failed() -> None:
    assert is_enough(Count(0, 0))
    assert not is_enough(Count(49, 1))
    assert is_enough(Count(50, 1))


def test_reads_what_is_new_over_halves_of_lines_and_rotations(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(line("green", 500))
    log = AccessLog(path)
    log.begin()
    log.read()
    assert log.of("green") == Count()
    whole = line("green", 502)
    with path.open("a") as file:
        file.write(line("blue", 200) + whole[:20])
    log.read()
    assert (log.of("blue"), log.of("green")) == (Count(1, 0), Count())
    with path.open("a") as file:
        file.write(whole[20:] + "no JSON\n" + line("green", 500, **{"X-Served-Part": "frontend"}))
    log.read()
    assert log.of("green") == Count(1, 1)
    path.rename(tmp_path / "access-1.log")
    log.read()
    path.write_text(line("green", 200))
    log.read()
    assert log.of("green") == Count(2, 1)


def write_log(machine: Machine, status: int, count: int) -> None:
    path = machine.state / "log" / "access.log"
    with path.open("a") as file:
        file.writelines(line("blue", 200) for _ in range(count))
        file.writelines(line("green", status) for _ in range(count))


def during_canary(machine: Machine, status: int) -> threading.Thread:
    def traffic() -> None:
        wait_for(lambda: (machine.state / "live" / "canary" / "00").exists())
        assert machine.proxy.ask("/version", "00")[1:3] == ("B", "green")
        assert machine.proxy.ask("/version", "80")[1:3] == ("A", "blue")
        write_log(machine, status, 60)

    thread = threading.Thread(target=traffic)
    thread.start()
    return thread


def test_a_good_canary_goes_on(served: Machine) -> None:
    thread = during_canary(served, 200)
    output = served.rollout(served.image("B"), "--canary", "50%", "--for", "3s")
    thread.join()
    assert "new requests 60  new 5xx 0  old requests 60" in output
    assert served.public() == "B"
    assert not list((served.state / "live" / "canary").iterdir())


def test_a_canary_that_fails_more_is_taken_back_at_once(served: Machine) -> None:
    thread = during_canary(served, 502)
    output = served.rollout(served.image("B"), "--canary", "5%", "--for", "10m", expect=1)
    thread.join()
    assert "rollout.R026 The canary fails more: 60 of 60 requests ended with 5xx" in output
    assert served.public() == "A"
    assert not list((served.state / "live" / "canary").iterdir())
    assert served.ledger()[-1] == "failed B"


def test_too_few_to_compare_is_said(served: Machine) -> None:
    assert "rollout.R040" in served.rollout(served.image("B"), "--canary", "5%", "--for", "1s")


def test_a_canary_that_was_killed_gets_no_more_requests(served: Machine) -> None:
    served.environment["ROLLOUT_LOCK_WAIT_AFTER_KILL_SECONDS"] = "30"
    served.kill_at("canary", "after", "rollout", served.image("B"), "--canary", "5%", "--for", "10m")
    (served.state / "live" / "canary" / "00").touch()
    code, output = served.run("recover")
    assert code == 0, output
    assert not list((served.state / "live" / "canary").iterdir())
    assert served.public() == "A"
