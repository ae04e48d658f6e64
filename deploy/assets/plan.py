"""What an upload would do, as data: collected and hashed here, compared with one listing of the bucket."""

from __future__ import annotations

import difflib
import shutil
import stat
import tempfile
import time
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from deploy.buckets.base import BUCKET_UNREACHABLE, Bucket, BucketError, ObjectInfo
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType, Refusal, has_errors

from .collect import baked_names, collect
from .content import content_type, inspect
from .hygiene import case_conflicts, improper_names, leaks, stale_root
from .manifest import Entry, ReleaseManifest, differences, object_name, read_release_manifest

CONTENT_DIFFERS = FindingType(
    "deploy.A005",
    "error",
    "{name} is in the bucket with other content: stored {stored}, this release's {ours}.",
    "Find out who wrote it, then remove it: gcloud storage rm {url}/{name}",
    why="A hashed name stands for one content for ever; browsers and live releases rely on it.",
)
UNHASHED_UNKNOWN = FindingType(
    "deploy.A009",
    "error",
    "DEPLOY['STATIC_UNHASHED'] names {path!r}, which no static files finder has.{nearest}",
    "Add the file or take it out of DEPLOY['STATIC_UNHASHED'].",
)
MANIFEST_DIFFERS = FindingType(
    "deploy.A010",
    "error",
    "Release {release} has a static manifest already, and it differs in {count} files (first: {first}).",
    "A release is immutable; give this content its own name: python manage.py uploadstatic --release NAME",
)
SETTINGS_INVALID = FindingType(
    "deploy.A015",
    "error",
    "The static files settings cannot be used: {reason}.",
    "python manage.py check --tag staticfiles",
)

IMMUTABLE = "public, max-age=31536000, immutable"
SHORT = "public, max-age=300"

_SCRATCH_PREFIX = "deploy-static-"
_LEFTOVER_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Asset:
    """One object that the release needs.

    Attributes:
        path: below STATIC_URL, as templates name it.
        name: of the object; `path` itself when it keeps its plain name.
        source: file with the bytes.
        generation: what must be there when it is written (0: nothing); the listing's, where it is replaced.
    """

    path: str
    name: str
    source: Path
    size_bytes: int
    crc32c: str
    content_type: str
    cache_control: str
    generation: int = 0

    @property
    def immutable(self) -> bool:
        """Its name stands for its content."""
        return self.name != self.path

    def entry(self) -> Entry:
        """Its line in the manifest."""
        return Entry(self.name, self.size_bytes, self.crc32c)


@dataclass(frozen=True)
class UploadPlan:
    """What `upload` would send. The files lie in a scratch folder that goes when the plan does.

    Attributes:
        to_send: what the bucket lacks (or has with other headers), leaves before the CSS and JS naming them.
        present: what is there already, byte for byte.
        skipped: why there is nothing to do at all, or None.
    """

    release: str
    to_send: tuple[Asset, ...] = ()
    present: tuple[Asset, ...] = ()
    findings: tuple[Finding, ...] = ()
    manifest_recorded: bool = False
    skipped: str | None = None

    @property
    def send_bytes(self) -> int:
        """Sum of the sizes to send."""
        return sum(asset.size_bytes for asset in self.to_send)

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Everything the release needs."""
        return (*self.present, *self.to_send)

    @property
    def ok(self) -> bool:
        """No error among the findings."""
        return not has_errors(self.findings)

    def manifest(self) -> ReleaseManifest:
        """What is recorded when everything is there."""
        return ReleaseManifest(
            self.release,
            {asset.path: asset.entry() for asset in self.assets if asset.immutable},
            {asset.path: asset.entry() for asset in self.assets if not asset.immutable},
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--dry-run`."""
        return {
            "release": self.release,
            "send": [asset.name for asset in self.to_send],
            "send_bytes": self.send_bytes,
            "present": len(self.present),
            "manifest": self.manifest().object_name,
            "manifest_recorded": self.manifest_recorded,
        }


