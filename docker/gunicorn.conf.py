"""gunicorn's settings in the container; PORT and the WEB_… variables adapt it to the machine.

On SIGTERM the container drains first (`drain`): for WEB_DRAIN_SECONDS /readyz answers 503 while everything is
served as before; then gunicorn stops accepting and lets what is in flight finish.
"""

import os
import signal
import sys
from pathlib import Path

LEAST_WORKERS = 2  # one alone would serve nobody while it restarts


def usable_cores(cgroup=Path("/sys/fs/cgroup")):
    """Cores that this container may use, rounded up: the machine's, fewer when pinned or limited by cgroups.

    Python's own os.process_cpu_count (3.13) knows of the pinning, not of the limit.
    """
    cores = len(os.sched_getaffinity(0))
    for quota, period in (
        _numbers(cgroup / "cpu.max"),  # version 2: "200000 100000", or "max 100000" without a limit
        _numbers(cgroup / "cpu" / "cpu.cfs_quota_us", cgroup / "cpu" / "cpu.cfs_period_us"),  # version 1
    ):
        if quota > 0:
            return max(1, min(cores, -(-quota // period)))
    return cores


def _numbers(*files):
    try:
        words = " ".join(file.read_text() for file in files).split()
        quota, period = int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):  # no such version of cgroups, or "max"
        return 0, 1
    return quota, period


def number(name, default, least, most):
    """The variable as a whole number from `least` to `most`; `default` when it is empty or not set."""
    text = os.environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        sys.stderr.write(f"{name} is {text!r}, not a whole number from {least} to {most}.\n")
        sys.exit(2)
    return int(text)


bind = f"0.0.0.0:{number('PORT', 8000, 1, 65_535)}"
# WEB_CONCURRENCY is gunicorn's own variable. Each thread may hold a database connection, and while a release
# is switched two containers run: 2 × workers × threads must be less than the server's max_connections.
workers = number("WEB_CONCURRENCY", max(LEAST_WORKERS, usable_cores()), 1, 1000)
worker_class = "gthread"
threads = number("WEB_THREADS", 8, 1, 1000)
# Django is loaded once, before the workers are forked: they share its memory, and a worker that is replaced
# serves within milliseconds. docker/entrypoint has loaded it by then, and closed its connections.
preload_app = True
# Memory that leaks is given back now and then; the jitter keeps workers from going at the same time.
max_requests = number("WEB_MAX_REQUESTS", 10_000, 0, 10**9)  # 0: never
max_requests_jitter = max_requests // 2
# A worker that is silent for so long is killed; uploads are read by threads and don't count as silence.
timeout = 30
# Longer than the longest request. With the drain before it, shorter than the containers' stop_grace_period.
graceful_timeout = 35
drain_seconds = number("WEB_DRAIN_SECONDS", 1, 0, 3600)
# For direct clients. The proxy closes idle connections before the 2 seconds are over for which a stopping
# worker keeps them (STOP_KEEPALIVE_LINGER), so that it is never us who closes under a request.
keepalive = 75
# The heartbeat files: on a disk, a slow fsync looks like a dead worker.
memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 – gunicorn makes safe names
worker_tmp_dir = str(memory) if memory else None
control_socket_disable = True  # the file system is read-only, and nobody steers a container from inside
logger_class = "deploy.logs.gunicorn.JsonLogger"
accesslog = "-"
errorlog = "-"

# /readyz answers 503 while it exists (DEPLOY["DRAIN_FILE"]). The container's own: /dev/shm is not shared.
drain_file = (memory or Path("/tmp")) / f"deploy-draining-{os.getpid()}"  # noqa: S108 – see on_starting
os.environ["DRAIN_FILE"] = str(drain_file)


def on_starting(_server):
    """Forget the drain of a process that had the same number."""
    drain_file.unlink(missing_ok=True)


def when_ready(server):
    """Put the drain before gunicorn's own answer to SIGTERM; a second SIGTERM cuts it short.

    The master goes on with its work meanwhile: the signal's handler is one step of its main loop.
    """
    stop = server.handle_term

    def drain():
        server.handle_term = stop
        signal.signal(signal.SIGALRM, lambda _number, _frame: server.signal(signal.SIGTERM, None))
        signal.setitimer(signal.ITIMER_REAL, drain_seconds)
        try:
            drain_file.touch()
        except OSError as error:  # then it stops without telling: better than not to stop
            server.log.warning("/readyz can't tell that it drains: %s", error)

    if drain_seconds > 0:
        server.handle_term = drain


def on_exit(_server):
    """Leave nothing behind where /dev/shm outlives the process."""
    drain_file.unlink(missing_ok=True)
