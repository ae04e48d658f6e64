"""Small real PNG images, and their upload through OptiFit's API."""

from __future__ import annotations

import http.client
import struct
import zlib

from processes import StoryError


def image_of(number: int, *, side: int = 64) -> bytes:
    """A PNG of `side` × `side` pixels in a colour of its own (https://www.w3.org/TR/png/)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    colour = bytes(((number * 37) % 256, (number * 91) % 256, 160))
    rows = (b"\0" + colour * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def upload(port: int, token: str, name: str, image: bytes) -> None:
    """POST one image; raises StoryError unless it is stored."""
    boundary = "optifit-demo"
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: image/png\r\n\r\n"
        ).encode()
        + image
        + f"\r\n--{boundary}--\r\n".encode()
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(
        "POST",
        "/api/images",
        body,
        {"Authorization": f"Bearer {token}", "Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status != http.client.CREATED:
        raise StoryError(f"{name} was not stored: {response.status} {answer[:200]!r}")
