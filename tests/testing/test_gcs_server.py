"""The server answers as Google's documentation says, to the real client and to requests by hand."""

import gzip
import json

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from deploy.testing import Fault, GCSServer
from deploy.testing.gcs_listing import partial
from deploy.testing.gcs_uploads import CHUNK_UNIT_BYTES


def test_a_process_of_its_own_finds_the_server_by_its_environment(server, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with storage.Client(project=None) as client:
        client.bucket("b").blob("name").upload_from_string("body")
    assert server.store.bucket("b")["name"].data == b"body"


def test_properties_are_kept_and_changed(client):
    blob = client.bucket("b").blob("folder/ö name")
    blob.cache_control, blob.content_encoding, blob.metadata = "no-cache", "br", {"a": "1", "b": "2"}
    blob.upload_from_string(b"body", content_type="text/css")
    seen = client.bucket("b").get_blob("folder/ö name")
    assert (seen.cache_control, seen.content_encoding, seen.content_type) == ("no-cache", "br", "text/css")
    assert (seen.metadata, seen.size, seen.metageneration) == ({"a": "1", "b": "2"}, 4, 1)
    seen.metadata, seen.cache_control = {"a": "3", "b": None}, "no-store"
    seen.patch()
    again = client.bucket("b").get_blob("folder/ö name")
    assert (again.metadata, again.cache_control, again.metageneration) == ({"a": "3"}, "no-store", 2)
    assert again.generation == seen.generation


def test_a_bucket_is_there_or_not(client):
    assert client.lookup_bucket("b").name == "b"
    assert client.lookup_bucket("other") is None


def status(response: requests.Response) -> int:
    if response.status_code >= 400:
        assert response.json()["error"]["code"] == response.status_code
    return response.status_code


@pytest.mark.parametrize(
    ("condition", "present", "absent"),
    [
        ("ifGenerationMatch={generation}", 200, 412),
        ("ifGenerationMatch=0", 412, 200),
        ("ifGenerationMatch=1", 412, 412),
        ("ifGenerationNotMatch={generation}", 412, 200),
        ("ifGenerationNotMatch=0", 200, 412),
        ("ifMetagenerationMatch=1", 200, 412),
        ("ifMetagenerationMatch=2", 412, 412),
        ("ifMetagenerationNotMatch=1", 412, 200),
        ("ifMetaGenerationNotMatch=1", 412, 200),
    ],
)
def test_preconditions_of_writes(api, server, condition, present, absent):
    generation = api.insert("there").json()["generation"]
    name, value = condition.format(generation=generation).split("=")
    assert status(api.insert("there", b"new", **{name: value})) == present
    assert server.store.bucket("b")["there"].data == (b"new" if present == 200 else b"")
    assert status(api.insert("absent", b"new", **{name: value})) == absent
    assert ("absent" in server.store.bucket("b")) == (absent == 200)


@pytest.mark.parametrize(
    ("condition", "reading", "changing"),
    [
        ("ifGenerationMatch={generation}", 200, 200),
        ("ifGenerationMatch=1", 412, 412),
        ("ifGenerationNotMatch={generation}", 304, 412),
        ("ifGenerationNotMatch=1", 200, 200),
        ("ifMetagenerationMatch=1", 200, 200),
        ("ifMetagenerationMatch=2", 412, 412),
        ("ifMetagenerationNotMatch=1", 304, 412),
        ("generation={generation}", 200, 200),
        ("generation=1", 404, 404),
    ],
)
def test_preconditions_of_reads_changes_and_deletes(api, server, condition, reading, changing):
    generation = api.insert("name", b"body").json()["generation"]
    name, value = condition.format(generation=generation).split("=")
    query = {name: value}
    assert status(api.object("GET", "name", **query)) == reading
    assert status(api.object("GET", "name", alt="media", **query)) == reading
    if name != "generation":
        patch = api.object("PATCH", "name", b'{"metadata": {"a": "1"}}', **query)
        assert status(patch) == changing
    if name.startswith("ifMeta") and changing == 200:
        return  # the patch has made another metageneration
    assert status(api.object("DELETE", "name", **query)) == (204 if changing == 200 else changing)
    assert ("name" in server.store.bucket("b")) == (changing != 200)


def test_a_precondition_that_is_no_number_is_a_bad_request(api):
    assert status(api.insert("name", ifGenerationMatch="x")) == 400
    assert status(api.object("GET", "name", generation="x")) == 400


def test_generations_grow_over_all_names_and_deletions(api):
    seen = []
    for _ in range(3):
        seen += [int(api.insert(name).json()["generation"]) for name in ("a", "b")]
        api.object("DELETE", "a")
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    "header", ["crc32c=AAAAAA==", "md5=AAAAAAAAAAAAAAAAAAAAAA==", "crc32c=mnG7TA==,md5=x"]
)
def test_a_checksum_that_does_not_fit_is_refused(api, server, header):
    assert status(api.insert("name", b"hello", {"x-goog-hash": header})) == 400
    assert server.store.bucket("b") == {}


