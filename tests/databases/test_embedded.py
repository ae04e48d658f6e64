"""The embedded PostgreSQL, in folders and for users as machines have them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.databases import embedded

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: as root the server is another user, whom each starting pytest locks out of that."""
    with tempfile.TemporaryDirectory(prefix="embedded-") as name:
        yield Path(name)


def test_starts_in_a_folder_of_any_ordinary_name(folder: Path) -> None:
    data = folder / "Alice's (new) clone; of it" / "postgres"
    script = (
        "import sys, psycopg; from pathlib import Path; from deploy.databases import embedded\n"
        "folder = embedded.start(Path(sys.argv[1]))\n"
        "with psycopg.connect(host=str(folder), user='postgres', dbname='postgres') as connection:\n"
        "    print(connection.execute('SHOW data_directory').fetchone()[0])\n"
        "    print(oct(folder.stat().st_mode & 0o777))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(data)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # The server asks for no password, so nobody else may come near its socket.
    assert done.stdout.splitlines() == [str(data), "0o700"]
    assert not (data / "postmaster.pid").exists()


def test_a_folder_that_the_shell_would_read_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = tmp_path / "$(touch oops)" / "postgres"
    with pytest.raises(embedded.EmbeddedServerError, match="can't work below a folder of this name"):
        embedded.start(data)
    assert list(tmp_path.iterdir()) == []


def test_users_do_not_share_a_lock() -> None:
    wheel = embedded._wheel()
    folder = wheel.PostgresServer.lock_path.parent
    assert folder.name == f"deploy-postgres-{os.geteuid()}"
    assert folder.stat().st_uid == os.geteuid()
    assert folder.stat().st_mode & 0o022 == 0
    assert os.fsdecode(wheel.PostgresServer._lock.path) == str(folder / "lock")


def test_the_socket_lies_with_the_data_where_it_can(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    plain = Path("/srv/app/.deploy/postgres")
    assert embedded._socket_dir(plain, runtime) == plain
    for other in (Path("/srv/an app/postgres"), Path("/srv") / ("x" * 90) / "postgres"):
        assert embedded._socket_dir(other, runtime).parent == runtime


def test_folders_above_are_passed_through_and_not_opened(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "clone").mkdir(parents=True)
    home.chmod(0o700)
    embedded._let_pass(home / "clone")
    assert home.stat().st_mode & 0o777 == 0o711


def test_a_user_that_was_killed_does_not_keep_the_server_running(folder: Path) -> None:
    data = folder / "postgres"
    killed = (
        "import os, signal, sys; from pathlib import Path; from deploy.databases import embedded\n"
        "embedded.start(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", killed, str(data)], cwd=ROOT, check=False)
    assert (data / "postmaster.pid").exists()
    polite = (
        "import sys; from pathlib import Path; from deploy.databases import embedded\n"
        "embedded.start(Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", polite, str(data)], cwd=ROOT, check=True)
    assert not (data / "postmaster.pid").exists()
