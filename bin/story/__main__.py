"""The demo: four releases of OptiFit, deployed with the real commands on real parts.

Exits 0 only if every act ended as told. Everything it makes is under `.demo/`.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from pathlib import Path

from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(1, str(ROOT))  # for deploy.databases.embedded; the releases use their own copies

from acts import Story  # noqa: E402 – after the path is set
from processes import Servers, StoryError, console, end_leftovers  # noqa: E402 – the same

DEMO = ROOT / ".demo"
_STEPS_SHOWN = ("backup", "restore", "rehearse", "static", "migrate")


def main() -> int:
    options = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    options.add_argument("--keep", action="store_true", help="leave the server running and print its address")
    options.add_argument(
        "--stop", action="store_true", help="end what --keep left running, and do nothing else"
    )
    chosen = options.parse_args()
    # SIGTERM becomes SystemExit, so that servers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Path(__file__).open() as this_file:
        try:
            fcntl.flock(this_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            console.print("bin/demo is running already in this folder; wait for it to end.", style="red")
            return 75
        clean_up()
        return 0 if chosen.stop else perform(keep=chosen.keep)


def clean_up() -> None:
    """End what an earlier run left, and remove its data."""
    end_leftovers(DEMO / "servers.json")
    if (DEMO / "postgres" / "postmaster.pid").exists():
        from deploy.databases import embedded

        embedded.stop(DEMO / "postgres")
    shutil.rmtree(DEMO, ignore_errors=True)


def perform(*, keep: bool) -> int:
    """Tell the story and its summary; returns the exit code."""
    from deploy.databases import embedded

    began = time.monotonic()
    DEMO.mkdir()
    servers = Servers(DEMO / "servers.json")
    failed = ""
    story = None
    try:
        socket_dir = embedded.start(DEMO / "postgres", keep_running=True)
        story = Story(ROOT, DEMO, servers, socket_dir)
        for act in (story.act_1, story.act_2, story.act_3, story.act_4, story.act_5):
            act()
        story.close_the_doors()
    except (StoryError, OSError) as error:
        failed = str(error)
    except KeyboardInterrupt:
        failed = "interrupted"
    finally:
        try:
            if story is not None:
                story.visitors.__exit__()
                summary(story, failed=failed, seconds=time.monotonic() - began)
            elif failed:
                console.print(f"The demo could not start: {failed}", style="bold red", markup=False)
        finally:
            if keep and not failed and story is not None:
                console.print(
                    f"\nOptiFit is at [bold]http://127.0.0.1:{story.port}/[/]; end it with: bin/demo --stop"
                )
            else:
                servers.stop_all()
                embedded.stop(DEMO / "postgres")
    return 1 if failed else 0


def summary(story: Story, *, failed: str, seconds: float) -> None:
    """What happened, how long each step took, and where things are."""
    table = Table(title="What happened", title_justify="left", show_lines=False)
    table.add_column("act")
    table.add_column("told")
    table.add_column("seconds", justify="right")
    for act in story.acts:
        table.add_row(act.title, act.told, f"{act.seconds:.1f}")
    console.print()
    console.print(table)
    steps = Table(title="Seconds by step of predeploy", title_justify="left")
    steps.add_column("release")
    for name in _STEPS_SHOWN:
        steps.add_column(name, justify="right")
    try:
        timings_by_release = story.timings()
    except (
        StoryError,
        OSError,
        KeyboardInterrupt,
    ):  # what failed the story may fail the ledger too
        timings_by_release = {}
    for release, timings in sorted(timings_by_release.items()):
        steps.add_row(release, *(f"{timings[name]:.2f}" if name in timings else "–" for name in _STEPS_SHOWN))
    console.print(steps)
    asked, lost = sum(story.visitors.answered.values()), len(story.visitors.failures)
    console.print(f"Visitors     {asked} requests to the public port all the while, {lost} failed")
    console.print(f"Ledger       {DEMO / 'bucket' / 'ledger'}", markup=False)
    console.print(f"Backups      {DEMO / 'bucket' / 'backups'}", markup=False)
    console.print(f"Static files {DEMO / 'static'}", markup=False)
    console.print(f"Logs         {DEMO / 'logs'}", markup=False)
    if failed:
        console.print(f"\nNOT as told: {failed}", style="bold red", markup=False)
    else:
        console.print(f"\nEvery act ended as told, in {seconds:.0f} s.", style="bold green")


if __name__ == "__main__":
    sys.exit(main())
