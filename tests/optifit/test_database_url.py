from pathlib import Path

import pytest

from optifit.database_url import DatabaseUrlError, parse_database_url

BASE = Path("/srv/optifit")


def parse(url: str) -> dict:
    return parse_database_url(url, BASE)


def test_everything_is_percent_decoded():
    assert parse(
        "postgresql://us%40er:p%3A%2F%3F%23%5B%5D%40%25@db.example:6432/na%20me?sslmode=verify-full"
    ) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "na me",
        "USER": "us@er",
        "PASSWORD": "p:/?#[]@%",
        "HOST": "db.example",
        "PORT": "6432",
        "OPTIONS": {"connect_timeout": 5, "sslmode": "verify-full"},
    }


def test_a_unix_socket_is_a_host_parameter():
    entry = parse("postgres://postgres@/optifit?host=%2Fvar%2Frun%2Fpostgresql&connect_timeout=2")
    assert entry["HOST"] == "/var/run/postgresql"
    assert entry["OPTIONS"] == {"connect_timeout": 2}


def test_an_ipv6_host():
    assert parse("postgresql://u:p@[2001:db8::1]:5432/db")["HOST"] == "2001:db8::1"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///db.sqlite3", "/srv/optifit/db.sqlite3"),
        ("sqlite:////var/lib/db%20one.sqlite3", "/var/lib/db one.sqlite3"),
        ("sqlite:///:memory:", ":memory:"),
    ],
)
def test_sqlite(url, name):
    assert (parse(url)["ENGINE"], parse(url)["NAME"]) == ("django.db.backends.sqlite3", name)


@pytest.mark.parametrize(
    ("url", "wants"),
    [
        ("mysql://u:hunter2@h/db", "starts with postgresql:// or sqlite:///"),
        ("hunter2", "starts with postgresql:// or sqlite:///"),
        ("postgresql://u:hunter2@h", "ends in one database name"),
        ("postgresql://u:hunter2@h/", "ends in one database name"),
        ("postgresql://u:hunter2@h/a/b", "ends in one database name"),
        ("postgresql://u:hun/ter2@h/db", "percent-encode"),
        ("postgresql://u:hunter2@h:port/db", "percent-encode"),
        ("postgresql://u:hunter2@[::1/db", "percent-encode"),
        ("postgresql://u:hunter2 @h/db", "without blanks"),
        ("postgresql://u:hunter2@h/db\n", "without blanks"),
        ("postgresql://u:hunter2@h/db?sslmode", "NAME=VALUE"),
        ("postgresql://u:hunter2@h/db?sslmode=yes", "sslmode is one of disable"),
        ("postgresql://u:hunter2@h/db?ssl=true", "without the parameter 'ssl'"),
        ("postgresql://u:hunter2@h/db?connect_timeout=soon", "whole number of seconds"),
        ("sqlite://db.sqlite3", "sqlite:///FILE"),
        ("sqlite:///", "sqlite:///FILE"),
    ],
)
def test_a_wrong_address_says_what_it_must_be_and_never_the_password(url, wants):
    with pytest.raises(DatabaseUrlError) as refused:
        parse(url)
    assert wants in str(refused.value)
    assert "hunter2" not in str(refused.value)
