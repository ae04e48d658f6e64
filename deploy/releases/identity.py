"""What the release at hand is called: the given name, the Git commit, or a fingerprint of the source."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.conf import DeployConf

# Folders that hold no source of the project; hidden ones are left out as well.
_NOT_SOURCE = {"__pycache__", "node_modules", "venv", "staticfiles", "media", "dist", "build"}
_SOURCE_SUFFIXES = {".py", ".html", ".txt", ".toml", ".sql", ".css", ".js", ".json", ".svg"}

# What predeploy, migrations and Python itself leave in a project whose .gitignore doesn't name them: being
# prepared must not change a release's name.
_BY_PRODUCTS = tuple(
    f":(top,exclude,glob)**/{pattern}"
    for pattern in (".deploy/**", "__pycache__/**", "*.sqlite3", "*.sqlite3-*", "*.sqlite3.*")
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A release's name, and the commit it was built from (empty when unknown)."""

    name: str
    commit: str


def identify(conf: DeployConf) -> Identity:
    """The release this process is: `RELEASE` if set, else the commit, else `src-` + a fingerprint.

    A work tree with changes that are not committed gets the fingerprint after the commit, so that two
    different codes never share a name.
    """
    commit = commit_of(conf)
    if conf.release:
        return Identity(conf.release, commit)
    if not commit:
        return Identity(f"src-{source_fingerprint(conf.base_dir)[:16]}", "")
    if _git(conf.base_dir, "status", "--porcelain", "--untracked-files=normal", "--", ":/", *_BY_PRODUCTS):
        return Identity(f"{commit[:12]}-src-{source_fingerprint(conf.base_dir)[:12]}", commit)
    return Identity(commit, commit)


def commit_of(conf: DeployConf) -> str:
    """The Git commit of the project's folder, or an empty string where it is not known."""
    return _git(conf.base_dir, "rev-parse", "HEAD")


def source_fingerprint(base_dir: Path) -> str:
    """SHA-256 over the relative paths and contents of the project's source files (hex)."""
    digest = hashlib.sha256()
    for folder, subfolders, files in os.walk(base_dir):
        subfolders[:] = sorted(
            name for name in subfolders if not name.startswith(".") and name not in _NOT_SOURCE
        )
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix in _SOURCE_SUFFIXES and not path.is_symlink():
                digest.update(str(path.relative_to(base_dir)).encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    """Git's answer, or an empty string where there is no git, no repository, or no commit yet."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 – PATH decides which git, as everywhere
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
