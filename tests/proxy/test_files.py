"""The proxy's files, as Caddy itself reads them."""

import os
import subprocess

import pytest

from .caddy import FILES, HOST, buffering

pytestmark = pytest.mark.needs_caddy

CONFIGURATIONS = sorted(FILES.rglob("*Caddyfile")) + sorted(FILES.rglob("*.caddy"))


def caddy(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["caddy", *map(str, arguments)],  # noqa: S607 – from PATH
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: str(path.relative_to(FILES)))
def test_it_is_formatted(path):
    assert caddy("fmt", path).stdout == path.read_text()


@pytest.mark.parametrize("mode", sorted(path.stem for path in (FILES / "tls").iterdir()))
def test_every_way_of_tls_is_a_valid_configuration(mode, tmp_path):
    done = caddy(
        *("validate", "--config", FILES / "Caddyfile", "--adapter", "caddyfile"),
        TLS_MODE=mode,
        PUBLIC_HOST=HOST,
        ACME_EMAIL="ops@optifit.test",
        CADDY_BUFFERING=buffering(),
        LOG_DIR=str(tmp_path),
        HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "not formatted" not in done.stderr


def test_a_way_of_tls_that_does_not_exist_is_no_configuration():
    done = caddy(
        "adapt", "--config", FILES / "Caddyfile", "--adapter", "caddyfile", TLS_MODE="acne", PUBLIC_HOST=HOST
    )
    assert done.returncode != 0
    assert "tls/acne.caddy" in done.stderr
