from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from deploy.maintenance import lookout as module
from deploy.maintenance.lookout import Lookout
from deploy.maintenance.state import Maintenance

ON = Maintenance("Upgrade", datetime(2030, 1, 1, tzinfo=UTC), None, "alice")


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_first_request_of_a_process_knows() -> None:
    def slow_start() -> Maintenance:
        time.sleep(0.3)
        return ON

    assert Lookout(slow_start, every_seconds=60).now() == ON


def test_it_looks_once_in_its_time_however_many_ask() -> None:
    looks: list[float] = []
    lookout = Lookout(lambda: looks.append(time.monotonic()), every_seconds=600)  # type: ignore[func-returns-value]  # None: off
    threads = [threading.Thread(target=lambda: [lookout.now() for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looks) == 1


def test_it_hears_of_a_change_and_of_the_end() -> None:
    answers: list[Maintenance | None] = [None]
    lookout = Lookout(lambda: answers[-1], every_seconds=0.02)
    assert lookout.now() is None
    answers.append(ON)
    _until(lambda: lookout.now() == ON)
    answers.append(None)
    _until(lambda: lookout.now() is None)


def test_after_a_pause_the_first_request_waits_for_the_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLINK_SECONDS", 30.0)
    answers: list[Maintenance | None] = [None]
    lookout = Lookout(lambda: answers[-1], every_seconds=0.05)
    assert lookout.now() is None
    answers.append(ON)
    time.sleep(0.2)
    assert lookout.would_wait()
    assert lookout.now() == ON


def test_while_the_bucket_is_away_the_last_answer_stands_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks: list[Maintenance | None] = [ON]

    def look() -> Maintenance | None:
        if len(looks) == 1:
            looks.append(None)
            return ON
        looks.append(None)
        raise OSError("connection refused")

    with caplog.at_level(logging.WARNING, "deploy.maintenance"):
        lookout = Lookout(look, every_seconds=0.01)
        _until(lambda: lookout.now() == ON and len(looks) > 5)
    assert lookout.now() == ON
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["connection refused"]


def test_a_bucket_that_never_answers_holds_a_request_for_a_moment_and_fails_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.1)
    hang = threading.Event()
    lookout = Lookout(lambda: hang.wait(60) and None, every_seconds=0.01)  # type: ignore[func-returns-value]  # None: off
    assert lookout.now() is None
    for _ in range(1000):  # no second look is begun, and nobody waits for the first
        assert lookout.now() is None
    looking = [thread for thread in threading.enumerate() if thread.name == "maintenance-lookout"]
    assert len(looking) == 1
    hang.set()
    looking[0].join()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 and newer, of threads at a fork
def test_a_forked_process_looks_for_itself() -> None:
    answers: list[Maintenance | None] = [None]
    stuck = threading.Event()

    def look() -> Maintenance | None:
        if answers[-1] is None:
            stuck.wait(60)
        return answers[-1]

    lookout = Lookout(look, every_seconds=600)  # its thread is under way, and stays in the parent
    answers.append(ON)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"on" if lookout.now() == ON else b"off")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"on"
    os.close(read)
    os.close(write)
    stuck.set()