def test_checksums_that_fit_are_taken(api):
    header = {"x-goog-hash": "crc32c=mnG7TA==, md5=XUFAKrxLKna5cZ2REBfFkg=="}
    stored = api.insert("name", b"hello", header).json()
    assert (stored["crc32c"], stored["md5Hash"]) == ("mnG7TA==", "XUFAKrxLKna5cZ2REBfFkg==")


def multipart(resource: dict, data: bytes) -> tuple[bytes, dict[str, str]]:
    head = f"--xyz\r\nContent-Type: application/json\r\n\r\n{json.dumps(resource)}\r\n--xyz\r\n"
    body = head.encode() + b"Content-Type: text/css\r\n\r\n" + data + b"\r\n--xyz--"
    return body, {"Content-Type": 'multipart/related; boundary="xyz"'}


def test_multipart_uploads_carry_properties_and_checksums(api):
    data = b"line\r\n\r\n--xy\r\n"
    good = api.upload(*multipart({"name": "a/b", "cacheControl": "no-store"}, data), uploadType="multipart")
    assert (good.json()["cacheControl"], good.json()["contentType"]) == ("no-store", "text/css")
    assert api.object("GET", "a%2Fb", alt="media").content == data
    bad = api.upload(*multipart({"name": "c", "md5Hash": "AAAA"}, data), uploadType="multipart")
    assert status(bad) == 400
    assert status(api.object("GET", "c")) == 404


@pytest.mark.parametrize("body", [b"", b"--xyz\r\n\r\n{}", b"--xyz\r\n\r\n{\r\n--xyz\r\n\r\n\r\n--xyz--"])
def test_a_malformed_multipart_upload_is_a_bad_request(api, body):
    headers = {"Content-Type": "multipart/related; boundary=xyz"}
    assert status(api.upload(body, headers, uploadType="multipart")) == 400


def test_an_upload_without_a_name_or_of_unknown_type_is_a_bad_request(api):
    assert status(api.upload(b"", uploadType="media")) == 400
    assert status(api.upload(b"", uploadType="strange", name="a")) == 400


class TestResumableUpload:
    CHUNK = b"x" * CHUNK_UNIT_BYTES

    @pytest.fixture
    def start(self, api, http):
        def begin(headers=None, **query):
            answer = api.upload(b'{"name": "big"}', headers, uploadType="resumable", **query)
            assert status(answer) == 200

            def put(data, content_range, **headers):
                headers = {"Content-Range": content_range} | headers
                return http.put(answer.headers["Location"], data=data, headers=headers)

            put.url = answer.headers["Location"]
            return put

        return begin

    def test_chunks_become_an_object_with_the_last(self, start, api):
        put = start()
        first = put(self.CHUNK, f"bytes 0-{CHUNK_UNIT_BYTES - 1}/*")
        assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{CHUNK_UNIT_BYTES - 1}")
        assert status(api.object("GET", "big")) == 404
        total = CHUNK_UNIT_BYTES + 3
        last = put(b"end", f"bytes {CHUNK_UNIT_BYTES}-{total - 1}/{total}")
        assert (last.status_code, last.json()["size"]) == (200, str(total))
        assert put(b"", "bytes */*").json() == last.json()

    def test_a_status_query_tells_what_is_stored(self, start):
        put = start()
        nothing = put(b"", "bytes */*")
        assert (nothing.status_code, "Range" in nothing.headers) == (308, False)
        put(self.CHUNK, f"bytes 0-{CHUNK_UNIT_BYTES - 1}/*")
        assert put(b"", "bytes */*").headers["Range"] == f"bytes=0-{CHUNK_UNIT_BYTES - 1}"

    def test_bytes_that_come_again_are_not_taken_again(self, start, api):
        put = start()
        for _ in range(2):
            put(self.CHUNK, f"bytes 0-{CHUNK_UNIT_BYTES - 1}/*")
        assert put(b"", f"bytes */{CHUNK_UNIT_BYTES}").json()["size"] == str(CHUNK_UNIT_BYTES)

    def test_an_empty_object_and_one_in_a_single_request(self, start, http):
        assert start()(b"", "bytes */0").json()["size"] == "0"
        assert http.put(start().url, data=b"whole").json()["size"] == "5"

    @pytest.mark.parametrize(
        ("data", "content_range"),
        [
            (b"odd", "bytes 0-2/*"),
            (b"gap", "bytes 5-7/8"),
            (b"four", "bytes 0-2/3"),
            (b"abc", "bytes */3"),
            (b"abc", "nonsense"),
            (b"more", "bytes 0-3/2"),
        ],
    )
    def test_what_does_not_fit_is_a_bad_request(self, start, server, data, content_range):
        assert status(start()(data, content_range)) == 400
        assert server.store.bucket("b") == {}

    def test_the_announced_length_and_checksum_are_held_to(self, start, server):
        assert status(start({"X-Upload-Content-Length": "4"})(b"abc", "bytes 0-2/3")) == 400
        assert status(start()(b"abc", "bytes 0-2/3", **{"x-goog-hash": "crc32c=AAAAAA=="})) == 400
        assert server.store.bucket("b") == {}

    def test_preconditions_hold_at_the_start_and_at_the_end(self, start, api):
        put = start(ifGenerationMatch=0)
        api.insert("big", b"meanwhile")
        assert status(put(b"abc", "bytes 0-2/3")) == 412
        again = api.upload(b'{"name": "big"}', uploadType="resumable", ifGenerationMatch=0)
        assert status(again) == 412
        assert api.object("GET", "big", alt="media").content == b"meanwhile"

    def test_a_cancelled_upload_stays_cancelled(self, start, http, server):
        put = start()
        assert status(http.delete(put.url)) == 499
        assert status(put(b"abc", "bytes 0-2/3")) == 499
        assert server.store.bucket("b") == {}

    def test_an_unknown_session_is_not_found(self, start, http):
        assert status(http.put(start().url + "x", data=b"abc")) == 404


