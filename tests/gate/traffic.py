"""Clients that read and write a table without pause: a process, `python -m tests.gate.traffic JSON`.

JSON: `dsn` (a database with a table shop_order of id, note and total), `clients`, `hold_seconds`, and `held`:
"before" (a transaction that has read the table is open already), "meanwhile" (it begins as soon as a session
with the application name `applier` is there) or "never". Prints `ready`, goes on until its standard input
ends, then prints what the clients saw: how many statements, the longest one, how many failed and how; and the
longest wait for a lock that the applier held or waited for.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter

import psycopg

APPLIER = "applier"
# What waits for the applier, or for somebody that waits for it: pg_blocking_pids counts who is ahead in the
# queue too (https://www.postgresql.org/docs/current/functions-info.html).
_BEHIND = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE NOT l.granted AND a.application_name <> %(applier)s
AND pg_blocking_pids(l.pid) && ARRAY(SELECT pid FROM pg_stat_activity WHERE application_name = %(applier)s)
"""


# Six reads, three updates and an insert of ten.
_STATEMENTS = (
    *["SELECT note FROM shop_order WHERE id = %(id)s"] * 6,
    *["UPDATE shop_order SET total = total + 1 WHERE id = %(id)s"] * 3,
    "INSERT INTO shop_order (note, total) VALUES ('new', %(id)s)",
)


class Traffic:
    def __init__(self, job: dict) -> None:
        self.job, self.stop = job, threading.Event()
        self.seconds: list[float] = []
        self.failed: Counter[str] = Counter()
        self.behind = 0.0

    def connect(self, name: str, **options: object) -> psycopg.Connection:
        return psycopg.connect(self.job["dsn"], application_name=name, **options)

    def client(self, number: int, ready: threading.Barrier) -> None:
        chance = random.Random(number)  # noqa: S311 – no secret
        # As Django connects: a prepared SELECT of a column whose type changes would fail by itself.
        with self.connect("client", autocommit=True, prepare_threshold=None) as connection:
            connection.execute(
                "SET statement_timeout = '8s'"
            )  # as the sites have it that watch their latency
            ready.wait()
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    connection.execute(chance.choice(_STATEMENTS), {"id": chance.randint(1, 1000)})
                except psycopg.Error as error:
                    self.failed[error.sqlstate or "connection"] += 1
                self.seconds.append(time.monotonic() - began)
                time.sleep(chance.uniform(0.005, 0.02))

    def hold(self, ready: threading.Event) -> None:
        if self.job["held"] == "meanwhile":
            ready.set()
            with self.connect("watch", autocommit=True) as watch:
                seen = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
                while not self.stop.is_set() and not watch.execute(seen, [APPLIER]).fetchone():
                    time.sleep(0.005)
        with self.connect("report") as report:
            report.execute("SELECT count(*) FROM shop_order")
            if self.job["held"] == "before":
                time.sleep(1.5)  # so that nobody can take it for a short one
            ready.set()
            self.stop.wait(self.job["hold_seconds"])

    def watch(self) -> None:
        with self.connect("watch", autocommit=True) as watch:
            while not self.stop.is_set():
                row = watch.execute(_BEHIND, {"applier": APPLIER}).fetchone()
                self.behind = max(self.behind, row[0])
                time.sleep(0.02)

    def run(self) -> dict:
        barrier, held = threading.Barrier(self.job["clients"] + 1), threading.Event()
        threads = [
            threading.Thread(target=self.client, args=(number, barrier))
            for number in range(self.job["clients"])
        ]
        threads.append(threading.Thread(target=self.watch))
        for thread in threads:
            thread.start()
        barrier.wait()
        if self.job["held"] != "never":
            threads.append(threading.Thread(target=self.hold, args=(held,)))
            threads[-1].start()
            held.wait()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        self.stop.set()
        for thread in threads:
            thread.join()
        return {
            "statements": len(self.seconds),
            "longest_seconds": max(self.seconds),
            "failed": dict(self.failed),
            "longest_behind_applier_seconds": self.behind,
        }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(Traffic(json.loads(sys.argv[1])).run()))
