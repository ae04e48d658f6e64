"""Settings of the test suite: OptiFit's own, in debug mode, on a PostgreSQL of the test session.

`TEST_DATABASE_URL` names another server to test against; without it the embedded one is started, with its
data under `TEST_POSTGRES_DIR` (default `.deploy/test-postgres`).
"""

import os
from pathlib import Path
from urllib.parse import quote

from optifit.environment import VARIABLES

# A variable of the machine's own must not decide what the tests see.
for _name in VARIABLES:
    os.environ.pop(_name, None)
os.environ["DJANGO_DEBUG"] = "1"
os.environ["RELEASE"] = "test-release"

if "TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
else:
    import psycopg

    from deploy.databases import embedded

    _data = Path(
        os.environ.get("TEST_POSTGRES_DIR", Path(__file__).parent.parent / ".deploy" / "test-postgres")
    )
    _socket = embedded.start(_data)
    # Its data is thrown away, hundreds of databases are made and dropped in it, and no test cuts the power.
    with psycopg.connect(host=str(_socket), user="postgres", dbname="postgres", autocommit=True) as _server:
        _server.execute("ALTER SYSTEM SET fsync = off")
        _server.execute("SELECT pg_reload_conf()")
    os.environ["DATABASE_URL"] = f"postgresql://postgres@/optifit?host={quote(str(_socket), safe='')}"

from optifit.settings import *  # noqa: E402, F403 – the environment has to be set first

# Django turns DEBUG off while tests run; pages must not need a collectstatic before them.
STORAGES["staticfiles"]["OPTIONS"] = {"strict": False}  # noqa: F405 – of the star import
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# What a developer's own folder of media holds must not decide either; tests that want these say so.
for _key in ("MEDIA_BUCKET", "MEDIA_FIELDS", "BACKUP_CONFIGURATION_FILES"):
    del DEPLOY[_key]  # noqa: F405 – of the star import
