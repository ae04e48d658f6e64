import os
import subprocess
import sys

import pytest

from deploy.databases import gathering
from deploy.databases.child_process import running
from deploy.databases.gathering import Gathering

MANY = "import os\nfor n in range(2000): os.write(1, bytes([n % 251]) * 4096)"
EXPECTED = b"".join(bytes([n % 251]) * 4096 for n in range(2000))


@pytest.mark.parametrize("way", ["read", "readinto1"])
def test_every_byte_comes_in_order_and_in_fewer_pieces_than_were_written(way: str) -> None:
    with running([sys.executable, "-c", MANY], environment=dict(os.environ), stdout=True) as program:
        pipe, buffer, pieces = Gathering(program.stdout), memoryview(bytearray(1 << 20)), []
        while True:
            piece = pipe.read(1 << 20) if way == "read" else bytes(buffer[: pipe.readinto1(buffer)])
            if not piece:
                break
            pieces.append(piece)
        assert program.finish() == 0
    assert b"".join(pieces) == EXPECTED
    assert len(pieces) < 2000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pipe's room is not known")
@pytest.mark.parametrize("roomy", [True, False])
def test_only_a_pipe_with_room_is_waited_for(roomy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(gathering.time, "sleep", waits.append)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as out:
        if roomy:
            monkeypatch.setattr(gathering, "_LEAST_ROOM_BYTES", 4096)
        gathered = Gathering(pipe)
        for _ in range(3):
            out.write(b"x" * 100)
            assert gathered.read(1000) == b"x" * 100
        out.write(b"x" * 100)
        assert gathered.read(100) == b"x" * 100  # all that was asked for: more may be there
        out.close()
        assert gathered.read(1000) == b""
    assert len(waits) == (3 if roomy else 0)


def test_an_end_without_a_byte_is_the_end() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert Gathering(process.stdout).read(10) == b""
