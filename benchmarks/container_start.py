"""How much later a container serves because of what it checks first.

    python benchmarks/container_start.py [ROUNDS]

Starts, in turn, bare gunicorn (`gunicorn --config docker/gunicorn.conf.py optifit.wsgi`) and
`docker/entrypoint serve`, which waits for the database and its schema and runs the fast checks of preflight
first, on the same PostgreSQL; takes the time from the start of the process to the first 200 of /readyz. The
ratio is the median of the rounds' own ratios, so that a machine that is busy for a while is so for both.
Exits 1 when it is above 1.3.

Beside it a third that starts like the entrypoint but then execs gunicorn, to show what that would cost.
"""

import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.databases import embedded  # noqa: E402 – the path comes first

LIMIT = 1.3
ROUNDS = 15
LONGEST_SECONDS = 60.0
BARE = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "docker/gunicorn.conf.py"), "optifit.wsgi"]
WITH_EXEC = """
import os, runpy, sys
entrypoint = runpy.run_path("docker/entrypoint")
sys.path.insert(0, os.getcwd())
entrypoint["prepare"]()
os.execv(sys.argv[1], sys.argv[1:])
"""
WAYS = {
    "bare gunicorn": BARE,
    "entrypoint serve": [sys.executable, str(ROOT / "docker" / "entrypoint"), "serve"],
    "the same, then exec": [sys.executable, "-c", WITH_EXEC, *BARE],
}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        try:
            seconds = measure(environment_of(Path(folder), embedded.start(Path(folder, "postgres"))), rounds)
        finally:
            embedded.stop(Path(folder, "postgres"))
    base = seconds["bare gunicorn"]
    print(f"Start of the process to the first 200 of /readyz, {rounds} rounds in turn")
    print(f"  {'':20}  median     best   ratio (median of the rounds')")
    ratios = {}
    for name, all_seconds in seconds.items():
        ratios[name] = statistics.median(one / bare for one, bare in zip(all_seconds, base, strict=True))
        middle, best = statistics.median(all_seconds) * 1000, min(all_seconds) * 1000
        print(f"  {name:20} {middle:5.0f} ms {best:5.0f} ms   {ratios[name]:.2f}")
    print(f"  limit of entrypoint serve                 {LIMIT:.2f}")
    return int(ratios["entrypoint serve"] > LIMIT)


def measure(environment: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Seconds of every round by way of starting."""
    for command in (("migrate",), ("collectstatic", "--no-input")):
        manage = [sys.executable, "manage.py", *command, "--verbosity", "0"]
        subprocess.run(manage, cwd=ROOT, env=environment, check=True)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(-1, rounds):  # one round to warm the caches
        for name, argv in WAYS.items():
            took = until_ready(argv, environment)
            if number >= 0:
                seconds[name].append(took)
    return seconds


def environment_of(folder: Path, sockets: Path) -> dict[str, str]:
    """A production environment with everything below `folder`."""
    return {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "a-key-of-the-benchmark-that-is-long-enough-for-production-0123456789",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='')}",
        "DEPLOY_BUCKET": f"file://{folder}/bucket",
        "STATIC_BUCKET": f"file://{folder}/static",
        "STATIC_ROOT": f"{folder}/staticfiles",
        "MEDIA_ROOT": f"{folder}/media",
        "RELEASE": "benchmark",
        "WEB_DRAIN_SECONDS": "0",
    }


def until_ready(argv: list[str], environment: dict[str, str]) -> float:
    """Seconds from the process's start to the first 200 of /readyz; it is stopped again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    server = subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**environment, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not ready(port):
            if server.poll() is not None or time.perf_counter() - began > LONGEST_SECONDS:
                server.kill()
                sys.exit(server.communicate()[1] or "It never became ready.")
            time.sleep(0.003)
        return time.perf_counter() - began
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate()


def ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
