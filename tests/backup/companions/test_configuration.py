"""The configuration is kept so that a machine can be rebuilt, and no secret of it is in the bucket."""

from __future__ import annotations

import enum
import functools
import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy

from deploy.backup.companions import Folder, keepers
from deploy.backup.companions.configuration import ConfigurationKeeper
from deploy.backup.companions.configuration_files import LARGEST_BYTES
from deploy.backup.manifest import Companion
from deploy.buckets.gcs import GCSBucket
from deploy.conf import DeployConf
from deploy.conf import read as read_conf
from deploy.reporting.report import Step
from deploy.testing import GCSServer

Read = Callable[[Companion], bytes]
Document = Callable[[Companion], dict[str, Any]]

VERSION = "projects/optifit/secrets/{}/versions/7"


class Canaries:
    """Secrets that no backup may hold. Each is made up on the spot, so none is in a registry already."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, hint: str) -> str:
        self.made.append(f"canary{len(self.made):02d}{hint}{os.urandom(6).hex()}")
        return self.made[-1]

    def found_in(self, raw: bytes) -> list[str]:
        """Those that are in `raw`, plain or in base64."""
        forms = {
            canary: (canary.encode(), b64encode(canary.encode()).rstrip(b"=")[:-2]) for canary in self.made
        }
        return [canary for canary, found in forms.items() if any(form in raw for form in found)]


@pytest.fixture
def canary() -> Canaries:
    return Canaries()


@dataclass(frozen=True)
class Account:
    user: str
    password: str


class Colour(enum.Enum):
    RED = 1


def keep(conf: DeployConf, folder: Folder) -> tuple[Companion, Step]:
    step = Step("backup")
    return ConfigurationKeeper(conf).keep(folder, step), step


def test_no_planted_secret_is_in_the_stored_file(
    here: DeployConf, folder: Folder, stored: Read, canary: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, from_environment = canary("shared"), canary("env")
    monkeypatch.setenv("PAYMENT_TOKEN", from_environment)
    monkeypatch.setenv("BROKER_URL", f"amqp://worker:{(broker := canary('broker'))}@queue:5672//")
    monkeypatch.setenv("QUIET_NAME", quiet := canary("versioned"))
    (here.base_dir / "compose.yaml").write_text(
        f"""
services:
  api:
    image: optifit@sha256:abc
    environment:
      POSTGRES_PASSWORD: {canary("yaml")}
      PASSPHRASE: correct horse {canary("words")}
      DATABASE_URL: postgresql://app:{canary("url")}@db/app
      QUERY: https://x.example/hook?sig={canary("query")}&page=2
      LIBPQ: "host=db user=app password='{canary("libpq")}'"
      FLOW: {{password: {canary("flow")}, port: 80}}
    command: ["serve", "--auth-token", "{canary("argv")}"]
    labels:
      - "API_SECRET={canary("item")}"
      - "traefik.http.middlewares.auth.basicauth.users=me:$$2y$$05$$abcdefghijklmnopqrstuv{"x" * 31}"
    api_keys:
      - {canary("list")}
      - ${{KEPT_REFERENCE}}
    payment_keys:
      stripe:
        live: {canary("nested")}
    signing_keys:  # ours
    - {canary("samecolumn")}
    admin_password: "first
      {canary("secondline")}"
    db_password: first
      {canary("continued")}
    env:
      - name: API_TOKEN
        value: {canary("namevalue")}
      - name: PAGE
        value: kept-page
    command: mysqld -p{canary("mysqlp")} --kept-option
    arguments:
      - --token
      - {canary("nextitem")}
      - --kept-argument
    json: '{{"name": "Authorization", "value": "{canary("jsonpair")}"}}'
    escaped: "host=db password='a\\'{canary("escaped")}' user=app"
    private_key: |
      {canary("block")}
      {canary("block")}
    other: {shared}
    more: {from_environment} {broker} {quiet}
    inline: '{{"token": ["{canary("inlinelist")}"], "colour": 1}}'
    compact: '{{"password":"{canary("compact")}"}}'
    dollar: password={canary("before")}${canary("after")}
    POSTGRES_PASSWORD: ${{KEPT_EMPTY:-}}
secrets:
  - db_password_name
  kept_secret_key:
    file: ./kept-file
