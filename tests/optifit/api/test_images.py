import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, OperationalError, transaction
from django.test import Client

from deploy.testing.gcs_server import GCSServer
from optifit.models import Image
from tests.optifit.conftest import GIF, JPEG, WEBP, png

ROOT = Path(__file__).resolve().parents[3]


def upload(client, data, name="me.png", content_type="image/png"):
    return client.post("/api/images", {"file": SimpleUploadedFile(name, data, content_type)})


def stored_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("data", "content_type", "suffix"),
    [
        (png(), "image/png", ".png"),
        (JPEG, "image/jpeg", ".jpg"),
        (GIF, "image/gif", ".gif"),
        (WEBP, "image/webp", ".webp"),
    ],
)
def test_the_type_is_what_the_bytes_say(client, user, own_media_folder, data, content_type, suffix):
    response = upload(client, data, "evil.html", "text/html")
    assert response.status_code == 201
    body = response.json()
    assert set(body) == {"id", "name", "content_type", "size_bytes", "created", "url"}
    assert (body["name"], body["content_type"], body["size_bytes"]) == ("evil.html", content_type, len(data))
    [file] = stored_files(own_media_folder)
    assert file.read_bytes() == data
    assert file.suffix == suffix
    assert file.parent == own_media_folder / "images" / str(user.pk)
    assert "evil" not in file.name


def test_the_image_comes_back_as_it_was_and_cannot_run_as_a_page(client):
    body = upload(client, png(), "me.png").json()
    assert body["url"] == f"/api/images/{body['id']}/content"
    response = client.get(body["url"])
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == png()
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response.headers["Cache-Control"].startswith("private")
    assert response.headers["Content-Disposition"] == 'inline; filename="me.png"'


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + b"<script>alert(1)</script>" * 20,
        png()[:-12],
        png()[:16] + b"\x00" * 8 + png()[24:],
        b"GIF89a" + b"=1;alert(1)//" * 10,
        GIF[:-1],
        JPEG[:-2],
        b"\xff\xd8\xff\x00" + b"\xff\xd9" * 100,
        WEBP[:-4],
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<html><script>alert(1)</script></html>",
        b"%PDF-1.7 " + b"\x00" * 100,
        b"BM" + b"\x00" * 100,
        b"\x00",
        b"hello",
    ],
)
def test_what_is_no_whole_image_is_refused_and_nothing_is_stored(client, own_media_folder, data):
    response = upload(client, data)
    assert response.status_code == 415
    assert response.json() == {
        "detail": [
            {
                "field": "file",
                "message": "This is not a whole image of image/jpeg, image/png, image/gif, image/webp.",
            }
        ]
    }
    assert stored_files(own_media_folder) == []
    assert not Image.objects.exists()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("..\\..\\windows\\me.png", "me.png"),
        ("a\x00b.png", "ab.png"),
        ("me\u202egnp.exe.png", "megnp.exe.png"),
        ("..", "image"),
        ("я" * 300 + ".png", "я" * 255),
        ("<b>&\"'.png", "<b>&\"'.png"),
    ],
)
def test_a_file_name_is_only_something_to_show(sent, shown):
    from optifit.image_store import shown_name

    assert shown_name(sent) == shown


def test_a_path_in_a_file_name_leads_nowhere(client, own_media_folder):
    body = (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="../../../tmp/evil.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + png() + b"\r\n--B--\r\n"
    )
    response = client.post("/api/images", body, content_type="multipart/form-data; boundary=B")
    assert response.status_code == 201
    assert response.json()["name"] == "evil.png"
    [file] = stored_files(own_media_folder)
    assert file.is_relative_to(own_media_folder / "images")


def test_an_empty_file_is_refused(client):
    response = upload(client, b"")
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "file"


@pytest.mark.parametrize(
    "data", [{}, {"file": "text, no file"}, {"other": SimpleUploadedFile("a.png", b"x")}]
)
def test_a_missing_file_is_named(client, data):
    response = client.post("/api/images", data)
    assert response.status_code == 422
    assert [problem["field"] for problem in response.json()["detail"]] == ["file"]


