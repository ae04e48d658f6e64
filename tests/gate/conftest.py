from collections.abc import Iterator
from pathlib import Path

import pytest

from .project import INITIAL, Shop, postgres, run_all, shop


@pytest.fixture(autouse=True)
def _databases_of_our_own(django_db_blocker) -> Iterator[None]:
    """The tests here make their databases themselves: pytest-django's guard has nothing to guard."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path) as made:
        made.write("0001_initial", INITIAL)
        yield made


@pytest.fixture
def database() -> Iterator[str]:
    with postgres() as alias:
        yield alias


@pytest.fixture(scope="package")
def live(django_db_blocker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The shop's first release, for tests that only judge: nothing may write here."""
    with django_db_blocker.unblock(), postgres("gate_live") as alias:
        with shop(tmp_path_factory.mktemp("live")) as made:
            made.write("0001_initial", INITIAL)
            run_all(alias)
        yield alias


@pytest.fixture
def deployed(app: Shop, database: str) -> str:
    """A database on which the shop's first release is live, with a few rows."""
    from .project import query

    run_all(database)
    query(
        database,
        "INSERT INTO shop_customer (name, email) SELECT 'n' || i, 'e' || i FROM generate_series(1, 50) i",
    )
    query(
        database,
        "INSERT INTO shop_order (note, total, customer_id) SELECT 'n', i, i FROM generate_series(1, 50) i",
    )
    return database