def plan_upload(conf: DeployConf, bucket: Bucket, *, release: str) -> UploadPlan:
    """Collect, hash and compare with one listing of `bucket`. Nothing is written to it.

    Mistakes in the files are findings of the plan; with an error among them `upload` refuses.

    Raises:
        Refusal: deploy.K002, the bucket could not be listed; deploy.A020, a damaged manifest;
            deploy.A015, the static files settings contradict each other.
    """
    if not apps.is_installed("django.contrib.staticfiles"):
        return UploadPlan(release, skipped="django.contrib.staticfiles is not in INSTALLED_APPS")
    if not settings.STATIC_URL:
        return UploadPlan(release, skipped="STATIC_URL is not set")
    folder = _scratch_folder()
    try:
        assets, findings = _assets(conf, folder)
        plan = _compare(release, assets, findings, bucket)
    except ImproperlyConfigured as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Refusal(SETTINGS_INVALID(reason=error)) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(plan, shutil.rmtree, folder, ignore_errors=True)
    return plan


def _scratch_folder() -> Path:
    """A new one; those that killed runs left behind are removed after a day."""
    folder = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX))
    for old in folder.parent.glob(f"{_SCRATCH_PREFIX}*"):
        with suppress(OSError):  # another run removes it too
            state = old.lstat()
            ours = stat.S_ISDIR(state.st_mode) and state.st_uid == folder.stat().st_uid
            if ours and time.time() - state.st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    return folder


def _assets(conf: DeployConf, folder: Path) -> tuple[list[Asset], list[Finding]]:
    collected = collect(folder)
    baked = baked_names()
    findings = [*collected.findings, *stale_root(collected.names, baked), *case_conflicts(collected.names)]
    wanted = [(path, name, folder / name) for path, name in collected.names.items()]
    for path, name in baked.items():  # what a build step put there and no finder knows
        if path not in collected.names and (source := Path(settings.STATIC_ROOT or "", name)).is_file():
            wanted.append((path, name, source))
    for path in conf.static_unhashed:
        if path not in collected.names:
            near = difflib.get_close_matches(path, collected.names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            findings.append(UNHASHED_UNKNOWN(path=path, nearest=hint))
        elif collected.names[path] != path:
            wanted.append((path, path, folder / path))
    with ThreadPoolExecutor(4) as pool:  # the checksum leaves the interpreter lock, the disk is one
        contents = list(pool.map(lambda item: inspect(item[2]), wanted))
    assets = []
    for (path, name, source), content in zip(wanted, contents, strict=True):
        findings += [*improper_names(path, name), *leaks(path, content)]
        caching = IMMUTABLE if name != path else SHORT
        assets.append(
            Asset(path, name, source, content.size_bytes, content.crc32c, content_type(path), caching)
        )
    return assets, list(dict.fromkeys(findings))


def _compare(release: str, assets: Iterable[Asset], findings: list[Finding], bucket: Bucket) -> UploadPlan:
    try:
        stored = {info.name: info for info in bucket.list()}
        recorded = read_release_manifest(bucket, release) if object_name(release) in stored else None
    except BucketError as error:
        raise Refusal(BUCKET_UNREACHABLE(url=bucket.url, action="listed", reason=error)) from error
    to_send: list[Asset] = []
    present: list[Asset] = []
    for asset in assets:
        info = stored.get(asset.name)
        if info is None:
            to_send.append(asset)
        elif info.size_bytes == asset.size_bytes and info.crc32c == asset.crc32c and _headers(info, asset):
            present.append(asset)
        elif asset.immutable and info.crc32c != asset.crc32c:
            findings.append(differs(asset, info, bucket))
        else:
            to_send.append(replace(asset, generation=info.generation))
    to_send.sort(key=lambda asset: (asset.path.endswith((".css", ".js", ".mjs", ".html")), asset.name))
    plan = UploadPlan(release, tuple(to_send), tuple(present), manifest_recorded=recorded is not None)
    # Compared only when nothing else is wrong: a file that broke is not in the manifest either.
    if recorded and not has_errors(findings) and (changed := differences(recorded, plan.manifest())):
        findings.append(MANIFEST_DIFFERS(release=release, count=len(changed), first=changed[0]))
    return UploadPlan(release, plan.to_send, plan.present, tuple(findings), recorded is not None)


def differs(asset: Asset, info: ObjectInfo, bucket: Bucket) -> Finding:
    """The finding for a hashed name that stands for other content."""
    return CONTENT_DIFFERS(
        name=asset.name, stored=info.crc32c, ours=asset.crc32c, url=bucket.url, place=asset.name
    )


def _headers(info: ObjectInfo, asset: Asset) -> bool:
    return info.content_type == asset.content_type and info.cache_control == asset.cache_control
