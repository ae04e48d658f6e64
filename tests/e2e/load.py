"""Many clients of the public address: a process of its own, so that it shares no interpreter with the test.

`python -m tests.e2e.load` reads its job (a `Job` as one line of JSON) from standard input, prints `ready`
when a first request was answered as it should be, goes on until standard input ends, waits for what is in
flight and writes one line of JSON for each request (an `Answer`) to the job's file.

The schedule is open-loop: request *n* is due at *n / rate*, whether or not the ones before were answered, and
its latency counts from then. A client that waits for its answer before it asks again would ask least while
the site is slowest, and not see it (coordinated omission).
"""

from __future__ import annotations

import itertools
import json
import queue
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

# More than a second's requests, so that a stop of a second is measured as one and not as a queue of ours.
THREADS = 320
PATIENCE_SECONDS = 30
# One grey pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
BOUNDARY = "e2e-boundary-7f3a"
UPLOAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="dot.png"\r\n'
    f"Content-Type: image/png\r\n\r\n"
).encode() + PNG + f"\r\n--{BOUNDARY}--\r\n".encode()  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One sort of request. `weight` of the sum of all weights are of it."""

    name: str
    weight: int
    path: str
    status: int = 200
    method: str = "GET"
    new_connection: bool = False
    bearer: bool = False


KINDS = (
    Kind("page", 12, "/"),
    Kind("version", 50, "/version"),
    Kind("list", 8, "/api/images?limit=5", bearer=True),
    Kind("new", 24, "/version", new_connection=True),
    Kind("upload", 4, "/api/images", 201, "POST", bearer=True),
    Kind("slow", 2, "/slow"),
)


@dataclass(frozen=True)
class Job:
    """`url`: https://NAME; `address` and `port`: where NAME is reached; `ca`: a file of PEM certificates."""

    url: str
    address: str
    port: int
    ca: str
    records: str
    token: str = ""
    rate: float = 200.0
    kinds: tuple[str, ...] = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True)
class Answer:
    """What became of one request. Times are of the machine's monotonic clock, in seconds.

    `status` is 0 where no answer came, and `error` says why. `retries`: a reused connection was closed by the
    server before a byte of an answer came, and the request was idempotent: browsers ask again, on a new one.
    """

    kind: str
    due: float
    begun: float
    ended: float
    status: int
    wanted: int
    release: str
    served_by: str
    reused: bool
    retries: int
    error: str

    @property
    def failed(self) -> bool:
        return self.status != self.wanted

    @property
    def latency(self) -> float:
        """Seconds since it was due."""
        return self.ended - self.due


class Connection(HTTPConnection):
    """To the job's address, whatever the name resolves to, with TLS that is verified."""

    def __init__(self, job: Job, tls: ssl.SSLContext) -> None:
        self.name = urlsplit(job.url).hostname or ""
        super().__init__(self.name, timeout=PATIENCE_SECONDS)
        self.job, self.tls = job, tls

    def connect(self) -> None:
        plain = socket.create_connection((self.job.address, self.job.port), timeout=PATIENCE_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.name)

    def is_open(self) -> bool:
        """Nothing has come since the last answer: what comes on an idle connection is its end."""
        watch = select.poll()
        watch.register(self.sock, select.POLLIN)
        return not watch.poll(0)


# http.client's RemoteDisconnected is a ConnectionError.
CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class EndedEarlyError(Exception):
    """A reused connection ended before a byte of the answer."""


