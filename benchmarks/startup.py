"""What having `deploy` in INSTALLED_APPS costs each start of manage.py.

    python benchmarks/startup.py [RUNS]

Makes a project with `django-admin startproject`, runs `manage.py check` with and without the app in turn, and
prints the medians and their ratio. Exits 1 when the ratio is above 1.05.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1.05
RUNS = 21


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        run(project, "-m", "django", "startproject", "site_with_deploy", folder)
        settings = project / "site_with_deploy" / "settings.py"
        with_deploy = 'import os\nif "DEPLOY_ADDED" in os.environ:\n    INSTALLED_APPS.append("deploy")\n'
        settings.write_text(f"{settings.read_text()}\n{with_deploy}")
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for number in range(-2, runs):  # two rounds to warm the caches
            for added in (False, True):
                took = check(project, added=added)
                if number >= 0:
                    seconds[added].append(took)
    without, added_median = statistics.median(seconds[False]), statistics.median(seconds[True])
    ratio = added_median / without
    print(f"manage.py check, median of {runs} interleaved runs")
    print(f"  without deploy  {without * 1000:6.1f} ms")
    print(f"  with deploy     {added_median * 1000:6.1f} ms")
    print(f"  ratio           {ratio:6.3f}   (limit {LIMIT})")
    return int(ratio > LIMIT)


def check(project: Path, *, added: bool) -> float:
    began = time.perf_counter()
    run(project, "manage.py", "check", **({"DEPLOY_ADDED": "1"} if added else {}))
    return time.perf_counter() - began


def run(project: Path, *arguments: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())
