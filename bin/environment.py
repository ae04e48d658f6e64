"""Make .venv with the locked requirements, unless it is there already (called by bin/venv).

Usage: python3 bin/environment.py ROOT requirements-demo.txt|requirements-dev.txt

Safe to kill at any moment (the stamp is written last; without it the environment is made anew) and to run
twice at once (the second one waits).
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

# The development set contains the demo's: an environment made for tests also serves the demo.
SERVED_BY = {
    "requirements-demo.txt": ("requirements-demo.txt", "requirements-dev.txt"),
    "requirements-dev.txt": ("requirements-dev.txt",),
}


def fingerprint(root: Path, lock_file: str) -> str:
    """What an environment is made from: locked set, interpreter, and folder (a venv can't move)."""
    parts = [(root / lock_file).read_bytes(), sys.version.encode(), os.fsencode(root)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamp_path(root: Path, lock_file: str) -> Path:
    return root / ".venv" / f".{lock_file}.sha256"


def is_ready(root: Path, lock_file: str) -> bool:
    """There is a whole environment for `lock_file`, made from it as it is now."""
    return os.access(root / ".venv" / "bin" / "python", os.X_OK) and any(
        stamp_path(root, name).is_file() and stamp_path(root, name).read_text() == fingerprint(root, name)
        for name in SERVED_BY[lock_file]
    )


def run(*arguments: str | Path) -> None:
    # The children inherit the lock: when this process is killed, the next one waits for a pip that isn't.
    subprocess.run([str(argument) for argument in arguments], check=True, close_fds=False, stdout=sys.stderr)


def make(root: Path, lock_file: str) -> None:
    """Make the environment from nothing, so that nothing of an older lock file stays in it."""
    print(f"Installing {lock_file} into .venv (once, about half a minute) …", file=sys.stderr, flush=True)
    run(sys.executable, "-m", "venv", "--clear", root / ".venv")
    pip = [root / ".venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run(*pip, "install", "--quiet", "--require-hashes", "-r", root / lock_file)
    stamp_path(root, lock_file).write_text(fingerprint(root, lock_file))


def main() -> int:
    root, lock_file = Path(sys.argv[1]).resolve(), sys.argv[2]
    if is_ready(root, lock_file):
        return 0
    with (root / ".venv.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)  # noqa: FBT003 – the standard library's signature
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_ready(root, lock_file):  # somebody else made it while we waited
            return 0
        try:
            make(root, lock_file)
        except subprocess.CalledProcessError as error:
            print(f"Could not make .venv: {error}", file=sys.stderr)
            if error.cmd[1:3] == ["-m", "venv"]:
                print("    apt-get install python3-venv", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
