"""What a static file is: its type, its checksum, and whether it should be public at all."""

from __future__ import annotations

import base64
import mimetypes
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

# Python's own table (no file of the machine is read, so that every machine gives the same answer), and what
# it lacks or, in some of the supported versions, has wrong.
_TABLE = mimetypes.MimeTypes()
_TYPES = {
    ".avif": "image/avif",
    ".cjs": "text/javascript",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_TEXT = re.compile(r"^text/|^application/(json|manifest\+json|xml)$")

# Names that hold keys, credentials or data in every project that has them.
_SECRET_NAMES = (
    ".env",
    ".env.*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.kdbx",
    "id_rsa",
    "id_ecdsa",
    "id_ed25519",
    ".htpasswd",
    ".netrc",
    ".pgpass",
    "*.sqlite3",
    "*.tfstate",
)
# A key, not the mere mention of one as in a JavaScript crypto library: the header and then base64 of it
# (in JSON the line break is written as \n).
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----(?:\\n|\s)+[A-Za-z0-9+/=]{40}")

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """What one pass over a file tells: size, CRC32C as GCS writes it, and whether a private key is in it."""

    size_bytes: int
    crc32c: str
    holds_private_key: bool


def content_type(name: str) -> str:
    """The Content-Type for a file name, with `; charset=utf-8` on text."""
    suffix = PurePosixPath(name).suffix.lower()
    found = _TYPES.get(suffix) or _TABLE.guess_type(f"file{suffix}")[0] or "application/octet-stream"
    return f"{found}; charset=utf-8" if _TEXT.match(found) else found


def inspect(path: Path) -> Content:
    """Read the file once, in blocks. Raises OSError."""
    import google_crc32c

    checksum, size, tail, key = google_crc32c.Checksum(), 0, b"", False
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            checksum.update(block)
            size += len(block)
            key = key or _PRIVATE_KEY.search(tail + block) is not None
            tail = block[-200:]
    return Content(size, base64.b64encode(checksum.digest()).decode(), key)


def crc32c(data: bytes) -> str:
    """Base64 of the big-endian CRC32C, as object listings have it."""
    import google_crc32c

    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def is_secret_name(path: str) -> bool:
    """The file's name is one of those that keys and credentials have, or it lies in `.git`."""
    parts = PurePosixPath(path).parts
    return ".git" in parts or any(fnmatch(parts[-1].lower(), pattern) for pattern in _SECRET_NAMES)
