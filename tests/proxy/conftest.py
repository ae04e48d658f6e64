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
def caddy(tmp_path, blue, green, frontend):
    """Behind a "load balancer" that is 127.0.0.1; blue is live, and there is no frontend yet."""
    with running(
        tmp_path,
        TLS_MODE="load-balancer",
        LOAD_BALANCER_RANGES="127.0.0.1/32",
        LOCAL_RANGES="127.0.0.3/32",
        BACKEND_BLUE=blue.address,
        BACKEND_GREEN=green.address,
        FRONTEND_BLUE=frontend.address,
    ) as caddy:
        (caddy.live / "backend.blue").touch()
        yield caddy