def test_the_client_uploads_in_chunks(client):
    blob = client.bucket("b").blob("big", chunk_size=CHUNK_UNIT_BYTES)
    with blob.open("wb") as stream:
        stream.write(b"x" * (3 * CHUNK_UNIT_BYTES + 1))
    assert client.bucket("b").get_blob("big").size == 3 * CHUNK_UNIT_BYTES + 1


@pytest.mark.parametrize(
    ("wanted", "expected", "content_range"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_ranges_of_a_download(api, wanted, expected, content_range):
    api.insert("name", b"0123456789")
    answer = api.object("GET", "name", headers={"Range": wanted}, alt="media")
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["Content-Range"] == content_range
    beyond = api.object("GET", "name", headers={"Range": "bytes=10-"}, alt="media")
    assert status(beyond) == 416


def test_a_download_carries_the_objects_headers(api):
    stored = api.insert("name", b"hello", {"Content-Type": "text/plain"}).json()
    headers = api.object("GET", "name", alt="media").headers
    assert headers["X-Goog-Generation"] == stored["generation"]
    assert headers["X-Goog-Hash"] == f"crc32c={stored['crc32c']},md5={stored['md5Hash']}"
    assert (headers["Content-Type"], headers["X-Goog-Stored-Content-Length"]) == ("text/plain", "5")


def test_compressed_objects_are_decompressed_for_who_cannot(api, client):
    blob = client.bucket("b").blob("page")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"text"))
    plain = api.object("GET", "page", headers={"Accept-Encoding": "identity"}, alt="media")
    assert (plain.content, "Content-Encoding" in plain.headers) == (b"text", False)
    assert blob.download_as_bytes() == b"text"
    assert gzip.decompress(blob.download_as_bytes(raw_download=True)) == b"text"


NAMES = ["a", "a/1", "a/2", "b/1", "b/2/x", "c", "é"]


@pytest.fixture
def listed(api, server):
    for name in NAMES:
        api.insert(name)
    return server


def test_listings_come_in_pages_and_byte_order(listed, api, client):
    page = api.object("GET").json()
    assert [item["name"] for item in page["items"]] == NAMES[:3]
    assert [blob.name for blob in client.list_blobs("b")] == NAMES
    assert [blob.name for blob in client.list_blobs("b", page_size=2)] == NAMES
    assert [blob.name for blob in client.list_blobs("b", max_results=4)] == NAMES[:4]
    assert [blob.name for blob in client.list_blobs("b", prefix="a/")] == ["a/1", "a/2"]
    assert [blob.name for blob in client.list_blobs("b", start_offset="b", end_offset="c")] == [
        "b/1",
        "b/2/x",
    ]
    assert status(api.object("GET", maxResults="0")) == 400
    assert status(api.object("GET", pageToken="%%%")) == 400


