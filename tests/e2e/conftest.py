"""The engine and its images, once per session; what uses them is skipped by name where they can't be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import images
from tests.e2e.engine import Engine


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs_docker)
            # The first one on a machine makes a Debian and builds the backend.
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """The tag of a Debian with Python, PostgreSQL and Caddy."""
    return images.base(engine)


@pytest.fixture(scope="session")
def backend_image(engine: Engine) -> str:
    """The tag of the backend's image, RELEASE is `images.FIRST_RELEASE`."""
    return images.backend(engine)


@pytest.fixture(scope="session")
def frontend_image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tag of the frontend's image, RELEASE is `images.FIRST_RELEASE`."""
    folder: Path = tmp_path_factory.mktemp("frontend")
    return images.frontend(engine, folder)
