"""Where a backup lies in the bucket, and what ids and names are allowed.

    backups/<project>/<environment>/<database>/<id>/archive.….zst
    backups/<project>/<environment>/<database>/<id>/manifest.json

Whose a backup is follows from whole path parts, never from the beginning of a name: `app` and `app_audit`
do not see each other.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

MANIFEST = "manifest.json"

_MOMENT = re.compile(r"^\d{8}T\d{9}Z$")
_ID = re.compile(r"^\d{8}T\d{6}\d{3}Z-[A-Za-z0-9._-]{1,24}-[0-9a-f]{6}$")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose backups: exactly these three."""

    project: str
    environment: str
    database: str

    def __str__(self) -> str:
        return f"{self.project}/{self.environment}/{self.database}"

    @property
    def prefix(self) -> str:
        """The folder of its backups, with the slash at the end."""
        return f"backups/{_part(self.project)}/{_part(self.environment)}/{_part(self.database)}/"

    @property
    def tag(self) -> str:
        """Eight hexadecimal digits for names that have no room for the whole."""
        whole = "\0".join((self.project, self.environment, self.database))
        return hashlib.sha256(whole.encode()).hexdigest()[:8]

    def scratch_prefix(self, prefix: str) -> str:
        """How the names of its scratch databases begin; room is left for 21 bytes."""
        return f"{prefix[:30]}_{self.tag}_"

    def object_name(self, backup_id: str, file_name: str) -> str:
        """The name in the bucket of a file of one backup."""
        return f"{self.prefix}{backup_id}/{file_name}"


def new_id(created: datetime, release: str) -> str:
    """A backup id: UTC with milliseconds, so that names sort by age; the release; six random digits."""
    moment = created.astimezone(UTC)
    stamp = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z"
    return f"{stamp}-{slug(release, 24)}-{secrets.token_hex(3)}"


def is_id(text: str) -> bool:
    """`text` has the shape of a backup id, so it is safe in an object's name."""
    return bool(_ID.match(text)) and ".." not in text


def is_moment(text: str) -> bool:
    """`text` is the beginning of a backup id, its time: enough to name one of a database's backups."""
    return bool(_MOMENT.match(text))


def slug(text: str, longest: int) -> str:
    """The first `longest` characters of `text`, of letters, digits and dashes; never empty."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text)[:longest].strip("-") or "none"


def _part(text: str) -> str:
    """`text` as one path part: any byte but plain ones becomes ~XX, so no two texts share a part."""
    plain = _PLAIN - {ord(".")} if text.startswith(".") or ".." in text else _PLAIN
    return "".join(chr(byte) if byte in plain else f"~{byte:02X}" for byte in text.encode())