@dataclass
class Clients:
    job: Job
    tls: ssl.SSLContext
    idle: list[Connection] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def connection(self, kind: Kind) -> Connection | None:
        """One that was used before and is open still."""
        while not kind.new_connection and self.idle:
            connection = self.idle.pop()
            if connection.is_open():
                return connection
            connection.close()
        return None

    def ask(self, kind: Kind, due: float) -> None:
        begun, retries = time.monotonic(), 0
        used = self.connection(kind)
        status, headers, error = 0, {}, ""
        try:
            if used:
                try:
                    status, headers = self.exchange(used, kind)
                except EndedEarlyError as closed:
                    if kind.method != "GET":
                        raise closed.__cause__ or closed from None
                    retries = 1
            if not status:
                status, headers = self.exchange(Connection(self.job, self.tls), kind)
        except (OSError, HTTPException) as fault:
            error = f"{type(fault).__name__}: {fault}"
        self.answers.append(
            Answer(
                *(kind.name, due, begun, time.monotonic(), status, kind.status),
                *(headers.get("x-release", ""), headers.get("x-served-by", "")),
                *(used is not None, retries, error),
            )
        )

    def exchange(self, connection: Connection, kind: Kind) -> tuple[int, dict[str, str]]:
        reused = connection.sock is not None
        headers = {"Connection": "close"} if kind.new_connection else {}
        if kind.bearer:
            headers["Authorization"] = f"Bearer {self.job.token}"
        body = UPLOAD if kind.method == "POST" else None
        if body:
            headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
        try:
            try:
                connection.request(kind.method, kind.path, body, headers)
                response = connection.getresponse()
            except CLOSED as fault:
                if reused:
                    raise EndedEarlyError from fault
                raise
            response.read()
        except BaseException:
            connection.close()
            raise
        self.keep(connection, response)
        return response.status, {name.lower(): value for name, value in response.getheaders()}

    def keep(self, connection: Connection, response: HTTPResponse) -> None:
        if response.will_close:
            connection.close()
        else:
            self.idle.append(connection)


def spread() -> Iterator[Kind]:
    """The kinds for ever, each as often as its weight says and evenly between the others."""
    total = sum(kind.weight for kind in KINDS)
    moments = [((turn + 0.5) * total / kind.weight, kind) for kind in KINDS for turn in range(kind.weight)]
    return itertools.cycle(kind for _, kind in sorted(moments, key=lambda moment: moment[0]))


def drive(job: Job) -> list[Answer]:
    """Ask until standard input ends."""
    clients = Clients(job, ssl.create_default_context(cafile=job.ca))
    todo: queue.SimpleQueue[tuple[Kind, float] | None] = queue.SimpleQueue()

    def work() -> None:
        while one := todo.get():
            clients.ask(*one)

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        clients.ask(KINDS[1], time.monotonic())
        if not clients.answers.pop().failed:
            break
        time.sleep(0.05)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)  # noqa: T201 – for who started this process
    began = time.monotonic()
    for number, kind in enumerate(kind for kind in spread() if kind.name in job.kinds):
        due = began + number / job.rate
        if ended.wait(max(0, due - time.monotonic())):
            break
        todo.put((kind, due))
    for _ in threads:
        todo.put(None)
    for thread in threads:
        thread.join(PATIENCE_SECONDS + 5)
    return clients.answers


class Load:
    """The handle on a load that runs: `stop` ends it and gives what the clients saw, ordered by time."""

    def __init__(self, process: subprocess.Popen[str], records: Path) -> None:
        self.process, self.records = process, records

    def stop(self) -> list[Answer]:
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_SECONDS + 15) == 0
        with self.records.open() as lines:
            return sorted((Answer(**json.loads(line)) for line in lines), key=lambda answer: answer.due)


@contextmanager
def running(job: Job) -> Iterator[Load]:
    """A load that has had its first right answer."""
    command = [sys.executable, "-m", "tests.e2e.load"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{json.dumps(asdict(job))}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n", "the public address never answered as it should"
        yield Load(process, Path(job.records))
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def main() -> None:
    given = json.loads(sys.stdin.readline())
    job = Job(**{**given, "kinds": tuple(given["kinds"])})
    with Path(job.records).open("w", encoding="utf-8") as lines:
        for answer in drive(job):
            lines.write(f"{json.dumps(asdict(answer))}\n")


if __name__ == "__main__":
    main()