"""
    )
    (here.base_dir / "Caddyfile").write_text(
        f"""api.example.com:443 {{
    reverse_proxy api:8000
    secret_access_key "{canary("caddysecret")}"
    access_key_id "{canary("caddyid")}"
    api_token {canary("caddytoken")}
    tls {{
        dns cloudflare {canary("caddydns")}
        dns route53 {{$KEPT_DNS}}
    }}
    basic_auth {{
        me $argon2id$v=19$m=47104,t=1,p=1${canary("argon")}
    you {canary("anyhash")}
    }}
    file_server kept-after-auth
    header_up X-Api-Key {canary("header")}
    header_up Authorization "Bearer {canary("bearer")}"
    -----BEGIN PRIVATE KEY-----
    {canary("pem")}
    -----END PRIVATE KEY-----
}}
"""
    )
    (here.base_dir / "app.ini").write_text(
        f"[smtp]\nsmtp_password = {canary('ini')}\nexport TOKEN={canary('sh')}\n"
    )
    (here.base_dir / "nginx.conf").write_text(
        f"""location /api {{
    set $api_key "{canary("nginxset")}";
    fastcgi_param API_KEY {canary("param")};
    proxy_pass http://kept-upstream:8000;
}}
"""
    )
    (here.base_dir / "redis.conf").write_text(
        f"requirepass {canary('redispass')}\nuser app on >{canary('acl')} ~*\n"
        f"sentinel auth-pass main {canary('sentinel')}\nmaxmemory 7mb\n"
    )
    (here.base_dir / "app.json").write_text(
        f'{{\n  "api_keys": {{\n  "one": "{canary("jsonblock")}"\n  }},\n  "colour": "kept-blue"\n}}\n'
    )
    planted = {
        "HEADER_DICTS": [{"name": "Authorization", "value": canary("dictpair")}],
        "KEY_DICTS": {"x": {"key": "api-token", "Value": canary("keypair")}},
        "STRIPE_SK": canary("sk"),
        "LDAP_BIND_PW": canary("pw"),
        "JWT": {"SIGNING": canary("signing")},
        "FIELD_ENCRYPTION": canary("encryption"),
        "LIBPQ": rf"host=db password='a\'{canary('quoted')}' user=app",
        "LIBPQ_BARE": rf"host=db password=a\'\ {canary('bare')} user=app",
        "SECRET_KEY": canary("key"),
        "SECRET_KEY_FALLBACKS": [canary("old")],
        "STRIPE_API_KEY": canary("stripe").encode(),
        "SENTRY_DSN": f"https://{canary('dsn')}@sentry.example/1",
        "INNOCUOUS": {
            "deep": [{"api_token": canary("deep")}, ({"PASSWORD": (canary("tuple"), [canary("in")])},)]
        },
        "SERVICE": {
            "url": f"redis://:{canary('redis')}@cache:6379/0",
            "hook": f"https://{canary('user')}@x.example",
        },
        "WITH_AT": f"postgresql://app:{canary('p')}@{canary('at')}@db/app",
        "HEADERS": [("X-Api-Key", canary("pair")), ("Accept", "text/html")],
        "SET_OF": {f"Basic {b64encode(canary('basic').encode()).decode()}"},
        "RAW": canary("raw").encode(),
        "ACCOUNT": Account("me", canary("dataclass")),
        "CALL": functools.partial(print, canary("partial")),
        "OBJECT": type("Hidden", (), {"__repr__": lambda self: canary("repr")})(),
        "LAZY_SECRET": gettext_lazy(canary("lazy")),
        "SHARED_SECRET": shared,
        "REPEATED": f"see {shared}, {from_environment}, {broker} and {quiet}",
        "NUMBER_TOKEN": 918273645546,
        "SAME_NUMBER": 918273645546,
        "AUTH_BY_TOKEN": {canary("dictkey"): "somebody"},
        "KEY_FILE_CONTENT": f"AGE-SECRET-KEY-1{'Q' * 20}",
        "NOT_TOLD": f"AGE-SECRET-KEY-1{'Q' * 20}",
    }
    here = replace(
        here,
        smoke_password=canary("smoke"),
        backup=replace(
            here.backup,
            configuration_files=(
                *("compose.yaml", "Caddyfile", "app.ini", "nginx.conf", "redis.conf", "app.json"),
            ),
            secret_versions={"QUIET_NAME": VERSION.format("quiet")},
        ),
    )
    with override_settings(**planted):
        companion, step = keep(here, folder)
    raw = stored(companion)
    assert canary.found_in(raw) == []
    assert b"918273645546" not in raw
    assert b"Q" * 20 not in raw
    assert b"x" * 31 not in raw
    assert step.findings == []
    text = raw.decode()
    # What is no secret is there.
    for kept in (
        "optifit@sha256:abc",
        "reverse_proxy api:8000",
        "${KEPT_REFERENCE}",
        "db_password_name",
        "page=2",
        "kept-page",
        "${KEPT_EMPTY:-}",
        "kept_secret_key:",
        "file: ./kept-file",
        "--kept-option",
        "--kept-argument",
        "{$KEPT_DNS}",
        "kept-after-auth",
        "http://kept-upstream:8000",
        "maxmemory 7mb",
        "kept-blue",
    ):
        assert kept in text
    assert "canary" not in str(step.facts) + str(companion.facts)


def test_a_secret_is_known_by_its_version(
    here: DeployConf, folder: Folder, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:s3cret-of-db@db/app")
    monkeypatch.setenv("DATABASE_URL_SECRET", VERSION.format("database-url"))
    versions = {"SECRET_KEY": VERSION.format("secret-key"), "MAIL.token": VERSION.format("mail")}
    with override_settings(
        DEPLOY={"SECRET_VERSIONS": versions},
        SECRET_KEY="some-key-of-the-site",
        MAIL={"token": "abc"},
        DB={"PASSWORD": "s3cret-of-db"},
        OTHER_TOKEN="nobody-knows-where-from",
        EMPTY_TOKEN="",
        EMPTY_TOKENS=[],
    ):
        read, findings = read_conf()
        assert findings == []
        companion, _ = keep(replace(read, base_dir=here.base_dir), folder)
    settings = document(companion)["settings"]
    assert settings["SECRET_KEY"] == {"secret": VERSION.format("secret-key")}
    assert settings["MAIL"] == {"token": {"secret": VERSION.format("mail")}}
    assert settings["DB"] == {"PASSWORD": {"secret": VERSION.format("database-url")}}
    assert settings["OTHER_TOKEN"] == {"secret": "not recorded"}
    assert (settings["EMPTY_TOKEN"], settings["EMPTY_TOKENS"]) == ("", [])
    assert settings["DEPLOY"]["SECRET_VERSIONS"] == versions


@pytest.mark.parametrize(
    "value", [{"SECRET_KEY": "latest"}, {"SECRET_KEY": "the-key-itself"}, {"SECRET_KEY": 7}, []]
)
def test_only_numbered_versions_are_taken(value: object) -> None:
    with override_settings(DEPLOY={"SECRET_VERSIONS": value}):
        _, findings = read_conf()
    assert [finding.id for finding in findings] == ["deploy.C002"]
    assert "the-key-itself" not in str(findings)


def test_values_that_json_lacks_read_the_same_every_time(
    here: DeployConf, folder: Folder, document: Document
) -> None:
    class Backend:
        pass

    with override_settings(
        A_PATH=Path("/srv/app"),
        A_DELTA=timedelta(minutes=5),
        A_SET={"b", "a", "c"},
        A_CLASS=Colour,
        A_MEMBER=Colour.RED,
        A_FUNCTION=re.compile,
        AN_OBJECT=Backend(),
        A_LAZY=gettext_lazy("Hello"),
        LOGIN_URL=reverse_lazy("a-name-that-is-gone"),
        A_NUMBER=Decimal("1.50"),
        A_PATTERN=re.compile("^a.c$"),
        SOME_BYTES=b"12345",
        NOT_A_NUMBER=float("nan"),
        A_TUPLE=("a", 1, None, True),
        AUTH_USER_MODEL="auth.User",
        API_TOKEN_LIFETIME_SECONDS=60,
        DEEP=(deep := []),
    ):
        deep.append(deep)  # it holds itself
        companion, _ = keep(here, folder)
    found = document(companion)
    settings = found["settings"]
    here_is = f"{__name__}."
    assert settings["A_PATH"] == "/srv/app"
    assert settings["A_DELTA"] == "0:05:00"
    assert settings["A_SET"] == ["a", "b", "c"]
    assert settings["A_CLASS"] == f"{here_is}Colour"
    assert settings["A_MEMBER"] == f"{here_is}Colour.RED"
    assert settings["A_FUNCTION"] == "re.compile"
    assert settings["AN_OBJECT"].startswith(f"<{here_is}")
    assert "0x" not in settings["AN_OBJECT"]
    assert (settings["A_LAZY"], settings["A_NUMBER"], settings["A_PATTERN"]) == ("Hello", "1.50", "^a.c$")
    assert settings["LOGIN_URL"] == "<lazy: NoReverseMatch>"
    assert (settings["SOME_BYTES"], settings["NOT_A_NUMBER"]) == ("<5 bytes>", "nan")
    assert settings["A_TUPLE"] == ["a", 1, None, True]
    assert (settings["AUTH_USER_MODEL"], settings["API_TOKEN_LIFETIME_SECONDS"]) == ("auth.User", 60)
    assert settings["SIGNING_BACKEND"] == "django.core.signing.TimestampSigner"
    assert settings["ROOT_URLCONF"] == "optifit.urls"
    assert found["packages"]["Django"].startswith(("5.", "6."))
    assert found["deploy"]["upload_threads"] == here.upload_threads


@pytest.mark.parametrize(
    "run",
    ["a", "a-", "-", "a.", "x://y:", "password ", "eyJ", "Basic ", "mysql ", "token=[", "user x ", "pwd='\\"],
)
def test_a_file_of_one_long_line_is_read_once(here: DeployConf, folder: Folder, run: str) -> None:
    """Not from each of its characters again, which would take hours: the test would not end."""
    (here.base_dir / "long.txt").write_text((run * LARGEST_BYTES)[: LARGEST_BYTES // 4])
    wanted = replace(here, backup=replace(here.backup, configuration_files=("long.txt",)))
    companion, step = keep(wanted, folder)
    assert (companion.facts["files"], step.findings) == (1, [])


def test_it_is_always_kept_and_first(here: DeployConf) -> None:
    assert keepers(here)[0].kind == "configuration"


def test_files_that_cannot_be_kept_are_told(here: DeployConf, folder: Folder, document: Document) -> None:
    base = here.base_dir
    (base / "good.yaml").write_text("a: 1\n")
    (base / "link.yaml").symlink_to("good.yaml")
    (base.parent / "outside.yaml").write_text("outside: secret\n")
    (base / "out.yaml").symlink_to(base.parent / "outside.yaml")
    (base / "loop.yaml").symlink_to("loop.yaml")
    (base / "folder.yaml").mkdir()
    os.mkfifo(base / "pipe.yaml")
    (base / "large.yaml").write_text("a" * (LARGEST_BYTES + 1))
    (base / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for secret in (".env", "prod.env", "terraform.tfstate", "tls.key"):
        (base / secret).write_text("X=1\n")
    wanted = (
        *("good.yaml", "link.yaml", "missing.yaml", "out.yaml", "loop.yaml", "folder.yaml", "pipe.yaml"),
        *("large.yaml", "binary.yaml", ".env", "prod.env", "terraform.tfstate", "tls.key"),
    )
    companion, step = keep(replace(here, backup=replace(here.backup, configuration_files=wanted)), folder)
    found = {finding.place: (finding.id, finding.level) for finding in step.findings}
    assert found.pop("missing.yaml") == ("deploy.B065", "warning")
    assert set(found.values()) == {("deploy.B066", "warning")}
    assert set(found) == set(wanted[3:])
    assert set(document(companion)["files"]) == {"good.yaml", "link.yaml"}


def test_the_terraform_states_generation_is_noted_and_nothing_else_of_it(
    here: DeployConf, folder: Folder, stored: Read, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GCSServer("state-bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        written = GCSBucket("state-bucket").put("optifit/default.tfstate", b'{"password": "of-terraform"}')
        url = "gs://state-bucket/optifit/default.tfstate"
        companion, step = keep(replace(here, backup=replace(here.backup, terraform_state=url)), folder)
        assert document(companion)["terraform_state"]["generation"] == written.generation
        assert companion.facts["terraform_generation"] == written.generation
        assert b"of-terraform" not in stored(companion)
        assert step.findings == []


def test_a_state_that_is_not_there_is_told(
    here: DeployConf, folder: Folder, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GCSServer("other-state-bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        for number, url in enumerate(
            ("gs://other-state-bucket/none", "gs://no-bucket-here/x", "gs://other-state-bucket/a b")
        ):
            wanted = replace(here, backup=replace(here.backup, terraform_state=url))
            later = replace(folder, backup_id=folder.backup_id[:-1] + str(number))
            _, step = keep(wanted, later)
            assert [finding.id for finding in step.findings] == ["deploy.B067"], url
