import re

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from optifit.models import ApiToken, Feedback, Image


def test_the_landing_page_has_static_files_and_nothing_inline(db):
    body = Client().get("/").content.decode()
    assert 'href="/static/optifit/site.css"' in body
    assert not re.search(r"<style|<script|style=|onclick=", body)


def test_every_static_file_can_be_hashed_and_what_it_names_too(settings, tmp_path):
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "deploy.assets.storage.HashedStaticFilesStorage"}
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    style = staticfiles_storage.url("optifit/site.css")
    assert re.fullmatch(r"/static/optifit/site\.[0-9a-f]{12}\.css", style)
    text = (tmp_path / style.removeprefix("/static/")).read_text()
    assert re.search(r'url\("logo\.[0-9a-f]{12}\.svg"\)', text)


@pytest.fixture
def staff(db):
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.mark.parametrize("model", ["apitoken", "image", "feedback"])
def test_the_admin_lists_shows_and_never_makes_up(staff, user, model):
    ApiToken.objects.create(user=user, digest="d" * 64, expires=timezone.now())
    Image.objects.create(owner=user, object_name="o", name="n", content_type="image/png", size_bytes=1)
    Feedback.objects.create(message="m")
    row = {"apitoken": ApiToken, "image": Image, "feedback": Feedback}[model].objects.get()
    assert staff.get(f"/admin/optifit/{model}/").status_code == 200
    assert staff.get(f"/admin/optifit/{model}/?q=ada").status_code == 200
    page = staff.get(f"/admin/optifit/{model}/{row.pk}/change/")
    assert page.status_code == 200
    assert "d" * 64 not in page.content.decode()
    assert staff.get(f"/admin/optifit/{model}/add/").status_code == 403


def test_the_admin_revokes_tokens(staff, user, client):
    row = ApiToken.objects.get()
    staff.post("/admin/optifit/apitoken/", {"action": "revoke", "_selected_action": [row.pk]})
    assert client.get("/api/images").status_code == 401


def test_the_models_have_no_pending_migration(db):
    call_command("makemigrations", "optifit", check=True, dry_run=True, verbosity=0)


def test_rows_say_what_they_are(user):
    token = ApiToken(pk=1, user=user)
    assert str(token) == f"token 1 of user {user.pk}"
    assert str(Feedback(message="m" * 80)) == "m" * 60


def test_the_probes_and_the_release_are_answered(db):
    for path in ("/livez", "/version"):
        response = Client().get(path, headers={"Host": "10.0.0.7"})
        assert response.status_code == 200
        assert response.headers["X-Release"] == "test-release"


def test_static_files_are_served_for_a_machine_without_a_proxy(db, settings):
    settings.DEBUG = True
    response = Client().get("/static/optifit/site.css")
    response.close()
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/css")
