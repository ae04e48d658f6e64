"""The manifest: what makes an archive a backup, and what a restore is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .naming import MANIFEST, Identity, is_id

SCHEMA = 1

_TEXTS = (
    "id",
    "project",
    "environment",
    "database",
    "engine",
    "server_version",
    "client_version",
    "release",
    "archive",
    "sha256",
    "crc32c",
    "digest_method",
)
_LATER = ("sequences",)  # mappings that a manifest of an earlier version has not
_MAPPINGS = ("tables", "digests", "objects", "migrations", "sizes", "extensions", "locale")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. It is written last, so a backup without one does not exist.

    Attributes:
        id: sorts by age among the backups of one database.
        project, environment, database: whose it is.
        engine: `postgresql` or `sqlite`.
        server_version, client_version: `18.4`; the client is the program that wrote the archive.
        release: the release that was being deployed, or a word for why it was taken.
        created: UTC, of the snapshot.
        duration_seconds: from the snapshot to the archive's last byte.
        archive: file name beside the manifest.
        archive_generation: of the object in the bucket.
        sizes: `raw_bytes` (what the dump program wrote) and `stored_bytes` (compressed).
        sha256: of the stored bytes, hexadecimal. crc32c: of the stored bytes, as in `ObjectInfo`.
        tables: rows by table, `schema.table` on PostgreSQL.
        digests: by table, independent of the order of rows; tables over the limit have none.
        digest_method: how `digests` were made, for people and for whoever compares.
        objects: number of indexes, constraints, sequences, views, functions, triggers, policies, rules,
            types, large objects.
        sequences: by sequence the lowest and the highest number that it would have given next while the
            archive was written: a sequence stands in no snapshot. Empty in manifests before 2026-11-23.
        migrations: applied ones by app, in the order they were applied.
        extensions: version by name. locale: encoding, collate, ctype, provider, locale.
        generation: of the manifest's own object; not part of its content.
    """

    id: str
    project: str
    environment: str
    database: str
    engine: str
    server_version: str
    client_version: str
    release: str
    created: datetime
    duration_seconds: float
    archive: str
    archive_generation: int
    sizes: dict[str, int]
    sha256: str
    crc32c: str
    tables: dict[str, int]
    digests: dict[str, str] = field(default_factory=dict)
    digest_method: str = ""
    objects: dict[str, int] = field(default_factory=dict)
    sequences: dict[str, list[int]] = field(default_factory=dict)
    migrations: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    locale: dict[str, str | None] = field(default_factory=dict)
    generation: int = field(default=0, compare=False)

    @property
    def identity(self) -> Identity:
        """Whose backup it is."""
        return Identity(self.project, self.environment, self.database)

    @property
    def archive_name(self) -> str:
        """The archive's name in the bucket."""
        return self.identity.object_name(self.id, self.archive)

    @property
    def manifest_name(self) -> str:
        """The manifest's name in the bucket."""
        return self.identity.object_name(self.id, MANIFEST)

    @property
    def age_seconds(self) -> float:
        """Since the snapshot."""
        return (datetime.now(UTC) - self.created).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data, `from_dict` reads it."""
        data: dict[str, Any] = {"schema": SCHEMA}
        data.update({name: getattr(self, name) for name in (*_TEXTS, *_MAPPINGS, *_LATER)})
        data.update(
            created=self.created.astimezone(UTC).isoformat(),
            duration_seconds=self.duration_seconds,
            archive_generation=self.archive_generation,
        )
        return data

    def to_bytes(self) -> bytes:
        """What is stored: JSON for people and programs."""
        return json.dumps(self.as_dict(), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, generation: int = 0) -> Manifest:
        """Back from `as_dict`.

        Raises:
            ValueError: what is missing or of the wrong kind, in words.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {data.get('schema')!r}, and this version reads {SCHEMA}")
        texts: dict[str, Any] = {name: _required(data, name, str) for name in _TEXTS}
        mappings: dict[str, Any] = {name: dict(_required(data, name, dict)) for name in _MAPPINGS}
        mappings |= {name: dict(_required({name: {}, **data}, name, dict)) for name in _LATER}
        if not is_id(texts["id"]):
            raise ValueError(f"its id {texts['id']!r} is not one of a backup")
        if "/" in texts["archive"] or texts["archive"].startswith("."):
            raise ValueError(f"its archive {texts['archive']!r} is not a file name")
        if len(texts["sha256"]) != 64:
            raise ValueError("its sha256 is not one")
        for name in ("sizes", "tables", "objects"):
            if not all(isinstance(value, int) for value in mappings[name].values()):
                raise ValueError(f"its {name} are not whole numbers")
        for span in mappings["sequences"].values():
            if not (isinstance(span, list) and len(span) == 2 and all(isinstance(end, int) for end in span)):
                raise ValueError("its sequences are not spans of two whole numbers")
        if not {"raw_bytes", "stored_bytes"} <= mappings["sizes"].keys():
            raise ValueError("its sizes are incomplete")
        created = datetime.fromisoformat(_required(data, "created", str))
        if created.tzinfo is None:
            raise ValueError("its time of creation has no zone")
        return cls(
            **texts,
            **mappings,
            created=created,
            duration_seconds=float(_required(data, "duration_seconds", (int, float))),
            archive_generation=int(_required(data, "archive_generation", int)),
            generation=generation,
        )

    @classmethod
    def from_bytes(cls, raw: bytes, *, generation: int = 0) -> Manifest:
        """Back from `to_bytes`.

        Raises:
            ValueError: what is wrong, in words.
        """
        try:
            data = json.loads(raw)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"it is not JSON ({error})") from error
        if not isinstance(data, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004 – one kind of error for its readers
        return cls.from_dict(data, generation=generation)


def _required(data: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    if name not in data:
        raise ValueError(f"it has no {name!r}")
    if not isinstance(data[name], kind):
        raise ValueError(f"its {name!r} is a {type(data[name]).__name__}")  # noqa: TRY004 – as above
    return data[name]