def test_a_delimiter_folds_names_into_prefixes(listed, client):
    found = client.list_blobs("b", delimiter="/")
    assert [blob.name for blob in found] == ["a", "c", "é"]
    assert found.prefixes == {"a/", "b/"}
    below = client.list_blobs("b", prefix="b/", delimiter="/")
    assert ([blob.name for blob in below], below.prefixes) == (["b/1"], {"b/2/"})


def test_only_the_fields_that_were_asked_for(listed, api):
    page = api.object("GET", fields="items(name,size),nextPageToken").json()
    assert page["items"][0] == {"name": "a", "size": "0"}
    assert set(page) == {"items", "nextPageToken"}
    assert partial({"a": {"b": 1, "c": 2}, "d": 3}, "a/b,d") == {"a": {"b": 1}, "d": 3}


def test_what_is_not_served_says_so(api, http, server):
    assert status(http.get(f"{server.url}/storage/v1/projects/p")) == 404
    assert status(api.object("POST", "name")) == 405
    assert status(api.object("PATCH", "name", b"[]")) == 400
    assert status(http.post(f"{server.url}/upload/storage/v1/b/none/o?uploadType=media&name=a")) == 404


def test_a_body_may_come_in_pieces_of_unknown_number(api):
    assert api.insert("name", iter([b"one ", b"two"])).json()["size"] == "7"


class TestFaults:
    def test_a_status_does_nothing_else(self, server, api):
        server.faults.add(Fault(status=503), times=2)
        assert [status(api.insert("name")) for _ in range(3)] == [503, 503, 200]

    def test_a_reset_comes_before_the_write_and_a_lost_answer_after(self, server, api):
        server.faults.add(Fault(reset=True))
        with pytest.raises(requests.ConnectionError):
            api.insert("name")
        assert server.store.bucket("b") == {}
        server.faults.add(Fault(lose_response=True))
        with pytest.raises(requests.ConnectionError):
            api.insert("name")
        assert set(server.store.bucket("b")) == {"name"}

    def test_a_body_breaks_off_or_differs_by_a_bit(self, server, api):
        api.insert("name", b"hello")
        server.faults.add(Fault(truncate_at_bytes=2), when=lambda request: request.is_download)
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            api.object("GET", "name", alt="media")
        server.faults.add(Fault(flip_bit=True), when=lambda request: request.is_download)
        assert api.object("GET", "name", alt="media").content == b"iello"
        assert api.object("GET", "name", alt="media").content == b"hello"

    def test_latency_is_waited(self, server, api):
        server.faults.add(Fault(latency_seconds=0.2))
        assert api.insert("name").elapsed.total_seconds() >= 0.2

    def test_a_fault_waits_for_its_request(self, server, api):
        server.faults.add(Fault(status=429), when=lambda request: request.method == "DELETE")
        assert status(api.insert("name")) == 200
        assert server.faults.pending == 1
        assert status(api.object("DELETE", "name")) == 429
        server.faults.add(Fault(status=429))
        server.faults.clear()
        assert status(api.object("DELETE", "name")) == 204

    def test_the_clients_own_lookups_in_the_background_use_up_no_fault(self, server, client):
        server.faults.add(Fault(status=404))
        client.lookup_bucket("b")
        assert server.faults.pending == 1

    def test_stored_bytes_can_be_damaged(self, server, client):
        blob = client.bucket("b").blob("name")
        blob.upload_from_string(b"hello")
        server.store.damage("b", "name")
        with pytest.raises(storage.exceptions.DataCorruption):
            blob.download_as_bytes()


def test_requests_are_logged_with_what_they_carried(server, api):
    api.insert("name", b"body", {"x-custom": "1"})
    (request,) = server.requests
    assert (request.method, request.query["name"], request.body) == ("POST", "name", b"body")
    assert request.headers["x-custom"] == "1"


def test_the_server_ends_while_clients_hold_connections(http):
    with GCSServer("b") as server:
        assert http.get(f"{server.url}/storage/v1/b/b").ok
        url = server.url
    with pytest.raises(requests.ConnectionError):
        http.get(f"{url}/storage/v1/b/b")


def test_the_client_sees_the_refusal_of_a_precondition(client):
    client.bucket("b").blob("lock").upload_from_string(b"me", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        client.bucket("b").blob("lock").upload_from_string(b"you", if_generation_match=0)
