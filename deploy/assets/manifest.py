"""A release's static manifest: which object each path became. Written last and once, never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deploy.buckets.base import Bucket, ObjectMissing
from deploy.reporting.findings import FindingType, Refusal

MANIFEST_UNREADABLE = FindingType(
    "deploy.A020",
    "error",
    "The static manifest {name} cannot be read: {reason}.",
    "gcloud storage cat {url}/{name}",
)

MANIFEST_FOLDER = "static-manifests"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its object's name, stored size and CRC32C (base64, as listings have it)."""

    name: str
    size_bytes: int
    crc32c: str


@dataclass(frozen=True, slots=True)
class ReleaseManifest:
    """What a release's templates may name. Equal content gives equal bytes, so it can be written again.

    Attributes:
        files: path below STATIC_URL → the hashed object.
        unhashed: path → the object under its plain name (`DEPLOY["STATIC_UNHASHED"]`).
    """

    release: str
    files: Mapping[str, Entry]
    unhashed: Mapping[str, Entry]

    @property
    def object_name(self) -> str:
        """Where it lies in the static bucket."""
        return object_name(self.release)

    @property
    def sha256(self) -> str:
        """Of the bytes, hex."""
        return hashlib.sha256(self.as_bytes()).hexdigest()

    def as_bytes(self) -> bytes:
        """Deterministic JSON."""
        data = {
            "schema": SCHEMA,
            "release": self.release,
            "files": {path: asdict(entry) for path, entry in self.files.items()},
            "unhashed": {path: asdict(entry) for path, entry in self.unhashed.items()},
        }
        return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> ReleaseManifest:
        """Raises ValueError when it is not a manifest of this schema."""
        try:
            raw = json.loads(data)
            if raw["schema"] != SCHEMA:
                raise ValueError(f"schema {raw['schema']!r} is not {SCHEMA}")
            return cls(str(raw["release"]), _entries(raw["files"]), _entries(raw["unhashed"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def object_name(release: str) -> str:
    """`static-manifests/<release>.json`."""
    return f"{MANIFEST_FOLDER}/{release}.json"


def read_release_manifest(bucket: Bucket, release: str) -> ReleaseManifest | None:
    """The recorded manifest, or None when the release has none.

    Raises:
        BucketError: the bucket did not answer, or the object is corrupt.
        Refusal: deploy.A020, it is not a manifest.
    """
    name = object_name(release)
    try:
        return ReleaseManifest.from_bytes(bucket.read(name))
    except ObjectMissing:
        return None
    except ValueError as error:
        raise Refusal(MANIFEST_UNREADABLE(name=name, reason=error, url=bucket.url)) from error


def differences(one: ReleaseManifest, other: ReleaseManifest) -> list[str]:
    """Paths that one of the two lacks or has with another object, sorted."""
    left = {**{("", path): entry for path, entry in one.files.items()}, **_plain(one)}
    right = {**{("", path): entry for path, entry in other.files.items()}, **_plain(other)}
    return sorted({key[1] for key in {*left, *right} if left.get(key) != right.get(key)})


def _plain(manifest: ReleaseManifest) -> dict[tuple[str, str], Entry]:
    return {("unhashed", path): entry for path, entry in manifest.unhashed.items()}


def _entries(raw: Mapping[str, Any]) -> dict[str, Entry]:
    return {
        path: Entry(str(entry["name"]), int(entry["size_bytes"]), str(entry["crc32c"]))
        for path, entry in raw.items()
    }
