"""The images of the tests: one Debian for everything, and the real Dockerfiles on it."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.e2e import bundle
from tests.e2e.engine import CACHE, SEARCH_PATH, Engine, EngineError

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# One image for the backend's base, for the proxy and for the database: its server and client are both 15.
PACKAGES = ("ca-certificates", "caddy", "postgresql", "postgresql-client", "python3", "python3-venv", "wget")
# Documentation, and PostgreSQL's compiler of expressions, which is a quarter of the image.
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/lib/*/libLLVM*",
    "/usr/lib/*/libz3*",
    "/usr/lib/postgresql/*/lib/bitcode/*",
    "/usr/lib/postgresql/*/lib/llvmjit*",
)
# What this machine trusts: where TLS passes through a company's proxy, builds have to trust that one too.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
FIRST_RELEASE = "e2e-1"


def base(engine: Engine) -> str:
    """The tag of the Debian that stands in for the official images, made once on this machine."""
    recipe = repr((SUITE, MIRROR, PACKAGES, LEFT_OUT)).encode() + CERTIFICATES.read_bytes()
    key = hashlib.sha256(recipe).hexdigest()[:12]
    tag = f"optifit-base:{key}"
    if not engine.docker("images", "--quiet", tag):
        engine.docker("import", str(_debian(key)), tag)
    return tag


def _debian(key: str) -> Path:
    """The root file system as a tar file; sessions that start together make it once."""
    archive = CACHE / f"debian-{key}.tar"
    with (CACHE / "debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.is_file():
            return archive
        partial = archive.with_suffix(".partial.tar")
        command = ["mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(PACKAGES)}"]
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
        command += ["--dpkgopt=force-unsafe-io"]
        command += [f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}"]
        command += [SUITE, str(partial), MIRROR]
        done = subprocess.run(
            command, env={"PATH": SEARCH_PATH}, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            raise EngineError(f"mmdebstrap exited with {done.returncode}:\n{done.stderr[-4000:]}")
        return partial.rename(archive)


def backend(engine: Engine, *, release: str = FIRST_RELEASE) -> str:
    """The tag of the real `docker/backend.Dockerfile`'s image."""
    return engine.build(
        ROOT / "docker" / "backend.Dockerfile",
        f"optifit-backend:{release}",
        context=ROOT,
        BASE_IMAGE=base(engine),
        RELEASE=release,
        SOURCE="https://git.invalid/optifit",
        VERSION="1.2.3",
        CREATED="2026-01-02T03:04:05Z",
    )


def frontend(engine: Engine, folder: Path, *, release: str = FIRST_RELEASE) -> str:
    """The tag of the real `docker/frontend.Dockerfile`'s image with a small bundle, made in `folder`."""
    for name in ("docker/frontend.Dockerfile", "docker/frontend.Dockerfile.dockerignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "docker" / "caddy", folder / "docker" / "caddy", dirs_exist_ok=True)
    bundle.write(folder / "frontend" / "build" / "web", release=release)
    return engine.build(
        folder / "docker" / "frontend.Dockerfile",
        f"optifit-frontend:{release}",
        context=folder,
        BUNDLE="ready",
        CADDY_IMAGE=base(engine),
        RELEASE=release,
        SOURCE="https://git.invalid/optifit-frontend",
        VERSION="1.2.3",
        CREATED="2026-01-02T03:04:05Z",
    )
