"""Which migrations a branch adds: what Git has in the commit where it left another one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from deploy.reporting.findings import FindingType, Refusal

from ..graph.plan import MigrationKey, place
from .edited import digest

NO_REPOSITORY = FindingType(
    "deploy.M110",
    "error",
    "Git cannot tell what is new since {ref}: {problem}",
    "python manage.py migrategate check --all   # every migration, without Git and without a database",
)
UNKNOWN_REF = FindingType(
    "deploy.M111",
    "error",
    "Git knows no commit {ref} in {folder}.",
    "git fetch origin   # then name a branch, a tag or a commit: migrategate check --since origin/main",
)
NO_MERGE_BASE = FindingType(
    "deploy.M112",
    "error",
    "Git finds no commit where HEAD and {ref} were one{shallow}.",
    "git fetch --unshallow origin   # in GitHub Actions: actions/checkout with fetch-depth: 0",
)

_TIMEOUT_SECONDS = 60.0
_DIFF = ("diff", "--no-ext-diff", "--no-textconv")
# gitrevisions(7), without what asks for a search (:/text, ^{/text}) or for a file in a commit (a colon).
_REF = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@_./+{}~^-]{0,249}\Z")


@dataclass(frozen=True, slots=True)
class Base:
    """The commit (full hash) that a branch starts from, and the migrations that it has.

    `recorded`: digests of those whose file is another now, by place, and who has them, in words.
    """

    commit: str
    known: frozenset[MigrationKey]
    recorded: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def base_of(loader: MigrationLoader, ref: str, folder: Path) -> Base:
    """The merge base of HEAD and `ref` in the repository around `folder`, and the migrations that it has.

    Migrations outside the repository (installed packages) count as being there. A migration whose folder was
    moved is the one that it was; one that was given another name is new, as it is to Django.

    Raises:
        Refusal: deploy.M110 (no Git, no repository), deploy.M111 (no such commit), deploy.M112 (no common
        commit, as in a shallow clone); exit code 2. Nothing is changed.
    """
    if not _REF.match(ref):
        raise Refusal(UNKNOWN_REF(ref=repr(ref), folder=folder))
    git = _Git(folder, ref)
    root = Path(git.must("rev-parse", "--show-toplevel").rstrip("\n")).resolve()
    wanted = git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if wanted is None:
        raise Refusal(UNKNOWN_REF(ref=ref, folder=root))
    commit = git.ask("merge-base", wanted.strip(), "HEAD")
    if commit is None:
        is_shallow = git.must("rev-parse", "--is-shallow-repository").strip() == "true"
        raise Refusal(NO_MERGE_BASE(ref=ref, shallow=": the clone is shallow" if is_shallow else ""))
    commit = commit.strip()
    there = {
        Path(name)
        for name in git.must("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split("\0")
    }
    moved = _moved(git, commit)
    known: set[MigrationKey] = set()
    folders = _folders(loader)
    for app_label, migrations in folders.items():
        if not migrations.is_relative_to(root):
            known |= {key for key in loader.disk_migrations if key[0] == app_label}
            continue
        inside = migrations.relative_to(root)
        known |= {(app_label, path.stem) for path in there if path.parent == inside and path.suffix == ".py"}
        known |= {
            (app_label, new.stem)
            for new, old in moved.items()
            if new.parent == inside and new.name == old.name
        }
    known = {key for key in known if key[1] != "__init__"}
    return Base(commit, frozenset(known), _changed(git, commit, folders, root))


def _changed(git: _Git, commit: str, folders: Mapping[str, Path], root: Path) -> dict[str, tuple[str, str]]:
    """The old digests of migrations that are in `commit` and have other bytes in the work tree."""
    inside = {path.relative_to(root): label for label, path in folders.items() if path.is_relative_to(root)}
    found: dict[str, tuple[str, str]] = {}
    for name in git.must(*_DIFF, "--diff-filter=M", "--name-only", "-z", commit, "--").split("\0"):
        path = Path(name)
        if path.suffix == ".py" and path.parent in inside and path.stem != "__init__":
            old = git.must("cat-file", "blob", f"{commit}:{path.as_posix()}")
            value = digest(old.encode("utf-8", "surrogateescape"))
            found[place((inside[path.parent], path.stem))] = (value, f"{git.ref} ({commit[:12]})")
    return found


def _folders(loader: MigrationLoader) -> dict[str, Path]:
    """Where each app's migrations are, links resolved; apps without migrations have none."""
    found: dict[str, Path] = {}
    for config in apps.get_app_configs():
        name, _ = loader.migrations_module(config.label)
        if name is None or config.label not in loader.migrated_apps:
            continue
        places = list(getattr(import_module(name), "__path__", ()))
        if places:
            found[config.label] = Path(places[0]).resolve()
    return found


def _moved(git: _Git, commit: str) -> dict[Path, Path]:
    """Files that have another path than in `commit`, by their new one; the work tree counts, as it is."""
    fields = git.must(*_DIFF, "--find-renames", "--diff-filter=R", "--name-status", "-z", commit, "--").split(
        "\0"
    )
    return {
        Path(new): Path(old) for _, old, new in zip(fields[::3], fields[1::3], fields[2::3], strict=False)
    }


@dataclass(frozen=True, slots=True)
class _Git:
    folder: Path
    ref: str

    def ask(self, *arguments: str) -> str | None:
        """Git's answer, or None where it says no.

        Raises:
            Refusal: deploy.M110 where there is no Git, or it does not answer.
        """
        done = self._run(*arguments)
        return done.stdout if done.returncode == 0 else None

    def must(self, *arguments: str) -> str:
        """Git's answer.

        Raises:
            Refusal: deploy.M110.
        """
        done = self._run(*arguments)
        if done.returncode != 0:
            problem = (
                " ".join(done.stderr.split())[:300] or f"git {arguments[0]} ended with {done.returncode}"
            )
            raise Refusal(NO_REPOSITORY(ref=self.ref, problem=problem))
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # core.quotePath has no say with -z; a pager, colours and hooks have none in these commands.
        argv = ["git", "--no-optional-locks", "-c", "diff.relative=false", "-C", str(self.folder), *arguments]
        try:
            return subprocess.run(
                argv,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=_TIMEOUT_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise Refusal(NO_REPOSITORY(ref=self.ref, problem="there is no git on the PATH.")) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = f"git {arguments[0]}: {type(error).__name__}."
            raise Refusal(NO_REPOSITORY(ref=self.ref, problem=problem)) from error
