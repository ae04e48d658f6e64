"""A stand-in for `docker` and `docker-compose` where there is none: containers are processes, jobs lines.

It is at the wire: rollout calls it as it calls Docker, with the same arguments, and asks its containers over
HTTP. A folder (STAND_IN) has all of it: images.json (what the registry has, and how each image behaves),
faults.json (what is to go wrong), containers/, calls.jsonl, ledger.jsonl, lock.json.
tests/e2e does the same with a real engine.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["STAND_IN"])
CONTAINERS = FOLDER / "containers"
ME = Path(__file__).resolve()
TTL_SECONDS = 0.3


def read(name, default):
    try:
        return json.loads((FOLDER / name).read_text())
    except FileNotFoundError:
        return default


def append(name, entry):
    with (FOLDER / name).open("a") as file:
        file.write(json.dumps(entry) + "\n")


def write(path, data):
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data))
    temporary.replace(path)


def stop_here(text, code=1):
    sys.stderr.write(f"{text}\n")
    sys.exit(code)


def fault(name):
    """Fail, or wait to be killed, where faults.json says so."""
    found = read("faults.json", {}).get(name)
    if not found:
        return
    if found.get("once"):
        faults = read("faults.json", {})
        del faults[name]
        write(FOLDER / "faults.json", faults)
    if found.get("hang"):
        (FOLDER / f"hangs-{name}").touch()
        time.sleep(found["hang"])
    if "code" in found:
        stop_here(found.get("say", f"{name} was told to fail"), found["code"])


def image_of(reference):
    return read("images.json", {}).get(reference)


def pulled():
    return read("pulled.json", [])


# --- containers -----------------------------------------------------------------------------------------
def containers():
    return [json.loads(path.read_text()) for path in sorted(CONTAINERS.glob("*.json"))]


def find(name):
    for one in containers():
        if name in (one["id"], one["name"]):
            return one
    return stop_here(f"Error: No such container: {name}")


def save(one):
    write(CONTAINERS / f"{one['id']}.json", one)


def alive(one):
    try:
        os.kill(one["pid"], 0)
        state = Path(f"/proc/{one['pid']}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def end(one, seconds=5.0):
    if one["pid"] and alive(one):
        os.kill(one["pid"], signal.SIGTERM)
        until = time.monotonic() + seconds
        while alive(one) and time.monotonic() < until:
            time.sleep(0.01)
        if alive(one):
            os.kill(one["pid"], signal.SIGKILL)


def launch(one):
    behaves = image_of(one["image"]) or {}
    if behaves.get("fault") == "no_start":
        one.update(
            status="restarting", restarts=3, exit=1, pid=0, log="ModuleNotFoundError: No module named 'x'"
        )
    else:
        import subprocess

        process = subprocess.Popen(
            [
                sys.executable,
                "-S",
                "-E",
                str(ME),
                "serve",
                one["address"],
                str(one["port"]),
                json.dumps(behaves),
            ],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=True,
        )
        one.update(status="running", pid=process.pid, log="serving")
    save(one)


def serve(address, port, behaves):
    """A container: a server of a few fixed answers."""
    import socket

    listener = socket.create_server((address, int(port)), backlog=64)
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(65536).decode(errors="replace")
            path = [*request.split(" ", 2), ""][1]
            status, kind, body = 200, "application/json", "{}"
            if behaves.get("fault") == "never_ready" and path == "/readyz":
                status, body = 503, "DatabaseAnswers fails"
            if behaves.get("fault") == "public_fails" and path == "/version":
                status = 500
            if path == "/":
                kind, body = "text/html", "<!doctype html>"
            if path == "/version.json":
                body = json.dumps({"version": behaves.get("release", "")})
                if behaves.get("fault") == "not_json":
                    body = "<!doctype html>"
            connection.sendall(
                f"HTTP/1.1 {status} X\r\nX-Release: {behaves.get('release', '')}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )


# --- docker ---------------------------------------------------------------------------------------------
def docker(arguments):
    match arguments:
        case ["image", "inspect", "--format", form, reference]:
            if reference not in pulled():
                stop_here(f"Error: No such image: {reference}")
            known = image_of(reference) or {}
            labels = {"org.opencontainers.image.revision": known.get("label", known.get("release"))}
            print(f"sha256:{reference[-64:]}" if "Id" in form else json.dumps(labels))
        case ["image", "rm", reference]:
            fault("rm")
            write(FOLDER / "pulled.json", [one for one in pulled() if one != reference])
        case ["pull", reference]:
            fault("pull")
            if image_of(reference) is None:
                stop_here(f"Error response from daemon: manifest for {reference} not found")
            write(FOLDER / "pulled.json", [*pulled(), reference])
        case ["ps", "-aq", "--no-trunc", *filters]:
            fault("ps")
            for one in containers():
                if all(matches(one, wanted) for wanted in filters[1::2]):
                    print(one["id"])
        case ["inspect", "--type", "container", *names]:
            found = [one for one in containers() if one["id"] in names]
            print(json.dumps([inspected(one) for one in found]))
        case ["start", name]:
            launch(find(name))
        case ["stop", "-t", _, name]:
            fault("stop")
            one = find(name)
            end(one)
            one.update(status="exited", pid=0)
            if one["service"] != "job":
                save(one)
        case ["rm", "-f", name]:
            one = find(name)
            end(one)
            (CONTAINERS / f"{one['id']}.json").unlink(missing_ok=True)
        case ["logs", "--tail", _, name]:
            sys.stderr.write(find(name)["log"] + "\n")
        case _:
            stop_here(f"stand-in: docker {arguments}", 97)


def matches(one, wanted):
    key, _, value = wanted.partition("=")
    if key == "name":
        return one["name"].startswith("optifit-rollout-")
    label, _, value = value.partition("=")
    oneoff = str(one["service"] == "job")
    return {"service": one["service"], "project": "optifit", "oneoff": oneoff}[
        label.rpartition(".")[2]
    ] == value


def inspected(one):
    status = one["status"]
    if status == "running" and not alive(one):
        status = "exited"
    return {
        "Id": one["id"],
        "Name": "/" + one["name"],
        "RestartCount": one.get("restarts", 0),
        "Config": {"Image": one["image"]},
        "Image": f"sha256:{one['image'][-64:]}",
        "State": {"Status": status, "ExitCode": one.get("exit", 0), "Error": ""},
        "NetworkSettings": {"Networks": {"optifit_inner": {"IPAddress": one["address"]}}},
    }


# --- compose --------------------------------------------------------------------------------------------
def compose(arguments):
    while arguments[0] in ("-f", "-p"):
        arguments = arguments[2:]
    match arguments:
        case ["up", "-d", "--no-deps", *services]:
            keep = "--no-recreate" in services
            for service in services:
                if service.startswith("-"):
                    continue
                fault(f"up-{service.partition('-')[0]}")
                up(service, keep=keep)
        case ["run", "--rm", "--no-deps", "-T", "--name", name, *rest]:
            while rest[0] == "-e":
                rest = rest[2:]
            job(name, rest[1:])
        case _:
            stop_here(f"stand-in: compose {arguments}", 97)


def up(service, *, keep):
    image = os.environ.get(f"{service.upper().replace('-', '_')}_IMAGE", "base")
    if image == "not-deployed":
        stop_here(f"pull access denied for {image}")
    before = [one for one in containers() if one["service"] == service]
    for one in before:
        if keep or one["image"] == image:
            if one["status"] != "running" or not alive(one):
                launch(one)
            return
        end(one)
        (CONTAINERS / f"{one['id']}.json").unlink()
    settings = read("settings.json", {})
    services = settings["services"]
    port = 8080 if service.startswith("frontend") else 8000
    address = f"{settings['network']}.{services.index(service) + 1}" if service in services else "127.0.0.1"
    one = {"id": os.urandom(16).hex(), "service": service, "image": image, "pid": 0, "status": "created"}
    one.update(name=f"optifit_{service}_1", address=address, port=port, log="")
    if service in services:
        launch(one)
    else:
        one.update(status="running", pid=os.getppid())
        save(one)


# --- the app's commands ---------------------------------------------------------------------------------
def job(name, arguments):
    image = os.environ["JOB_IMAGE"]
    behaves = image_of(image) or {}
    one = {
        "id": os.urandom(16).hex(),
        "service": "job",
        "image": image,
        "pid": os.getpid(),
        "status": "running",
    }
    one.update(name=name, address="", port=0, log="")
    save(one)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        append("calls.jsonl", {"job": arguments, "release": behaves.get("release")})
        if behaves.get("fault") == "no_start":
            stop_here("ModuleNotFoundError: No module named 'x'")
        fault(arguments[0] if arguments[0] != "releases" else arguments[1])
        run_job(behaves.get("release", ""), arguments)
    finally:
        (CONTAINERS / f"{one['id']}.json").unlink(missing_ok=True)


def option(arguments, name, default=""):
    return arguments[arguments.index(name) + 1] if name in arguments else default


def run_job(release, arguments):
    plain = option(arguments, "--format") != "json"
    facts = {}
    match arguments:
        case ["releases", "hold", *_]:
            hold(arguments)
            return
        case ["releases", "fail", name, *_]:
            append("ledger.jsonl", {"kind": "failed", "release": name, "step": option(arguments, "--step")})
        case ["predeploy", *_]:
            joined()
            append("ledger.jsonl", {"kind": "prepared", "release": release})
        case ["postdeploy", *_]:
            joined()
            append("ledger.jsonl", {"kind": "live", "release": release})
        case ["smoketest", url, *_]:
            smoke(url, option(arguments, "--release"))
        case ["rollback", "--dry-run", *_]:
            facts = read("plan.json", {})
        case ["rollback", *_]:
            joined()
            stage = option(arguments, "--stage")
            fault(f"rollback-{stage}")
            line = {"kind": f"back-{stage}", "release": option(arguments, "--release")}
            append("ledger.jsonl", {**line, "to": option(arguments, "--to")})
        case _:
            stop_here(f"stand-in: job {arguments}", 97)
    if plain:
        print(f"+ {arguments[0]}")
    else:
        print(json.dumps({"steps": [{"name": "plan", "facts": facts, "findings": []}]}))


def joined():
    if os.environ.get("DEPLOY_LOCK_TOKEN") != read("lock.json", {}).get("token"):
        stop_here("deploy.L060 not our lock", 75)


def hold(arguments):
    until = time.monotonic() + float(option(arguments, "--wait-for-lock", "0"))
    while (lock := read("lock.json", {})) and lock.get("until", 1e20) > time.time():
        if time.monotonic() >= until:
            stop_here("deploy.L001 held by another", 75)
        time.sleep(0.05)
    token = os.urandom(16).hex()
    write(FOLDER / "lock.json", {"token": token})
    print(
        json.dumps({"token": token, "release": option(arguments, "--release"), "ttl_seconds": 60}), flush=True
    )
    if sys.stdin.readline().strip() == "release":
        (FOLDER / "lock.json").unlink()
    else:
        write(FOLDER / "lock.json", {"token": token, "until": time.time() + TTL_SECONDS})


def smoke(url, release):
    if (image_of(os.environ["JOB_IMAGE"]) or {}).get("fault") == "smoke_fails" and "backend-" in url:
        stop_here("deploy.S050 The login page answers 500")
    import socket

    host = url.partition("://")[2].partition(":")[0]
    address = next((one["address"] for one in containers() if one["service"] == host), "")
    if not address:
        return
    with socket.create_connection((address, 8000), 5) as connection:
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.recv(65536).decode()
    if f"X-Release: {release}\r\n" not in answer:
        stop_here(f"deploy.S021 not release {release}")


def main(program, arguments):
    append("calls.jsonl", {program: arguments})
    {"docker": docker, "compose": compose}[program](arguments)


if __name__ == "__main__":
    serve(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