def test_a_file_over_the_limit_is_refused_by_its_size(client, settings, own_media_folder):
    settings.IMAGE_MAX_BYTES = 60
    response = upload(client, png(40, 40))
    assert response.status_code == 413
    assert response.json() == {"detail": [{"field": "file", "message": "The image is larger than 60 bytes."}]}
    assert stored_files(own_media_folder) == []


def test_a_body_over_the_limit_is_refused_before_it_is_read(client, settings):
    settings.IMAGE_MAX_BYTES = 1024
    response = client.generic(
        "POST",
        "/api/images",
        b"-",
        content_type="multipart/form-data; boundary=B",
        CONTENT_LENGTH="5000000000",
    )
    assert response.status_code == 413
    assert response.json()["detail"][0]["field"] == "file"


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "text/plain", ""])
def test_a_body_that_is_not_multipart_is_refused(client, content_type):
    response = client.generic("POST", "/api/images", png(), content_type=content_type)
    assert response.status_code == 415
    assert response.headers["Accept-Post"] == "multipart/form-data"
    assert response.json()["detail"][0]["message"] == "Send the body as multipart/form-data."


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=é"])
def test_a_broken_multipart_body_is_refused(client, content_type):
    response = client.generic("POST", "/api/images", b"--nonsense", content_type=content_type)
    assert response.status_code in (400, 422)
    assert response.json()["detail"][0]["message"]


def test_the_list_has_pages_newest_first(client):
    ids = [upload(client, png()).json()["id"] for _ in range(5)]
    page = client.get("/api/images?limit=2&offset=1").json()
    assert page["count"] == 5
    assert [item["id"] for item in page["items"]] == [ids[3], ids[2]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
    ],
)
def test_a_wrong_page_is_named(client, query, field):
    response = client.get(f"/api/images?{query}")
    assert response.status_code == 422
    assert [problem["field"] for problem in response.json()["detail"]] == [field]


def test_everybody_sees_their_own_images_only(client, signed_in):
    body = upload(client, png()).json()
    stranger = signed_in(User.objects.create_user("eve"))
    assert stranger.get("/api/images").json() == {"items": [], "count": 0}
    theirs, missing = stranger.get(body["url"]), stranger.get(f"/api/images/{uuid.uuid4()}/content")
    assert theirs.status_code == missing.status_code == 404
    assert theirs.json() == missing.json() == {"detail": [{"field": None, "message": "Not found."}]}
    assert Client().get(body["url"]).status_code == 401


def test_an_image_whose_object_is_gone_is_not_found(client, own_media_folder):
    body = upload(client, png()).json()
    stored_files(own_media_folder)[0].unlink()
    assert client.get(body["url"]).status_code == 404


def test_uploading_needs_a_token(db):
    assert upload(Client(), png()).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_the_object_goes_with_its_row_and_with_its_owner(user, client, own_media_folder):
    upload(client, png())
    upload(client, png())
    Image.objects.first().delete()
    assert len(stored_files(own_media_folder)) == 1
    with transaction.atomic():
        user.delete()
        transaction.set_rollback(True)
    assert len(stored_files(own_media_folder)) == 1
    User.objects.get().delete()
    assert stored_files(own_media_folder) == []


@pytest.mark.django_db(transaction=True)
def test_a_storage_that_fails_does_not_bring_a_deleted_row_back(client, monkeypatch):
    upload(client, png())

    def fails(name):
        raise OSError("the bucket does not answer")

    monkeypatch.setattr(default_storage, "delete", fails)
    Image.objects.get().delete()
    assert not Image.objects.exists()


