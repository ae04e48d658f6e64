"""Two colours behind a real Caddy. Plain HTTP, as behind a load balancer; certificates: test_tls.py."""

import pytest

from .caddy import running
from .origin import serving


@pytest.fixture
def blue():
    with serving("r-blue") as origin:
        yield origin


@pytest.fixture
def green():
    with serving("r-green") as origin:
        yield origin


@pytest.fixture
def frontend():
    with serving("r-frontend") as origin:
        yield origin


@pytest.fixture
def settings_of_caddy(blue, green, frontend):
    """The "load balancer" is 127.0.0.1, this machine itself 127.0.0.3, and all others are strangers."""
    return {
        "TLS_MODE": "load-balancer",
        "LOAD_BALANCER_RANGES": "127.0.0.1/32",
        "LOCAL_RANGES": "127.0.0.3/32",
        "BACKEND_BLUE": blue.address,
        "BACKEND_GREEN": green.address,
        "FRONTEND_BLUE": frontend.address,
    }


@pytest.fixture
def caddy(tmp_path, settings_of_caddy):
    """Blue is live, and there is no frontend yet."""
    with running(tmp_path, **settings_of_caddy) as caddy:
        (caddy.live / "backend.blue").touch()
        yield caddy
