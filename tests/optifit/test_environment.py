from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from optifit import settings as optifit_settings
from optifit.environment import VARIABLES, Environment, EnvironmentMistakes

BASE = Path("/srv/optifit")


def mistakes_of(read, **variables: str) -> list[tuple[str, str, str]]:
    env = Environment(variables)
    read(env)
    return [(mistake.id, mistake.variable, mistake.message) for mistake in env.mistakes]


def test_the_settings_read_exactly_the_variables_that_are_listed():
    assert optifit_settings.env.read == set(VARIABLES)


def test_all_mistakes_are_told_at_once_with_what_to_set():
    env = Environment({"DJANGO_DEBUG": "flase", "TRUSTED_PROXIES": "two"})
    assert env.flag("DJANGO_DEBUG") is False
    assert env.integer("TRUSTED_PROXIES", 1, least=0, most=10) == 1
    env.secret_key(development=None)
    with pytest.raises(EnvironmentMistakes) as refused:
        env.finish()
    assert isinstance(refused.value, ImproperlyConfigured)
    assert str(refused.value).splitlines() == [
        "optifit.E002 DJANGO_DEBUG is 'flase': it must be 1 or 0.",
        "    hint: export DJANGO_DEBUG=0",
        "optifit.E002 TRUSTED_PROXIES is 'two': it must be a whole number from 0 to 10.",
        "    hint: export TRUSTED_PROXIES=1",
        "optifit.E001 SECRET_KEY is not set: sessions and signed values would not be safe.",
        """    hint: export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')\"""",
    ]


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("off", False), (" no ", False)])
def test_a_flag_takes_the_usual_words(text, value):
    assert Environment({"X": text}).flag("X", default=not value) is value


def test_an_empty_variable_counts_as_not_set():
    env = Environment({"A": "", "B": "  "})
    assert env.flag("A", default=True) is True
    assert env.text("B", "default") == "default"
    env.finish()


@pytest.mark.parametrize("text", ["-1", "11", "1.5", "1e3", "٣", "99999999999999999999", "0x1"])
def test_a_number_is_whole_and_in_its_range(text):
    assert mistakes_of(lambda env: env.integer("N", 1, least=0, most=10), N=text) == [
        ("optifit.E002", "N", f"N is {text!r}: it must be a whole number from 0 to 10.")
    ]


@pytest.mark.parametrize(
    "key",
    ["short-but-secret", "django-insecure-" + "x1y2z" * 12, "a" * 60, "ab" * 30],
)
def test_a_weak_secret_key_is_refused_in_production_and_not_shown(key):
    [(_, variable, message)] = mistakes_of(lambda env: env.secret_key(development=None), SECRET_KEY=key)
    assert variable == "SECRET_KEY"
    assert key not in message


def test_a_weak_secret_key_will_do_in_development():
    assert Environment({"SECRET_KEY": "short"}).secret_key(development="dev") == "short"
    assert Environment({}).secret_key(development="dev") == "dev"


def test_a_short_fallback_key_is_refused_and_not_shown():
    env = Environment({"SECRET_KEY_FALLBACKS": "hunter2"})
    env.names(
        "SECRET_KEY_FALLBACKS", wants="w", accepts=lambda key: len(key) >= 20, example="OLD_KEY", secret=True
    )
    assert env.mistakes[0].variable == "SECRET_KEY_FALLBACKS"
    assert "hunter2" not in env.mistakes[0].message


@pytest.mark.parametrize("text", ["https://optifit.example", "optifit.example:443", "a b", "x/y", "-a"])
def test_a_host_has_no_scheme_port_or_path(text):
    [(_, variable, message)] = mistakes_of(lambda env: env.hosts("ALLOWED_HOSTS"), ALLOWED_HOSTS=text)
    assert variable == "ALLOWED_HOSTS"
    assert repr(text) in message