class TestNothingHalfStored:
    @pytest.mark.django_db(transaction=True)
    def test_the_object_goes_when_the_row_cannot_be(self, user, client, own_media_folder, monkeypatch):
        """The owner is deleted after the object was saved: the row's foreign key fails at COMMIT."""
        save = default_storage.save

        def save_and_lose_the_owner(name, content, max_length=None):
            stored = save(name, content)
            assert stored_files(own_media_folder)
            User.objects.filter(pk=user.pk).delete()
            return stored

        monkeypatch.setattr(default_storage, "save", save_and_lose_the_owner)
        with pytest.raises(IntegrityError):
            upload(client, png())
        assert stored_files(own_media_folder) == []
        assert not Image.objects.exists()

    def test_the_object_stays_when_it_is_not_known_whether_the_row_is(
        self, client, own_media_folder, monkeypatch
    ):
        """Mocked: the connection is lost while COMMIT is under way, which may or may not have happened."""

        class LosesItsCommit:
            def __enter__(self):
                return self

            def __exit__(self, *exc):
                raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr("optifit.image_store.transaction.atomic", LosesItsCommit)
        with pytest.raises(OperationalError):
            upload(client, png())
        assert len(stored_files(own_media_folder)) == 1

    def test_no_row_without_an_object(self, client, monkeypatch):
        def fails(*args, **kwargs):
            raise OSError("No space left on device")

        monkeypatch.setattr(default_storage, "save", fails)
        with pytest.raises(OSError, match="No space"):
            upload(client, png())
        assert not Image.objects.exists()


class TestGoogleCloudStorage:
    """The real django-storages backend and google-cloud-storage client, over HTTP."""

    @pytest.fixture
    def server(self, settings, monkeypatch):
        with GCSServer("optifit-media") as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            options = {
                "bucket_name": "optifit-media",
                "project_id": "optifit",
                "file_overwrite": False,
                "querystring_auth": False,  # nobody can sign without a key: see TestSignedUrls
            }
            settings.STORAGES = settings.STORAGES | {
                "default": {"BACKEND": "storages.backends.gcloud.GoogleCloudStorage", "OPTIONS": options}
            }
            yield server
            default_storage.client.close()

    @pytest.mark.parametrize(("data", "content_type"), [(png(), "image/png"), (WEBP, "image/webp")])
    def test_an_image_goes_into_the_bucket_and_comes_back(self, client, server, data, content_type):
        body = upload(client, data, "me.bin").json()
        name = Image.objects.get().object_name
        blob = server.client().bucket("optifit-media").get_blob(name)
        assert (blob.size, blob.content_type) == (len(data), content_type)
        response = client.get(body["url"])
        assert b"".join(response.streaming_content) == data
        blob.delete()
        assert client.get(body["url"]).status_code == 404

    def test_a_type_is_known_on_a_machine_without_mime_types_too(self):
        code = (
            "import mimetypes; mimetypes.knownfiles.clear(); import optifit.image_types;"
            "print(mimetypes.guess_type('a.webp')[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stdout.strip() == "image/webp"


class TestSignedUrls:
    @pytest.fixture
    def gcs(self, settings):
        """The real GoogleCloudStorage with a key of its own: signing is done locally, nothing is sent."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa
        from django.core.cache import cache
        from google.oauth2.service_account import Credentials

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        credentials = Credentials.from_service_account_info(
            {
                "client_email": "test@optifit.iam.gserviceaccount.com",
                "token_uri": "https://127.0.0.1:1/",
                "private_key": key.decode(),
            }
        )
        options = {
            "bucket_name": "optifit-media",
            "credentials": credentials,
            "project_id": "optifit",
            "querystring_auth": True,
            "expiration": settings.SIGNED_URL_SECONDS,
        }
        cache.clear()
        settings.STORAGES = settings.STORAGES | {
            "default": {"BACKEND": "storages.backends.gcloud.GoogleCloudStorage", "OPTIONS": options}
        }
        yield
        cache.clear()

    def test_a_storage_that_signs_gives_short_lived_urls(self, user, client, gcs):
        image = Image.objects.create(
            owner=user, object_name="images/1/a.png", name="a.png", content_type="image/png", size_bytes=60
        )
        [item] = client.get("/api/images").json()["items"]
        assert item["url"].startswith("https://storage.googleapis.com/optifit-media/images/1/a.png?")
        assert "X-Goog-Expires=900&" in item["url"]
        assert "X-Goog-Signature=" in item["url"]
        again = client.get("/api/images").json()["items"][0]["url"]
        assert again == item["url"]  # one signature serves for a while
        redirected = client.get(f"/api/images/{image.pk}/content")
        assert (redirected.status_code, redirected.headers["Location"]) == (302, item["url"])
        assert redirected.headers["Cache-Control"] == "no-store"
