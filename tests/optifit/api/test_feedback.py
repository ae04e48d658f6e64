import pytest
from django.test import Client

from optifit.models import Feedback


def send(body, client=None, **extra):
    return (client or Client()).post("/api/feedback", body, content_type="application/json", **extra)


def test_anybody_may_tell_something_about_the_release_that_answers(db):
    response = send({"message": "  The new plan view is great.\n"})
    assert response.status_code == 201
    row = Feedback.objects.get()
    assert response.json() == {
        "id": row.pk,
        "release": "test-release",
        "created": row.created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    assert (row.message, row.release, row.contact, row.user) == (
        "The new plan view is great.",
        "test-release",
        "",
        None,
    )


def test_a_release_and_a_contact_may_be_named(db):
    send({"message": "It crashed", "release": "v1.4", "contact": "ada@example.org"})
    row = Feedback.objects.get()
    assert (row.release, row.contact) == ("v1.4", "ada@example.org")


def test_who_is_signed_in_is_known(user, client):
    assert send({"message": "Hello"}, client).status_code == 201
    assert Feedback.objects.get().user == user


def test_a_token_that_is_not_valid_is_not_taken_for_nobody(db):
    response = send({"message": "Hello"}, Client(headers={"Authorization": "Bearer expired"}))
    assert response.status_code == 401
    assert not Feedback.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": ""}, "message"),
        ({"message": " \n\t "}, "message"),
        ({"message": "x" * 4001}, "message"),
        ({"message": "a\x00b"}, "message"),
        ({"message": "\ud800"}, "message"),
        ({"message": 5}, "message"),
        ({"message": {"$gt": ""}}, "message"),
        ({"message": "x", "release": "a b"}, "release"),
        ({"message": "x", "release": "v1\n"}, "release"),
        ({"message": "x", "release": "r" * 101}, "release"),
        ({"message": "x", "contact": "not an address"}, "contact"),
        ({"message": "x", "contact": "a@b\x00.example"}, "contact"),
        ({"message": "x", "contact": "a" * 250 + "@example.org"}, "contact"),
    ],
)
def test_bad_input_names_the_field_and_stores_nothing(db, body, field):
    response = send(body)
    assert response.status_code == 422
    [problem] = response.json()["detail"]
    assert problem["field"] == field
    assert problem["message"]
    assert not Feedback.objects.exists()


def test_the_longest_message_fits(db):
    assert send({"message": "ä" * 4000}).status_code == 201


def test_every_wrong_field_is_named_at_once(db):
    response = send({"release": "a b", "contact": "c"})
    assert {problem["field"] for problem in response.json()["detail"]} == {"message", "release", "contact"}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_another_content_type_is_refused(db, content_type):
    response = Client().generic("POST", "/api/feedback", b'{"message": "x"}', content_type=content_type)
    assert response.status_code == 415
    assert response.json()["detail"] == [{"field": None, "message": "Send the body as application/json."}]


def test_a_huge_body_is_refused(db, settings):
    response = send({"message": "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)})
    assert response.status_code == 413
    assert not Feedback.objects.exists()
