import json

import pytest
from django.core.management import CommandError, call_command

from optifit import api_document


def test_the_committed_document_is_the_codes():
    assert api_document.document_path().read_text() == api_document.current_document(), (
        "python manage.py openapi"
    )


def test_the_served_document_is_the_same(client):
    assert client.get("/api/openapi.json").json() == json.loads(api_document.current_document())


def test_the_command_writes_it_and_tells_when_it_differs(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match=r"hint: python manage\.py openapi") as refused:
        call_command("openapi", "--check")
    assert refused.value.returncode == 1
    call_command("openapi")
    call_command("openapi", "--check")
    (tmp_path / "docs" / "openapi.json").write_text("{}\n")
    with pytest.raises(CommandError):
        call_command("openapi", "--check")


def test_every_operation_tells_its_refusals_in_the_one_shape():
    schema = api_document.openapi_schema()
    for operations in schema["paths"].values():
        for operation in operations.values():
            refusals = {c: r for c, r in operation["responses"].items() if c.startswith("4")}
            assert refusals
            for response in refusals.values():
                reference = response["content"]["application/json"]["schema"]["$ref"]
                assert reference == "#/components/schemas/Problems"


def test_the_documentation_page_works_under_the_content_security_policy(client):
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    body = page.content.decode()
    assert "cdn.jsdelivr.net" not in body
    assert 'src="/static/ninja/swagger-ui-bundle.js"' in body
