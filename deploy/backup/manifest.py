"""The manifest: what makes archives a backup, what a restore is compared with, and how far it was proved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from . import reading
from .naming import MANIFEST, Identity, is_id

SCHEMA = 2

_TEXTS = (
    "id",
    "project",
    "environment",
    "database",
    "engine",
    "server_version",
    "client_version",
    "release",
    "commit",
    "digest_method",
)
_MAPPINGS = (
    "tables",
    "digests",
    "samples",
    "objects",
    "definitions",
    "sequences",
    "migrations",
    "extensions",
    "locale",
    "encryption",
)


@dataclass(frozen=True, slots=True)
class Part:
    """One archive: a whole dump, or what one of several connections has dumped.

    Attributes:
        file: its name beside the manifest. generation: of the object in the bucket.
        raw_bytes: what the dump program wrote. stored_bytes: compressed and, where asked for, encrypted.
        sha256: of the stored bytes, hexadecimal. crc32c: of the stored bytes, as in `ObjectInfo`.
        tables: whose rows it holds, and nothing else; empty for the part that holds everything else.
    """

    file: str
    generation: int
    raw_bytes: int
    stored_bytes: int
    sha256: str
    crc32c: str
    tables: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data, `from_dict` reads it."""
        return {**asdict(self), "tables": list(self.tables)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Part:
        """Back from `as_dict`. Raises ValueError with what is wrong, in words."""
        file = reading.file_name(data, "file")
        sha256 = reading.required(data, "sha256", str)
        if len(sha256) != 64:
            raise ValueError("its sha256 is not one")
        return cls(
            file=file,
            generation=reading.required(data, "generation", int),
            raw_bytes=reading.required(data, "raw_bytes", int),
            stored_bytes=reading.required(data, "stored_bytes", int),
            sha256=sha256,
            crc32c=reading.required(data, "crc32c", str),
            tables=tuple(map(str, reading.required(data, "tables", list))),
        )


@dataclass(frozen=True, slots=True)
class Companion:
    """What was kept beside the database: configuration, media inventory, Firestore, Cloud SQL.

    Attributes:
        kind: `configuration`, `media`, `firestore`, `firestore-managed`, `cloudsql`.
        moment: UTC; what it shows is of then. The manifest's own moment is `created`.
        part: its file beside the manifest; None for what lies elsewhere (a managed export, an instance's
            backup), which `facts` then names.
        facts: JSON-like, for people and for what restores it.
    """

    kind: str
    moment: datetime
    part: Part | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data, `from_dict` reads it."""
        return {
            "kind": self.kind,
            "moment": self.moment.astimezone(UTC).isoformat(),
            "part": self.part.as_dict() if self.part else None,
            "facts": self.facts,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Companion:
        """Back from `as_dict`. Raises ValueError with what is wrong, in words."""
        part = reading.required(data, "part", (dict, type(None)))
        return cls(
            kind=reading.required(data, "kind", str),
            moment=reading.moment(data, "moment"),
            part=Part.from_dict(part) if part is not None else None,
            facts=reading.required(data, "facts", dict),
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """How far a backup was proved, or where it failed to be, once.

    Attributes:
        grade: 0 the stored bytes are those that were written; 1 they decode to the end; 2 restored into a
            scratch database, with every count and digest equal; 3 migrations were rehearsed there.
        at: UTC, of the end. by: who, as in the ledger.
        seconds: what it took. rto_seconds: from the first byte read to a compared database, for grade 2.
        ok: False where it was the backup that failed: it is damaged, or came back different.
    """

    grade: int
    at: datetime
    seconds: float
    by: str
    rto_seconds: float | None = None
    ok: bool = True

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data, `from_dict` reads it."""
        return {**asdict(self), "at": self.at.astimezone(UTC).isoformat()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proof:
        """Back from `as_dict`. Raises ValueError with what is wrong, in words."""
        grade = reading.required(data, "grade", int)
        if grade not in range(4):
            raise ValueError(f"it has a proof of grade {grade}")
        rto_seconds = reading.required(data, "rto_seconds", (int, float, type(None)))
        succeeded = reading.required({"ok": True, **data}, "ok", bool)  # older ones say nothing of failures
        return cls(
            grade=grade,
            at=reading.moment(data, "at"),
            seconds=float(reading.required(data, "seconds", (int, float))),
            by=reading.required(data, "by", str),
            rto_seconds=None if rto_seconds is None else float(rto_seconds),
            ok=succeeded,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. It is written last, so a backup without one does not exist.

    Attributes:
        id: sorts by age among the backups of one database.
        project, environment, database: whose it is.
        engine: `postgresql` or `sqlite`.
        server_version, client_version: `18.4`; the client is the program that wrote the archive.
        release: the release that was being deployed, or a word for why it was taken. commit: or empty.
        created: UTC, of the snapshot.
        duration_seconds: from the snapshot to the archive's last byte.
        parts: the archives; the first holds the schema. Only `proofs` changes after the first writing.
        tables: rows by table, `schema.table` on PostgreSQL.
        digests: by table, independent of the order of rows.
        samples: by table whose digest is of a sample, how many rows one of the sample stands for.
        digest_method: how `digests` were made, for people and for whoever compares.
        objects: number of indexes, constraints, sequences, views, functions, triggers, policies, rules,
            types, large objects.
        definitions: by kind of object, the digest of how all of them are defined; of large objects, of their
            content.
        sequences: by sequence the lowest and the highest number that it would have given next while the
            archive was written: a sequence stands in no snapshot.
        migrations: applied ones by app, in the order they were applied.
        extensions: version by name. locale: encoding, collate, ctype, provider, locale, version.
        encryption: empty, or `method` (`age`) and `recipients` (public keys); never a private key.
        companions: what was kept beside it. proofs: oldest first.
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
    parts: tuple[Part, ...]
    tables: dict[str, int]
    commit: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    digest_method: str = ""
    objects: dict[str, int] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    sequences: dict[str, list[int]] = field(default_factory=dict)
    migrations: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    locale: dict[str, str | None] = field(default_factory=dict)
    encryption: dict[str, Any] = field(default_factory=dict)
    companions: tuple[Companion, ...] = ()
    proofs: tuple[Proof, ...] = ()
    generation: int = field(default=0, compare=False)

    @property
    def identity(self) -> Identity:
        """Whose backup it is."""
        return Identity(self.project, self.environment, self.database)

    @property
    def manifest_name(self) -> str:
        """The manifest's name in the bucket."""
        return self.object_name(MANIFEST)

    @property
    def raw_bytes(self) -> int:
        """What the dump programs wrote, of all parts."""
        return sum(part.raw_bytes for part in self.parts)

    @property
    def stored_bytes(self) -> int:
        """What lies in the bucket, of all parts and companions."""
        return sum(part.stored_bytes for part in self.files)

    @property
    def files(self) -> tuple[Part, ...]:
        """Every file beside the manifest."""
        return (*self.parts, *(companion.part for companion in self.companions if companion.part))

    @property
    def grade(self) -> int | None:
        """The highest proof since the last that failed; None where there is none, or it is damaged."""
        if self.damage:
            return None
        failures = [number for number, proof in enumerate(self.proofs, 1) if not proof.ok]
        since = self.proofs[failures[-1] if failures else 0 :]
        return max((proof.grade for proof in since), default=None)

    @property
    def damage(self) -> Proof | None:
        """The last proof that failed, unless as much was proved after it (what was damaged was mended)."""
        found: Proof | None = None
        for proof in self.proofs:
            if not proof.ok:
                found = proof if found is None or proof.grade >= found.grade else found
            elif found is not None and proof.grade >= found.grade:
                found = None
        return found

    @property
    def skew_seconds(self) -> dict[str, float]:
        """By kind of companion: how much later than the database's snapshot it was taken."""
        return {
            companion.kind: round((companion.moment - self.created).total_seconds(), 3)
            for companion in self.companions
        }

    @property
    def age_seconds(self) -> float:
        """Since the snapshot."""
        return (datetime.now(UTC) - self.created).total_seconds()

    def object_name(self, file: str) -> str:
        """The name in the bucket of a file beside the manifest."""
        return self.identity.object_name(self.id, file)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data, `from_dict` reads it."""
        return {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in (*_TEXTS, *_MAPPINGS)},
            "created": self.created.astimezone(UTC).isoformat(),
            "duration_seconds": self.duration_seconds,
            "parts": [part.as_dict() for part in self.parts],
            "companions": [companion.as_dict() for companion in self.companions],
            "proofs": [proof.as_dict() for proof in self.proofs],
        }

    def to_bytes(self) -> bytes:
        """What is stored: JSON for people and programs, with the SHA-256 of what it says."""
        said = self.as_dict()
        whole = {**said, "sha256": _digest(said)}
        return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, generation: int = 0) -> Manifest:
        """Back from `as_dict`.

        Raises:
            ValueError: what is missing or of the wrong kind, in words.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {data.get('schema')!r}, and this version reads {SCHEMA}")
        texts: dict[str, Any] = {name: reading.required(data, name, str) for name in _TEXTS}
        # Older ones say nothing of definitions.
        data = {"definitions": {}, **data}
        mappings: dict[str, Any] = {name: dict(reading.required(data, name, dict)) for name in _MAPPINGS}
        if not is_id(texts["id"]):
            raise ValueError(f"its id {texts['id']!r} is not one of a backup")
        for name in ("tables", "objects", "samples"):
            if not all(isinstance(value, int) for value in mappings[name].values()):
                raise ValueError(f"its {name} are not whole numbers")
        for span in mappings["sequences"].values():
            if not (isinstance(span, list) and len(span) == 2 and all(isinstance(end, int) for end in span)):
                raise ValueError("its sequences are not spans of two whole numbers")
        parts = tuple(map(Part.from_dict, reading.objects(data, "parts")))
        if not parts:
            raise ValueError("it has no archive")
        return cls(
            **texts,
            **mappings,
            created=reading.moment(data, "created"),
            duration_seconds=float(reading.required(data, "duration_seconds", (int, float))),
            parts=parts,
            companions=tuple(map(Companion.from_dict, reading.objects(data, "companions"))),
            proofs=tuple(map(Proof.from_dict, reading.objects(data, "proofs"))),
            generation=generation,
        )

    @classmethod
    def from_bytes(cls, raw: bytes, *, generation: int = 0) -> Manifest:
        """Back from `to_bytes`.

        Raises:
            ValueError: what is wrong, in words.
        """
        said = reading.json_object(raw)
        if "sha256" in said and said.pop("sha256") != _digest(said):
            raise ValueError("it was changed since it was written: its SHA-256 is another")
        return cls.from_dict(said, generation=generation)


def _digest(said: Mapping[str, Any]) -> str:
    """Of the content, whatever the layout: what a person has reformatted is the same manifest."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
