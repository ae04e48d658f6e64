"""Files of the deployment (compose, proxy) as they go into a backup: whole, and without their secrets."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploy.reporting.findings import Finding, FindingType

from .concealment import Concealment
from .configuration_lines import hidden_lines

FILE_MISSING = FindingType(
    "deploy.B065",
    "warning",
    "The configuration file {file} is not there, so the backup does not hold it.",
    "Correct DEPLOY['BACKUP_CONFIGURATION_FILES']; its paths begin at {base_dir}.",
)
FILE_REFUSED = FindingType(
    "deploy.B066",
    "warning",
    "The configuration file {file} is not kept in the backup: {reason}.",
    "Take it out of DEPLOY['BACKUP_CONFIGURATION_FILES'], or name a text file below BASE_DIR.",
)

LARGEST_BYTES = 1024 * 1024
_SECRET_KINDS = re.compile(r"(\A|/)\.env[^/]*\Z|\.(env|pem|key|p12|pfx|jks|tfvars|tfstate)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file's text (secrets masked), its size in bytes and its mode bits."""

    path: str
    text: str
    size_bytes: int
    mode: int


def keep_files(base_dir: Path, paths: Sequence[str], conceal: Concealment) -> Iterator[KeptFile | Finding]:
    """Each file, or why it is not kept."""
    for path in paths:
        yield _keep(base_dir, path, conceal)


def _keep(base_dir: Path, path: str, conceal: Concealment) -> KeptFile | Finding:
    def refused(reason: str) -> Finding:
        return FILE_REFUSED(file=path, reason=reason, place=path)

    if _SECRET_KINDS.search(PurePosixPath(path).as_posix()):
        return refused("files of its kind hold secrets")
    try:
        whole = (base_dir / path).resolve(strict=True)
        if not whole.is_relative_to(base_dir.resolve()):
            return refused(f"it leads out of {base_dir}")
        # Not followed and not waited for: what was resolved is opened, even if somebody swaps it for a pipe.
        handle = os.open(whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return FILE_MISSING(file=path, base_dir=base_dir, place=path)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        return refused(getattr(error, "strerror", None) or str(error))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return refused("it is not a regular file")
        with open(handle, "rb", closefd=False) as file:
            raw = file.read(LARGEST_BYTES + 1)
    finally:
        os.close(handle)
    if len(raw) > LARGEST_BYTES:
        return refused(f"it is larger than {LARGEST_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return refused("it is not UTF-8 text")
    return KeptFile(path, concealed(text, conceal), len(raw), stat.S_IMODE(found.st_mode))


def concealed(text: str, conceal: Concealment) -> str:
    """The text of a file with the values of its secret names masked; references such as `${NAME}` stay."""
    return conceal.text("".join(hidden_lines(text, conceal)))
