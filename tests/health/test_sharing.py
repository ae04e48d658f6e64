"""One attempt at a time, shared, and cut off when it hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from deploy.health.checks import SharedHealthCheck
from deploy.health.sharing import Attempt, SharedCheck

from .serving import connect


def test_a_flood_of_askers_costs_one_attempt() -> None:
    runs: list[int] = []

    def check(_: Attempt) -> None:
        runs.append(1)
        time.sleep(0.2)

    shared = SharedCheck(check, limit_seconds=2, fresh_seconds=5)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: shared.ask().result(timeout=2), range(50)))
    assert len(runs) == 1


def test_an_answer_is_fresh_for_its_time_only() -> None:
    runs: list[int] = []
    shared = SharedCheck(lambda _: runs.append(1), limit_seconds=2, fresh_seconds=0.1)
    shared.ask().result(timeout=2)
    time.sleep(0.15)
    shared.ask().result(timeout=2)
    assert len(runs) == 2


def test_a_failure_reaches_every_asker() -> None:
    def check(_: Attempt) -> None:
        time.sleep(0.1)
        raise OSError("down")

    shared = SharedCheck(check, limit_seconds=2, fresh_seconds=0)
    answers = [shared.ask(), shared.ask()]
    for answer in answers:
        with pytest.raises(OSError, match="down"):
            answer.result(timeout=2)


def test_a_query_that_hangs_is_cut_off_and_asked_anew() -> None:
    ended = threading.Event()
    first = threading.Event()

    def check(attempt: Attempt) -> None:
        if first.is_set():
            return
        first.set()
        with connect() as connection:
            attempt.watch(connection.fileno())
            try:
                connection.execute("SELECT pg_sleep(60)")
            except psycopg.OperationalError:
                ended.set()
                raise

    shared = SharedCheck(check, limit_seconds=0.3, fresh_seconds=0)
    hung = shared.ask()
    with pytest.raises(TimeoutError):
        hung.result(timeout=0.3)
    time.sleep(0.1)
    shared.ask().result(timeout=2)
    assert ended.wait(5)


def test_a_socket_watched_after_the_cut_is_shut_as_well() -> None:
    with connect() as connection:
        attempt = Attempt()
        attempt.cut()
        attempt.watch(connection.fileno())
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        attempt.run(lambda _: None)


def test_one_askers_time_out_leaves_the_others_their_answer() -> None:
    shared = SharedCheck(lambda _: time.sleep(0.4), limit_seconds=2, fresh_seconds=0)

    async def impatient() -> None:
        await asyncio.wait_for(asyncio.wrap_future(shared.ask()), 0.1)

    patient = shared.ask()
    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert patient.result(timeout=2) is None


def test_a_check_that_no_driver_limits_is_answered_for_at_the_limit() -> None:
    over = threading.Event()

    class Hangs(SharedHealthCheck):
        shared = SharedCheck(lambda _: over.wait(20) and None, limit_seconds=0.3, fresh_seconds=0)

    began = time.monotonic()
    result = asyncio.run(Hangs().get_result())
    seconds = time.monotonic() - began
    over.set()
    assert str(result.error) == "Unavailable: unavailable"
    assert 0.25 < seconds < 1
