import pytest
from asgiref.sync import async_to_sync
from django.test import Client

ONE_SHAPE = {"field", "message"}


def one_problem(response) -> dict:
    assert response.headers["Content-Type"] == "application/json"
    [problem] = response.json()["detail"]
    assert set(problem) == ONE_SHAPE
    return problem


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["/api/nothing", "/api/images/", "/api/images/not-a-uuid/content", "/api/"])
def test_an_unknown_address_of_the_api_is_a_json_404(client, settings, path, debug):
    settings.DEBUG = debug
    response = client.get(path)
    assert response.status_code == 404
    assert one_problem(response) == {"field": None, "message": "Not Found."}


def test_a_wrong_method_is_a_json_405_that_names_the_right_ones(client):
    response = client.put("/api/images")
    assert response.status_code == 405
    assert one_problem(response)["message"] == "Method Not Allowed."
    assert set(response.headers["Allow"].replace(" ", "").split(",")) == {"GET", "POST"}


def test_a_wrong_host_is_a_json_400(db, settings):
    settings.ALLOWED_HOSTS = ["optifit.example"]
    response = Client().get("/api/images", headers={"Host": "evil.example"})
    assert response.status_code == 400
    one_problem(response)


def test_a_broken_server_is_a_json_500_that_tells_nothing(client, settings, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("hunter2")

    monkeypatch.setattr("optifit.api.images.ImagePage", broken)
    client.raise_request_exception = False
    response = client.get("/api/images")
    assert response.status_code == 500
    assert one_problem(response) == {"field": None, "message": "Internal Server Error."}


@pytest.mark.parametrize("length", ["-", "many", "1e9"])
def test_a_content_length_that_is_no_number_is_refused(client, length):
    response = client.generic(
        "POST", "/api/feedback", b"{}", content_type="application/json", CONTENT_LENGTH=length
    )
    assert response.status_code == 400
    one_problem(response)


def test_an_unknown_page_is_a_small_html_404(client, settings):
    response = client.get("/nothing")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")
    assert "There is no page at this address." in response.content.decode()


def test_the_api_may_load_nothing_and_be_framed_by_nobody(client):
    policy = client.get("/api/images").headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/", "/admin/login/", "/api/docs", "/nothing"])
def test_pages_load_from_our_own_origin_only(client, path):
    policy = client.get(path).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


def test_pages_may_load_from_the_static_files_origin_too(rf, settings):
    from django.http import HttpResponse

    from optifit.middleware import ContentSecurityPolicyMiddleware

    settings.STATIC_ORIGIN = "https://cdn.example"
    response = ContentSecurityPolicyMiddleware(lambda request: HttpResponse())(rf.get("/"))
    assert "style-src 'self' https://cdn.example;" in response.headers["Content-Security-Policy"]


def test_a_view_with_a_policy_of_its_own_keeps_it(rf):
    from django.http import HttpResponse

    from optifit.middleware import ContentSecurityPolicyMiddleware

    own = HttpResponse(headers={"Content-Security-Policy": "sandbox"})
    response = ContentSecurityPolicyMiddleware(lambda request: own)(rf.get("/"))
    assert response.headers["Content-Security-Policy"] == "sandbox"


def test_all_of_it_works_under_asgi_too(async_client):
    response = async_to_sync(async_client.get)("/api/nothing")
    assert response.status_code == 404
    assert one_problem(response) == {"field": None, "message": "Not Found."}
    assert response.headers["X-Frame-Options"] == "DENY"
