"""`deploy` is a package of its own: it builds, with everything in it, and works where it is installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("optifit_deploy-*-py3-none-any.whl")
    return path


def test_the_wheel_has_every_file_of_the_package(wheel):
    expected = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "deploy").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert "deploy/py.typed" in packed
    assert packed == expected


def test_the_wheel_works_where_it_is_installed(wheel, tmp_path):
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--target", str(site), str(wheel)], check=True, timeout=120)
    code = (
        "import deploy, sys; from django.conf import settings; import django; "
        "settings.configure(INSTALLED_APPS=['deploy']); django.setup(); "
        "from django.core.management import get_commands; "
        "print(deploy.__file__); print(get_commands()['releases'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [str(site / "deploy" / "__init__.py"), "deploy"]
