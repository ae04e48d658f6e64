"""A live database whose grants involve other roles, replaced by a deployer that is no superuser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connections

from deploy import backup
from deploy.backup import spool
from deploy.backup.engines.postgresql_grants import statements_of
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.reporting.findings import Finding, Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS

Guard = Callable[[], None]
Query = Callable[..., list[Any]]


@dataclass(frozen=True)
class Roles:
    """The deployer, which owns the live database and everything in it, and three others."""

    deployer: str
    lead: str
    reader: str
    writer: str


@pytest.fixture
def roles(live: str, query: Query) -> Iterator[Roles]:
    made = Roles(f"deployer_{live}", f"lead {live}", f'reader "{live}"', f"writer_{live}")
    quoted = {key: server.identifier(name) for key, name in vars_of(made).items()}
    query(f"CREATE ROLE {quoted['deployer']} LOGIN CREATEDB")
    for key in ("lead", "reader", "writer"):
        query(f"CREATE ROLE {quoted[key]}")
    query(f"ALTER DATABASE {live} OWNER TO {made.deployer}")
    become(made.deployer)
    try:
        yield made
    finally:
        become("postgres")
        with server.connect_maintenance("default") as connection:
            for prefix in (live, f"s_{live.removeprefix('live_')}"):
                for name in server.names_starting_with(connection, prefix):
                    server.drop(connection, name)
            for role in quoted.values():
                connection.execute(f"DROP ROLE IF EXISTS {role}")


def vars_of(roles: Roles) -> dict[str, str]:
    return {key: getattr(roles, key) for key in ("deployer", "lead", "reader", "writer")}


def become(role: str) -> None:
    connections[ALIAS].close()
    connections.settings[ALIAS]["USER"] = role
    connections[ALIAS].settings_dict["USER"] = role


def as_superuser(query: Query, roles: Roles, *statements: str) -> None:
    become("postgres")
    for statement in statements:
        query(statement)
    become(roles.deployer)


def grants(query: Query) -> set[tuple[Any, ...]]:
    """Who may do what with the tables, functions and schemas, but for who gave it."""
    return set(
        query(
            "SELECT o.name, a.grantee::regrole::text, a.privilege_type, a.is_grantable FROM ("
            " SELECT relname::text AS name, relacl AS acl FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT proname, proacl FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION ALL SELECT nspname, nspacl FROM pg_namespace WHERE nspname IN ('public', 'extra')"
            " UNION ALL SELECT c.relname || '.' || attname, attacl FROM pg_attribute"
            " JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace"
            ") o, aclexplode(o.acl) a"
        )
    )


def replaced(conf: DeployConf, bucket: LocalBucket, no_guard: Guard) -> list[Finding]:
    """Back up, replace, and say what was found, but for the last: that it is replaced."""
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    step = Step("restore")
    backup.replace_database(conf, bucket, manifest, guard=no_guard, step=step)
    *findings, last = step.findings
    assert last.id == "deploy.B017"
    return findings


@pytest.mark.parametrize("unpacked", [True, False])
def test_what_the_deployer_has_granted_is_granted_again(
    conf: DeployConf,
    bucket: LocalBucket,
    roles: Roles,
    query: Query,
    no_guard: Guard,
    monkeypatch: pytest.MonkeyPatch,
    *,
    unpacked: bool,
) -> None:
    if not unpacked:  # then only the archive's beginning can be looked at
        monkeypatch.setattr(spool, "free_bytes", lambda: 10)
    reader, writer = server.identifier(roles.reader), roles.writer
    query("CREATE TABLE price (id int, eur numeric); CREATE SCHEMA extra")
    query("CREATE TABLE noise AS SELECT sha512(n::text::bytea) FROM generate_series(1, 200000) n")
    query("CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i * 2'")
    query(f"REVOKE ALL ON FUNCTION twice FROM PUBLIC; GRANT EXECUTE ON FUNCTION twice TO {writer}")
    query(f"GRANT SELECT (eur) ON price TO {reader}; GRANT INSERT, UPDATE ON price TO {writer}")
    query(f"GRANT USAGE ON SCHEMA extra TO {reader}")
    query(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader}")
    before = grants(query)

    found = [finding.id for finding in replaced(conf, bucket, no_guard)]

    assert found == ([] if unpacked else ["deploy.B040"])
    assert grants(query) == before
    assert {name for name, *_ in before} >= {"price", "price.eur", "twice", "extra"}
    query("CREATE TABLE later (id int)")
    assert ("later", reader, "SELECT", False) in grants(query)


def test_what_others_have_granted_is_granted_by_the_deployer_and_told(
    conf: DeployConf, bucket: LocalBucket, roles: Roles, query: Query, no_guard: Guard
) -> None:
    lead, reader = server.identifier(roles.lead), server.identifier(roles.reader)
    query(f"CREATE TABLE price (id int); GRANT SELECT ON price TO {lead} WITH GRANT OPTION")
    as_superuser(query, roles, f"SET ROLE {lead}; GRANT SELECT ON price TO {reader}")
    before = grants(query)

    (found,) = replaced(conf, bucket, no_guard)

    assert (found.id, found.level) == ("deploy.B123", "info")
    assert lead in found.message
    assert grants(query) == before
    assert ("price", reader, "SELECT", False) in before


def test_what_the_deployer_may_not_grant_is_told_with_the_statements_for_an_administrator(
    conf: DeployConf, bucket: LocalBucket, roles: Roles, query: Query, no_guard: Guard
) -> None:
    lead, reader = server.identifier(roles.lead), server.identifier(roles.reader)
    query(f"CREATE TABLE price (id int); GRANT SELECT ON price TO {roles.writer}")
    as_superuser(
        query,
        roles,
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {lead} IN SCHEMA public GRANT SELECT ON TABLES TO {reader}",
        f"GRANT EXECUTE ON FUNCTION pg_stat_reset() TO {reader}",
    )
    before = grants(query)

    (found,) = replaced(conf, bucket, no_guard)

    assert (found.id, found.level) == ("deploy.B122", "warning")
    assert f"ALTER DEFAULT PRIVILEGES FOR ROLE {lead} IN SCHEMA public" in found.hint
    assert ("price", roles.writer, "SELECT", False) in grants(query)
    statements = found.hint.partition("\n")[2]
    as_superuser(query, roles, statements)
    assert grants(query) == before
    assert query("SELECT count(*) FROM pg_default_acl") == [(1,)]
    assert query(f"SELECT has_function_privilege('{roles.reader}', 'pg_stat_reset()', 'EXECUTE')") == [
        (True,)
    ]


def test_every_role_that_is_gone_is_named_at_once_and_before_the_rows(
    conf: DeployConf, bucket: LocalBucket, roles: Roles, query: Query, no_guard: Guard
) -> None:
    query("CREATE TABLE price (id int)")
    for name in (roles.reader, roles.writer):
        query(f"GRANT SELECT ON price TO {server.identifier(name)}")
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    for name in (roles.reader, roles.writer):
        as_superuser(query, roles, f"DROP OWNED BY {(role := server.identifier(name))}; DROP ROLE {role}")

    with pytest.raises(Refusal) as refused:
        backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))

    assert [finding.id for finding in refused.value.findings] == ["deploy.B045"] * 2
    assert refused.value.exit_code == 1
    assert server.identifier(roles.writer) in str([finding.hint for finding in refused.value.findings])


def test_grants_are_taken_from_a_script_whatever_their_names() -> None:
    script = """--
-- PostgreSQL database dump
--
\\restrict abc

SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: TABLE "we;ird ""--"; Type: ACL; Schema: public; Owner: a
--

GRANT SELECT ON TABLE public."we;ird ""--" TO "x;-- y";
SET SESSION AUTHORIZATION "the ""lead"" x";
GRANT SELECT ON TABLE public."we;ird ""--" TO z;
RESET SESSION AUTHORIZATION;
REVOKE ALL ON TABLE public.a FROM b;


--
-- PostgreSQL database dump complete
--
\\unrestrict abc
"""
    assert list(statements_of(script)) == [
        ('GRANT SELECT ON TABLE public."we;ird ""--" TO "x;-- y"', ""),
        ('GRANT SELECT ON TABLE public."we;ird ""--" TO z', '"the ""lead"" x"'),
        ("REVOKE ALL ON TABLE public.a FROM b", ""),
    ]
