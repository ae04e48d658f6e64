"""The engine of the tests itself: what the other tests build on."""

from __future__ import annotations

import pytest

from tests.e2e.engine import Engine, EngineError


def test_a_build_of_text_is_published_by_digest_and_pulled_again(engine: Engine, base_image: str, tmp_path):
    (tmp_path / "hello").write_text("good morning")
    tag = engine.build(
        f"FROM {base_image}\nARG WHO\nENV WHO=$WHO\nCOPY hello /", "engine-test:1", context=tmp_path, WHO="me"
    )
    image = engine.publish(tag)
    assert image.startswith(f"127.0.0.1:{engine.registry_port}/engine-test@sha256:")
    engine.docker("rmi", "--force", engine.docker("inspect", "--format", "{{.Id}}", tag))
    engine.docker("pull", image)
    assert (
        engine.docker("run", "--rm", "--network=none", image, "sh", "-c", "cat /hello; echo , $WHO")
        == "good morning, me"
    )


def test_a_command_that_fails_says_why(engine: Engine):
    with pytest.raises(EngineError, match=r"exited with 1:\n(?s:.)*No such image: nothing:here"):
        engine.docker("inspect", "--type=image", "nothing:here")


def test_containers_come_back_after_a_power_cut(engine: Engine, base_image: str):
    engine.docker("network", "create", "lit")
    serve = ["python3", "-m", "http.server", "80"]
    for name in ("kept", "stopped"):
        engine.docker(
            "run",
            "--detach",
            f"--name={name}",
            "--network=lit",
            "--restart=unless-stopped",
            base_image,
            *serve,
        )
    engine.docker("stop", "--time=0", "stopped")

    engine.power_cut()
    engine.start()

    assert engine.docker("ps", "--format", "{{.Names}}") == "kept"
    ask = "import urllib.request as r; print(r.urlopen('http://kept').status)"
    assert engine.docker("run", "--rm", "--network=lit", base_image, "python3", "-c", ask) == "200"
    engine.clean()
