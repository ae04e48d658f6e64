"""The container's health check program."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.health import probe

from .serving import ROOT, black_hole


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (301, 1), (404, 1)])
def test_the_exit_code_is_the_answer(port: int, status: int, code: int) -> None:
    assert probe.main([f"http://127.0.0.1:{port}/{status}"]) == code


def test_says_why_not(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    probe.main([f"http://127.0.0.1:{port}/503"])
    assert capsys.readouterr().err.endswith("/503: answered 503\n")


def test_gives_up_on_a_server_that_says_nothing() -> None:
    with black_hole() as hole:
        assert probe.main([f"http://127.0.0.1:{hole}/readyz", "--timeout", "0.2"]) == 1


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "readyz", "http:///readyz", "http://h:99999/"])
def test_refuses_what_it_can_not_ask(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        probe.main([url])
    assert stopped.value.code == 2


def test_imports_no_django_and_is_a_program(port: int) -> None:
    code = (
        "import sys, runpy; sys.argv[1:] = [sys.argv[1]]\n"
        "try: runpy.run_module('deploy.health.probe', run_name='__main__')\n"
        "except SystemExit as end: sys.exit(end.code or ('django' in sys.modules and 9) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, f"http://127.0.0.1:{port}/200"], cwd=ROOT)
    assert done.returncode == 0


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0"])
def test_a_time_limit_that_is_none_is_a_mistake_in_usage(seconds: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        probe.main(["http://127.0.0.1:1/readyz", f"--timeout={seconds}"])
    assert stopped.value.code == 2
    assert "--timeout" in capsys.readouterr().err
