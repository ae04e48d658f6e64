from collections.abc import Iterator

import pytest
import requests
from google.cloud import storage

from deploy.testing import GCSServer


@pytest.fixture
def server() -> Iterator[GCSServer]:
    with GCSServer("b", page_size=3) as server:
        yield server


@pytest.fixture
def client(server: GCSServer) -> Iterator[storage.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


class Api:
    """The JSON API by hand, for what the client library never sends."""

    def __init__(self, server: GCSServer, http: requests.Session) -> None:
        self._server, self._http = server, http

    def object(
        self, method: str, name: str = "", data: bytes = b"", headers=None, **query
    ) -> requests.Response:
        url = f"{self._server.url}/storage/v1/b/b/o" + (f"/{name}" if name else "")
        return self._http.request(method, url, params=query, data=data, headers=headers)

    def upload(self, data: bytes = b"", headers=None, **query) -> requests.Response:
        url = f"{self._server.url}/upload/storage/v1/b/b/o"
        return self._http.post(url, params=query, data=data, headers=headers)

    def insert(self, name: str, data: bytes = b"", headers=None, **query) -> requests.Response:
        return self.upload(data, headers, uploadType="media", name=name, **query)


@pytest.fixture
def api(server: GCSServer, http: requests.Session) -> Api:
    return Api(server, http)
