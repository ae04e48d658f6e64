import hashlib
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from optifit.api import throttle
from optifit.models import ApiToken, SignInAttempt
from tests.optifit.conftest import PASSWORD


def sign_in(username="ada", password=PASSWORD, client=None, **extra):
    return (client or Client()).post(
        "/api/tokens", {"username": username, "password": password}, content_type="application/json", **extra
    )


def test_a_username_and_password_become_a_token_that_works(user):
    response = sign_in()
    assert response.status_code == 201
    body = response.json()
    assert set(body) == {"token", "token_type", "expires"}
    assert body["token_type"] == "Bearer"
    listed = Client().get("/api/images", headers={"Authorization": f"Bearer {body['token']}"})
    assert (listed.status_code, listed.json()) == (200, {"items": [], "count": 0})


def test_only_the_hash_of_a_token_is_stored(user):
    token = sign_in().json()["token"]
    row = ApiToken.objects.get()
    assert row.digest == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(ApiToken.objects.values())


def test_the_lifetime_is_a_setting(user, settings):
    settings.API_TOKEN_LIFETIME_SECONDS = 120
    sign_in()
    left = ApiToken.objects.get().expires - timezone.now()
    assert timedelta(seconds=110) < left <= timedelta(seconds=120)


@pytest.mark.parametrize(
    ("username", "password"), [("ada", "wrong"), ("nobody", PASSWORD), ("ADA", PASSWORD)]
)
def test_a_wrong_password_and_an_unknown_account_get_the_same_answer(user, username, password):
    response = sign_in(username, password)
    assert response.status_code == 401
    assert response.json() == {
        "detail": [{"field": None, "message": "The username or the password is wrong."}]
    }
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert not ApiToken.objects.exists()


def test_a_deactivated_account_cannot_sign_in_and_its_tokens_end(user, client):
    user.is_active = False
    user.save()
    assert sign_in().status_code == 401
    assert client.get("/api/images").status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "\ud800", "password": "x"}, "username"),
        ({"username": "ada", "password": "\ud800"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": "ada"}, "password"),
        ({"username": "", "password": "x"}, "username"),
        ({"username": "a" * 151, "password": "x"}, "username"),
        ({"username": "a\x00b", "password": "x"}, "username"),
        ({"username": 7, "password": "x"}, "username"),
        ({"username": "ada", "password": "x" * 4097}, "password"),
        ({"username": "ada", "password": None}, "password"),
        ({"username": ["ada"], "password": "x"}, "username"),
        ({"username": "ada"} | {"password": {}}, "password"),
        ("ada", None),
    ],
)
def test_bad_input_names_the_field(user, body, field):
    response = Client().post("/api/tokens", body, content_type="application/json")
    assert response.status_code in (400, 422)
    assert [problem["field"] for problem in response.json()["detail"]] == [field]


@pytest.mark.parametrize("body", ["", "{", "\x00", "[" * 5000, "[]", "null", "NaN", '"\udcff"'])
def test_a_body_that_is_no_json_object_gets_an_answer_too(user, body):
    response = Client().generic(
        "POST", "/api/tokens", body.encode(errors="surrogatepass"), CONTENT_TYPE="application/json"
    )
    assert response.status_code in (400, 422)
    assert response.json()["detail"][0]["message"]


def test_an_expired_token_is_refused(user, client):
    ApiToken.objects.update(expires=timezone.now())
    assert client.get("/api/images").status_code == 401


def test_signing_out_revokes_this_token_only(user, client, signed_in):
    other = signed_in(user)
    assert client.delete("/api/tokens/current").status_code == 204
    assert client.get("/api/images").status_code == 401
    assert other.get("/api/images").status_code == 200


def test_ended_tokens_are_removed_at_the_next_sign_in(user, client, signed_in):
    client.delete("/api/tokens/current")
    signed_in(user)
    assert ApiToken.objects.count() == 1
    ApiToken.objects.update(expires=timezone.now())
    signed_in(user)
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer x", "Bearer " + "x" * 5000, "Basic YWRhOmFkYQ==", "Bearer a\tb"],
)
def test_a_useless_authorization_header_is_refused(db, header):
    response = Client().get("/api/images", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.json()["detail"][0]["field"] is None
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


class TestThrottle:
    def test_guessing_is_stopped_and_waiting_helps(self, user):
        statuses = [sign_in(password="wrong").status_code for _ in range(throttle.MOST_PER_ACCOUNT + 1)]
        assert statuses == [401] * throttle.MOST_PER_ACCOUNT + [429]
        refused = sign_in()
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "900"
        SignInAttempt.objects.update(at=timezone.now() - timedelta(seconds=throttle.WINDOW_SECONDS + 1))
        assert sign_in().status_code == 201
        assert not SignInAttempt.objects.exists()

    def test_another_address_is_not_locked_out(self, user):
        for _ in range(throttle.MOST_PER_ACCOUNT + 1):
            sign_in(password="wrong")
        assert sign_in(REMOTE_ADDR="192.0.2.9").status_code == 201

    def test_a_success_clears_the_count(self, user):
        for _ in range(throttle.MOST_PER_ACCOUNT - 1):
            sign_in(password="wrong")
        assert sign_in().status_code == 201
        assert sign_in(password="wrong").status_code == 401
        assert sign_in().status_code == 201

    def test_a_sweep_over_many_accounts_is_stopped(self, db, monkeypatch):
        monkeypatch.setattr(throttle, "MOST_PER_ADDRESS", 3)
        assert [sign_in(f"user{n}").status_code for n in range(5)] == [401, 401, 401, 429, 429]

    def test_no_name_and_no_address_is_stored(self, db):
        sign_in("somebody")
        assert all(len(row.key) == 64 and "somebody" not in row.key for row in SignInAttempt.objects.all())

    @pytest.mark.parametrize(
        ("proxies", "remote", "forwarded", "network"),
        [
            (0, "192.0.2.1", "198.51.100.7", "192.0.2.1"),
            (1, "10.0.0.2", "198.51.100.7", "198.51.100.7"),
            (1, "10.0.0.2", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
            (2, "10.0.0.2", "6.6.6.6, 198.51.100.7, 10.0.0.3", "198.51.100.7"),
            (2, "10.0.0.2", "198.51.100.7", "10.0.0.2"),
            (1, "10.0.0.2", "", "10.0.0.2"),
            (0, "2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"),
            (0, "::ffff:192.0.2.1", "", "192.0.2.1"),
            (0, "", "", "unknown"),
            (1, "10.0.0.2", "<script>", "unknown"),
        ],
    )
    def test_only_our_own_proxies_are_believed(self, rf, settings, proxies, remote, forwarded, network):
        settings.TRUSTED_PROXIES = proxies
        request = rf.post("/api/tokens", REMOTE_ADDR=remote, headers={"X-Forwarded-For": forwarded})
        assert throttle.client_network(request) == network
