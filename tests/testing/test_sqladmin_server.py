"""The SQL Admin server: Google's client is content with it, and it is strict with whoever calls it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import pytest

from deploy.testing.sqladmin_server import SQLAdminServer

RUNS = "/v1/projects/shop-1/instances/shop/backupRuns"


@pytest.fixture
def server() -> Iterator[SQLAdminServer]:
    with SQLAdminServer() as server:
        server.add_instance("shop-1", "shop")
        yield server
    assert server.broken == []


@pytest.fixture
def client(server: SQLAdminServer) -> Iterator[Any]:
    import httplib2
    from googleapiclient.discovery import build

    with build(
        "sqladmin",
        "v1",
        http=httplib2.Http(timeout=10),
        static_discovery=True,
        client_options={"api_endpoint": server.url},
    ) as service:
        yield service


def call(server: SQLAdminServer, method: str, path: str, body: object = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 – loopback
        server.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("POST", RUNS, {"descripton": "x"}, "descripton"),
        ("POST", RUNS, {"description": 1}, "not of type 'string'"),
        ("POST", RUNS, {"databaseVersion": "POSTGRES_18"}, "output only"),
        ("POST", RUNS, {"startTime": "yesterday"}, "does not match"),
        ("POST", RUNS, {"status": "FINE"}, "is not one of"),
        ("POST", RUNS + "?descripton=x", {}, "Unknown query parameter"),
        ("GET", RUNS + "?maxResults=many", None, "maxResults"),
        ("GET", RUNS, {}, "takes no body"),
        ("DELETE", "/v1/projects/shop-1/instances/shop?enableFinalBackup=maybe", None, "enableFinalBackup"),
        ("POST", "/v1/projects/shop-1/instances/shop/clone", {"cloneContext": {"name": "x"}}, "name"),
    ],
)
def test_refuses_what_the_discovery_document_does_not_allow(
    server: SQLAdminServer, method: str, path: str, body: object, says: str
) -> None:
    status, answer = call(server, method, path, body)

    assert status == 400
    assert says in answer
    assert (server.instances.runs, list(server.instances.by_name)) == ([], ["shop"])


def test_knows_only_the_methods_of_the_api(server: SQLAdminServer) -> None:
    assert call(server, "PUT", RUNS)[0] == 404
    assert call(server, "GET", "/v1/projects/shop-1/instances/shop/backups")[0] == 404
    assert call(server, "GET", "/v1/projects/shop-1/instances/other")[0] == 404


def test_notices_an_answer_that_the_discovery_document_does_not_allow() -> None:
    with SQLAdminServer() as server:
        server.add_instance("shop-1", "shop", state="ASLEEP")
        assert call(server, "GET", "/v1/projects/shop-1/instances/shop")[0] == 200
    assert [one for one in server.broken if "ASLEEP" in one] == server.broken != []


def test_carries_out_one_operation_at_a_time_and_takes_several_looks(
    server: SQLAdminServer, client: Any
) -> None:
    from googleapiclient.errors import HttpError

    where = {"project": "shop-1", "instance": "shop"}
    operation = client.backupRuns().insert(**where, body={"description": "one"}).execute()
    assert operation["status"] == "PENDING"
    with pytest.raises(HttpError) as refused:
        client.backupRuns().insert(**where, body={"description": "two"}).execute()
    assert refused.value.resp.status == 409
    assert refused.value.error_details[0]["reason"] == "operationInProgress"

    done = client.operations().get(project="shop-1", operation=operation["name"]).execute()
    assert done["status"] == "DONE"
    run = client.backupRuns().get(**where, id=done["backupContext"]["backupId"]).execute()
    assert (run["status"], run["description"]) == ("SUCCESSFUL", "one")


def test_lists_in_pages_newest_first(server: SQLAdminServer, client: Any) -> None:
    where = {"project": "shop-1", "instance": "shop"}
    server.instances.requests_per_operation = 1
    for number in range(25):
        client.backupRuns().insert(**where, body={"description": str(number)}).execute()

    found, request, pages = [], client.backupRuns().list(**where), 0
    while request is not None:
        page = request.execute()
        pages += 1
        found += [int(run["description"]) for run in page["items"]]
        request = client.backupRuns().list_next(request, page)

    assert (found, pages) == (list(range(24, -1, -1)), 2)


def test_a_clone_has_its_sources_settings_and_is_deleted_with_its_protection_off(
    server: SQLAdminServer, client: Any
) -> None:
    from googleapiclient.errors import HttpError

    server.instances.requests_per_operation = 1
    server.instances.by_name["shop"]["settings"]["deletionProtectionEnabled"] = True
    context = {"cloneContext": {"destinationInstanceName": "copy"}}
    client.instances().clone(project="shop-1", instance="shop", body=context).execute()
    clone = client.instances().get(project="shop-1", instance="copy").execute()
    assert clone["state"] == "RUNNABLE"
    assert clone["ipAddresses"] != server.instances.by_name["shop"]["ipAddresses"]
    with pytest.raises(HttpError, match="protected"):
        client.instances().delete(project="shop-1", instance="copy").execute()

    off = {"settings": {"deletionProtectionEnabled": False}}
    client.instances().patch(project="shop-1", instance="copy", body=off).execute()
    client.instances().delete(project="shop-1", instance="copy").execute()
    listed = client.instances().list(project="shop-1").execute()
    assert [one["name"] for one in listed["items"]] == ["shop"]
    assert server.calls.count("instances.delete") == 2
