from collections.abc import Iterator
from pathlib import Path

import pytest

from ..gate.corpus import old_code, truth, world


@pytest.fixture(autouse=True)
def _databases_of_our_own(django_db_blocker) -> Iterator[None]:
    """The databases here are made by hand: pytest-django's guard has nothing to guard."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="package")
def live(django_db_blocker, root: Path) -> Iterator[str]:
    """The database on which the store is live; only ever copied."""
    with django_db_blocker.unblock(), world.template(root) as name:
        yield name


@pytest.fixture(scope="package")
def looked_at(django_db_blocker, live: str) -> Iterator[str]:
    """A copy on which everything is rolled back."""
    with django_db_blocker.unblock(), world.copy(live, "corpus_looked_at") as alias:
        yield alias


@pytest.fixture(scope="package")
def before(django_db_blocker, root: Path, looked_at: str) -> old_code.Known:
    with django_db_blocker.unblock(), world.installed(root):
        return old_code.known(truth.live_state(looked_at).apps, looked_at)


@pytest.fixture(scope="package")
def copies(django_db_blocker, live: str) -> Iterator[world.Copies]:
    with django_db_blocker.unblock():
        made = world.Copies(live, "corpus_copy")
        yield made
        made.close()
