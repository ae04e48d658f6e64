"""What should not be among static files: secrets, names that cannot be kept apart, a stale STATIC_ROOT."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from django.conf import settings

from deploy.buckets.names import validate_name
from deploy.reporting.findings import Finding, FindingType, Level, Refusal

from .content import Content, is_secret_name
from .manifest import MANIFEST_FOLDER

STALE_ROOT = FindingType(
    "deploy.A006",
    "error",
    "STATIC_ROOT's manifest differs from the sources in {count} files (first: {first}).",
    "python manage.py collectstatic --noinput",
    why="Templates take their names from that manifest; the files would be missing or old.",
)
CASE_CONFLICT = FindingType(
    "deploy.A007",
    "warning",
    "The static files {first} and {second} differ in case only.",
    "Rename one of them: a laptop's file system may hold only one of the two.",
)
SECRET_FILE = FindingType(
    "deploy.A008",
    "error",
    "The static file {file} would make a secret public: {reason}.",
    "Move it out of the static folders: git mv {file} …; and replace the key if it was ever published.",
)
RESERVED_NAME = FindingType(
    "deploy.A011",
    "error",
    "The static file {file} would lie where the manifests do.",
    "Rename the folder " + MANIFEST_FOLDER + ".",
)


def stale_root(names: Mapping[str, str], baked: Mapping[str, str]) -> list[Finding]:
    """The manifest that templates read must name what the sources give."""
    changed = [path for path, name in names.items() if baked.get(path) != name]
    if not baked or not changed:
        return []
    # With DEBUG templates use plain names, and the folder is a leftover.
    level: Level = "warning" if settings.DEBUG else "error"
    return [STALE_ROOT(count=len(changed), first=changed[0], place="staticfiles.json", level=level)]


def case_conflicts(paths: Iterable[str]) -> list[Finding]:
    """Paths that a file system without cases takes for one."""
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        spellings[path.casefold()].append(path)
    return [
        CASE_CONFLICT(first=same[0], second=other, place=other)
        for same in spellings.values()
        for other in same[1:]
    ]


def leaks(path: str, content: Content) -> list[Finding]:
    """A file that must not be public, by its content or its name."""
    if content.holds_private_key:
        return [SECRET_FILE(file=path, reason="it holds a private key", place=path)]
    if is_secret_name(path):
        return [SECRET_FILE(file=path, reason="files of that name hold keys or data", place=path)]
    return []


def improper_names(path: str, name: str) -> list[Finding]:
    """A name that no bucket takes (deploy.K003), or that lies where the manifests do."""
    try:
        validate_name(name)
    except Refusal as refusal:
        return list(refusal.findings)
    return [RESERVED_NAME(file=path, place=path)] if name.startswith(f"{MANIFEST_FOLDER}/") else []
