"""What the tests ask of the machine: its processes, mounts and ports."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def family(marker: str) -> list[int]:
    """The living processes whose command line has `marker` in it, and everything that descends from them."""
    parents: dict[int, int] = {}
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        if state == "Z":
            continue
        parents[int(entry.name)] = int(parent)
        if marker.encode() in command:
            found.append(int(entry.name))
    while more := [child for child, parent in parents.items() if parent in found and child not in found]:
        found += more
    return found


def unmount(folders: Sequence[Path]) -> None:
    """Unmount whatever is mounted inside of `folders`, the newest first."""
    inside = tuple(f"{folder}/" for folder in folders)
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        target = line.split()[1]
        if target.startswith(inside):
            subprocess.run(["/usr/bin/umount", "--lazy", target], check=True)


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Return once `condition` holds.

    Raises:
        TimeoutError: it doesn't within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
