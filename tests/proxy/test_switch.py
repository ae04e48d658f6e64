"""Which colour answers: decided by a file in live/, at each request, without a reload."""

import http.client
import threading

import pytest

from .caddy import exchange
from .origin import serving

pytestmark = pytest.mark.needs_caddy


def switch(caddy, *, to: str) -> None:
    other = {"green": "blue", "blue": "green"}[to]
    (caddy.live / f"backend.{other}").rename(caddy.live / f"backend.{to}")


def test_a_rename_is_the_switch(caddy):
    before = caddy.ask("/version")
    switch(caddy, to="green")
    after = caddy.ask("/version")
    assert (before.release, before.colour) == ("r-blue", "blue")
    assert (after.release, after.colour) == ("r-green", "green")


def test_a_kept_connection_is_served_by_the_new_colour_at_its_next_request(caddy):
    connection = caddy.connection()
    headers = {"Host": "optifit.test"}
    assert exchange(connection, "/version", headers=headers).release == "r-blue"
    switch(caddy, to="green")
    socket_before = connection.sock
    assert exchange(connection, "/version", headers=headers).release == "r-green"
    assert connection.sock is socket_before
    connection.close()


def test_no_request_fails_or_meets_the_old_colour_while_switching_back_and_forth(caddy):
    """Six clients on kept connections, forty switches: what began after one is answered by its colour."""
    switched = {"colour": "blue", "number": 0}
    wrong: list[object] = []
    asked = [0] * 6
    stop = threading.Event()

    def ask(client: int) -> None:
        connection = caddy.connection()
        while not stop.is_set():
            number, colour = switched["number"], switched["colour"]
            try:
                answer = exchange(connection, "/api/x", headers={"Host": "optifit.test"})
            except (OSError, http.client.HTTPException) as error:
                wrong.append(error)
                return
            asked[client] += 1
            # Unless another switch came meanwhile.
            if answer.status != 200 or (switched["number"] == number and answer.colour != colour):
                wrong.append((answer.status, answer.colour, colour, number))
        connection.close()

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(len(asked))]
    for thread in threads:
        thread.start()
    for turn in range(40):
        to = ("green", "blue")[turn % 2]
        switched["number"] += 1  # from here until the next line, either may answer
        switch(caddy, to=to)
        switched.update(colour=to, number=switched["number"] + 1)
        before = sum(asked)
        while sum(asked) < before + 12 and not wrong:
            stop.wait(0.005)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(asked)


def test_a_request_in_flight_is_finished_by_the_colour_that_it_began_with(caddy, blue):
    answers = []
    client = threading.Thread(target=lambda: answers.append(caddy.ask("/api/slow")))
    client.start()
    assert blue.waiting.wait(30)
    switch(caddy, to="green")
    assert caddy.ask("/version").release == "r-green"
    blue.go_on.set()
    client.join()
    assert [(answer.status, answer.release) for answer in answers] == [(200, "r-blue")]


def test_a_restarted_caddy_serves_the_colour_that_was_live(caddy):
    switch(caddy, to="green")
    caddy.stop()
    caddy.start()
    assert caddy.ask("/version").release == "r-green"


def test_canary_gets_its_share_and_no_more(caddy):
    folder = caddy.live / "canary"
    folder.mkdir()
    for number in range(64):
        (folder / f"{number:02x}").touch()
    connection = caddy.connection()
    answers = [exchange(connection, "/api/x", headers={"Host": "optifit.test"}) for _ in range(400)]
    connection.close()
    green = sum(answer.release == "r-green" for answer in answers)
    assert all((answer.release == "r-green") == (answer.colour == "green") for answer in answers)
    # A quarter of 400 is 100, with a standard deviation of 8.7: seven of them on either side.
    assert 40 < green < 160
    for entry in folder.iterdir():
        entry.unlink()
    assert {caddy.ask("/version").release for _ in range(20)} == {"r-blue"}


def test_canary_is_the_other_colour_of_whichever_is_live(caddy):
    folder = caddy.live / "canary"
    folder.mkdir()
    for number in range(256):
        (folder / f"{number:02x}").touch()
    assert caddy.ask("/version").release == "r-green"
    switch(caddy, to="green")
    assert caddy.ask("/version").release == "r-blue"


def test_the_backend_serves_everything_until_a_frontend_is_there(caddy):
    assert caddy.ask("/").release == "r-blue"
    (caddy.live / "frontend.blue").touch()
    page = caddy.ask("/some/page")
    assert (page.release, page.colour, page.headers["X-Served-Part"]) == ("r-frontend", "blue", "frontend")
    # What belongs to the application goes on being served by it; the smoke test's unknown page too, since a
    # frontend answers every unknown page with its index.
    for path in (
        "/api/images",
        "/admin/",
        "/static/x.css",
        "/livez",
        "/readyz",
        "/version",
        "/deploy-smoketest-1",
    ):
        answer = caddy.ask(path)
        assert (answer.release, answer.headers["X-Served-Part"]) == ("r-blue", None), path


def test_a_colour_that_starts_again_is_waited_for_and_the_other_one_is_not_asked(caddy, green):
    """Nobody listens on blue's port when the request comes; it is not lost, and not green's either."""
    with serving("r-gone") as gone:
        port = gone.port
    caddy.stop()
    caddy.settings["BACKEND_BLUE"] = f"127.0.0.1:{port}"
    caddy.start()
    answers = []
    clients = [
        threading.Thread(target=lambda: answers.append(caddy.ask("/version"))),
        threading.Thread(target=lambda: answers.append(caddy.ask("/api/x", "POST", body=b"{}"))),
    ]
    for client in clients:
        client.start()
    with serving("r-again", port) as again:
        for client in clients:
            client.join()
        assert [(answer.status, answer.release) for answer in answers] == [(200, "r-again")] * 2
        assert sorted(received.method for received in again.received) == ["GET", "POST"]
    assert green.received == []


def test_a_colour_that_is_gone_is_a_502_that_says_when_to_come_back_and_never_the_other_colour(caddy, green):
    with serving("r-gone") as gone:
        port = gone.port
    caddy.stop()
    caddy.settings["BACKEND_BLUE"] = f"127.0.0.1:{port}"
    caddy.start()
    answer = caddy.ask("/api/x")
    assert (answer.status, answer.colour, answer.headers["Retry-After"]) == (502, "blue", "30")
    assert answer.body == b'{"detail": [{"field": null, "message": "Bad Gateway."}]}'
    assert green.received == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_a_connection_that_the_backend_closes_under_a_request_loses_none(caddy, blue, method):
    """gunicorn closes idle connections when a worker is recycled; a request on its way is not lost."""
    caddy.ask("/api/x")  # leaves a connection in the pool
    blue.drops_reused = True
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    for _ in range(3):
        assert caddy.ask("/api/x", method, body=body).status == 200
    assert [received.method for received in blue.received[1:]] == [method] * 3


def test_what_may_have_arrived_is_not_sent_twice(caddy, blue):
    """A backend that dies while it works on a GET: the client hears of it, and it was asked once."""
    blue.status = 0  # not an HTTP status: the answer can't be read
    answer = caddy.ask("/api/x")
    assert answer.status == 502
    assert len(blue.received) == 1
