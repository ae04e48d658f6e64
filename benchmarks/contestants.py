"""Processes measured in turn: several ways to do the same with one PostgreSQL server."""

import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Ends with the process that started it, whose end closes the pipe.
GCS = """
import sys
from deploy.testing.gcs_server import GCSServer
with GCSServer("benchmark") as server:
    print(server.url, flush=True)
    sys.stdin.read()
    print(sum(len(one.data) for one in server.store.bucket("benchmark").values()), flush=True)
"""


@dataclass(frozen=True)
class Run:
    """Of one process: seconds, and the peak of its own memory in bytes."""

    wall: float
    cpu: float
    server_cpu: float
    peak: int


@dataclass
class Contestant:
    """One way to do it; `before` and `after` are not timed, nor is the start of the server of `gcs`."""

    name: str
    argv: Sequence[str]
    environment: dict[str, str]
    before: Sequence[Sequence[str]] = ()
    after: Sequence[Sequence[str]] = ()
    stored: Path | None = None
    gcs: bool = False
    runs: list[Run] = field(default_factory=list)
    stored_bytes: int = 0

    def run(self) -> None:
        for argv in self.before:
            subprocess.run(argv, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        if self.gcs:
            self._run_with_gcs()
        else:
            self.runs.append(measured(self.argv, self.environment, server_pid(self.environment)))
        if self.stored is not None:
            self.stored_bytes = sum(path.stat().st_size for path in self.stored.rglob("*") if path.is_file())
            shutil.rmtree(self.stored, ignore_errors=True)
        for argv in self.after:
            subprocess.run(argv, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def _run_with_gcs(self) -> None:
        argv = [sys.executable, "-c", GCS]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, env=self.environment, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            environment = {
                **self.environment,
                "STORAGE_EMULATOR_HOST": url,
                "BENCHMARK_BUCKET": "gs://benchmark",
            }
            self.runs.append(measured(self.argv, environment, server_pid(environment)))
            server.stdin.close()
            self.stored_bytes = int(server.stdout.readline())


def take_turns(contestants: Sequence[Contestant], rounds: int) -> None:
    """Each once a round, each round beginning with another: what else the machine does meets all alike."""
    for number in range(rounds):
        first = number % len(contestants)
        for contestant in (*contestants[first:], *contestants[:first]):
            contestant.run()


def measured(argv: Sequence[str], environment: dict[str, str], server: int) -> Run:
    """Run it to its end. Raises when it fails."""
    peak = 0
    before = sessions_cpu(server)
    began = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, peak_bytes(process.pid))

    ended = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, argv)
    time.sleep(0.1)  # the last session ends after its client
    return Run(wall, used.ru_utime + used.ru_stime, sessions_cpu(server) - before, peak)


def server_pid(environment: dict[str, str]) -> int:
    """The server's first process."""
    return int(Path(environment["PGHOST"], "postmaster.pid").read_text().split()[0])


def sessions_cpu(pid: int) -> float:
    """Seconds of processor time of the server's processes that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """The largest resident size so far; 0 once the process has ended (or where there is no /proc)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) * 1024 if "VmHWM" in lines else 0


def ratios(base: Contestant, other: Contestant) -> tuple[float, float]:
    """Of the other's wall time to the base's: the rounds' ratios' median, and that of the fastest runs."""
    each = [theirs.wall / ours.wall for ours, theirs in zip(base.runs, other.runs, strict=True)]
    return statistics.median(each), min(run.wall for run in other.runs) / min(run.wall for run in base.runs)


def print_table(title: str, contestants: Sequence[Contestant]) -> None:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{title} ({len(contestants[0].runs)} rounds, load {load})")
    print(f"{'':<20} {'wall min':>9} {'median':>9} {'CPU':>8} {'server':>8} {'peak RSS':>10} {'stored':>10} "
          f"{'ratio':>7} {'of min':>7}")  # fmt: skip
    for contestant in contestants:
        runs = contestant.runs
        walls = [run.wall for run in runs]
        median, fastest = ratios(contestants[0], contestant)
        stored = f"{contestant.stored_bytes / 1e6:.1f} MB" if contestant.stored_bytes else ""
        print(
            f"{contestant.name:<20} {min(walls):>7.2f} s {statistics.median(walls):>7.2f} s "
            f"{statistics.median(run.cpu for run in runs):>6.2f} s "
            f"{statistics.median(run.server_cpu for run in runs):>6.2f} s "
            f"{max(run.peak for run in runs) / 1024**2:>6.1f} MiB {stored:>10} "
            f"{median:>7.2f} {fastest:>7.2f}",
            flush=True,
        )