def test_hosts_are_separated_by_commas():
    env = Environment({"ALLOWED_HOSTS": "optifit.example, .optifit.example,,10.0.0.7,[::1]"})
    assert env.hosts("ALLOWED_HOSTS") == ["optifit.example", ".optifit.example", "10.0.0.7", "[::1]"]
    env.finish()


def test_an_origin_has_its_scheme():
    assert mistakes_of(lambda env: env.origins("O"), O="https://a.example,b.example") == [
        (
            "optifit.E002",
            "O",
            "O is 'b.example': it must be origins separated by commas, each with its scheme.",
        )
    ]


def test_a_database_is_required_in_production_only():
    assert Environment({}).database("DATABASE_URL", BASE, required=False) is None
    assert mistakes_of(lambda env: env.database("DATABASE_URL", BASE, required=True)) == [
        (
            "optifit.E001",
            "DATABASE_URL",
            "DATABASE_URL is not set: production never falls back to an embedded database.",
        )
    ]


def test_a_wrong_database_address_is_never_quoted():
    [(_, _, message)] = mistakes_of(
        lambda env: env.database("DATABASE_URL", BASE, required=True), DATABASE_URL="mysql://me:hunter2@h/d"
    )
    assert message == (
        "DATABASE_URL has a value that cannot be used: it must be an address that starts with postgresql:// "
        "or sqlite:///."
    )


@pytest.mark.parametrize("text", ["gs://media", "Media", "a/b", "x"])
def test_the_media_bucket_is_a_bare_name(text):
    assert mistakes_of(lambda env: env.gcs_bucket("GS_MEDIA_BUCKET"), GS_MEDIA_BUCKET=text)


def test_a_deploy_bucket_is_an_address_and_a_bare_name_means_google():
    read = {text: Environment({"B": text}).bucket("B") for text in ("ops", "gs://ops/x", "file:///var/ops")}
    assert read == {"ops": "gs://ops", "gs://ops/x": "gs://ops/x", "file:///var/ops": "file:///var/ops"}
    assert mistakes_of(lambda env: env.bucket("B"), B="s3://ops")


@pytest.mark.parametrize("text", ["a b", "../up", "x" * 101, "a\nb"])
def test_a_release_is_a_name_that_every_header_and_object_takes(text):
    assert mistakes_of(lambda env: env.release("RELEASE"), RELEASE=text)


@pytest.mark.parametrize("text", ["static/", "//evil.example/", "ftp://x/", "https://cdn.example/<script>"])
def test_static_url_is_a_path_or_a_web_address(text):
    assert mistakes_of(lambda env: env.static_url("STATIC_URL"), STATIC_URL=text)


def test_static_url_gets_its_last_slash():
    assert Environment({"S": "https://cdn.example/static"}).static_url("S") == "https://cdn.example/static/"
    assert Environment({}).static_url("S") == "/static/"


@pytest.mark.parametrize(
    "text", ["o1.ingest.sentry.io/1", "https://o1.ingest.sentry.io/1", "https://key@host/", "https://k@h:x/1"]
)
def test_a_sentry_address_is_checked_and_not_shown(text):
    [(_, _, message)] = mistakes_of(lambda env: env.sentry_dsn("SENTRY_DSN"), SENTRY_DSN=text)
    assert text not in message


def test_a_whole_sentry_address_is_taken():
    dsn = "https://0123456789abcdef@o1.ingest.sentry.io/42"
    assert Environment({"SENTRY_DSN": dsn}).sentry_dsn("SENTRY_DSN") == dsn


def test_a_folder_is_absolute_and_a_choice_one_of_its_words():
    assert mistakes_of(lambda env: env.folder("MEDIA_ROOT", BASE), MEDIA_ROOT="media")
    assert mistakes_of(lambda env: env.choice("LOG_LEVEL", "INFO", among=["INFO"]), LOG_LEVEL="LOUD")
    assert Environment({"LOG_LEVEL": "info"}).choice("LOG_LEVEL", "INFO", among=["INFO"]) == "INFO"
