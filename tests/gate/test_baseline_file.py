"""The baseline file of an old project: what it answers for, when an entry ends, and how it is written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.gate import write_baseline
from deploy.gate.graph.plan import load
from deploy.gate.static.baseline_file import path_of
from deploy.gate.static.check import check
from deploy.gate.static.edited import sources
from deploy.gate.static.judgement import GateReport
from deploy.reporting.findings import Refusal

from .project import Shop, conf

INDEX = 'migrations.AddIndex("order", models.Index(fields=["total"], name="total_idx"))'
TRUNCATE = 'migrations.RunSQL("TRUNCATE shop_order", migrations.RunSQL.noop)'


def judged(app: Shop, alias: str, *, baseline: bool = True) -> GateReport:
    here = conf(base_dir=app.root)
    return check(here, alias=alias, deployed=None, everything=True, baseline=baseline)


def levels(report: GateReport) -> dict[tuple[str | None, str], str]:
    return {(one.place, one.id): one.level for one in report.findings if one.id != "deploy.M009"}


def baseline(app: Shop, alias: str) -> Path:
    _, path = write_baseline(conf(base_dir=app.root), judged(app, alias, baseline=False))
    return path


def test_what_is_in_the_baseline_is_information_and_what_is_new_is_not(app: Shop, live: str) -> None:
    app.write("0002_index", INDEX)
    app.write("0003_truncate", TRUNCATE)
    path = baseline(app, live)
    assert path == app.root / "deploy-gate-baseline.json"
    app.write("0004_truncate", TRUNCATE)
    report = judged(app, live)
    assert levels(report) == {
        ("shop.0002_index", "deploy.M010"): "info",
        ("shop.0003_truncate", "deploy.M018"): "info",
        ("shop.0004_truncate", "deploy.M018"): "error",
    }
    assert "In the baseline deploy-gate-baseline.json." in str(report.findings)


def test_the_command_reports_what_it_has_written_as_known(app: Shop, live: str) -> None:
    app.write("0002_truncate", TRUNCATE)
    found, _ = write_baseline(conf(base_dir=app.root), judged(app, live, baseline=False))
    assert levels(found) == {("shop.0002_truncate", "deploy.M018"): "info"}


def test_is_sorted_and_has_a_line_for_each_finding(app: Shop, live: str) -> None:
    app.write("0002_truncate", f"{INDEX}, {TRUNCATE}")
    text = baseline(app, live).read_text()
    assert [entry["id"] for entry in json.loads(text)["findings"]] == ["deploy.M010", "deploy.M018"]
    assert sum('"migration": "shop.0002_truncate"' in line for line in text.splitlines()) == 2
    assert baseline(app, live).read_text() == text


def test_holds_no_declaration_that_is_wrong(app: Shop, live: str) -> None:
    drop = 'migrations.RemoveField("order", "paid")'
    head = 'from deploy.gate import phase\n\n\n@phase("expand")'
    app.write("0002_drop", drop, head=head)
    path = baseline(app, live)
    assert levels(judged(app, live))["shop.0002_drop", "deploy.M084"] == "error"
    document = json.loads(path.read_text())
    assert "deploy.M084" not in {entry["id"] for entry in document["findings"]}
    source = sources(load(None).disk_migrations)["shop.0002_drop"]
    entry = {"migration": "shop.0002_drop", "id": "deploy.M084", "source": source}
    path.write_text(json.dumps({"schema": 1, "findings": [entry]}))  # by hand
    found = levels(judged(app, live))
    assert found["shop.0002_drop", "deploy.M084"] == "error"
    assert found["shop.0002_drop", "deploy.M087"] == "warning"


def test_an_edited_migration_is_judged_again(app: Shop, live: str) -> None:
    app.write("0002_truncate", TRUNCATE)
    path = baseline(app, live)
    file = app.root / app.package / "migrations" / "0002_truncate.py"
    file.write_text(f"{file.read_text()}\n# a note\n")
    assert levels(judged(app, live)) == {("shop.0002_truncate", "deploy.M018"): "info"}
    file.write_text(file.read_text().replace("TRUNCATE shop_order", "TRUNCATE shop_order, shop_customer"))
    assert levels(judged(app, live)) == {
        ("shop.0002_truncate", "deploy.M018"): "error",
        ("shop.0002_truncate", "deploy.M087"): "warning",
    }
    assert path.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"migration": "shop.0099_gone"}, "there is no such migration"),
        ({"id": "deploy.M012"}, "not found any more"),
    ],
)
def test_an_entry_that_stands_for_nothing_is_reported(
    app: Shop, live: str, change: dict[str, str], says: str
) -> None:
    app.write("0002_index", INDEX)
    path = baseline(app, live)
    document = json.loads(path.read_text())
    document["findings"].append(document["findings"][0] | change)
    path.write_text(json.dumps(document))
    (finding,) = [one for one in judged(app, live).findings if one.id == "deploy.M087"]
    assert (finding.level, says in finding.message) == ("warning", True)


def test_what_cannot_work_gets_into_no_baseline(app: Shop, live: str) -> None:
    app.write("0002_index", 'AddIndexConcurrently("order", models.Index(fields=["total"], name="i"))')
    assert json.loads(baseline(app, live).read_text())["findings"] == []
    assert levels(judged(app, live)) == {("shop.0002_index", "deploy.M020"): "error"}


def test_a_part_that_is_judged_leaves_the_rest_of_the_file(app: Shop, live: str) -> None:
    app.write("0002_truncate", TRUNCATE)
    path = baseline(app, live)
    only = check(conf(base_dir=app.root), alias=live, deployed=None, baseline=False)
    assert only.pending == (("shop", "0002_truncate"),)
    write_baseline(conf(base_dir=app.root), GateReport((), (), (), (), ""))
    assert len(json.loads(path.read_text())["findings"]) == 1
    write_baseline(conf(base_dir=app.root), GateReport(only.pending, (), (), (), ""))
    assert json.loads(path.read_text())["findings"] == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 2, "findings": []}', '{"schema": 1}', '{"schema": 1, "findings": [1]}'],
)
def test_a_file_that_is_none_is_refused(app: Shop, live: str, text: str) -> None:
    path_of(conf(base_dir=app.root)).write_text(text)
    with pytest.raises(Refusal) as caught:
        judged(app, live)
    assert ([one.id for one in caught.value.findings], caught.value.exit_code) == (["deploy.M088"], 2)


def test_a_folder_that_is_not_there_is_a_finding(app: Shop, live: str) -> None:
    with pytest.raises(Refusal) as caught:
        write_baseline(conf(base_dir=app.root), judged(app, live), app.root / "none" / "x.json")
    (finding,) = caught.value.findings
    assert finding.id == "deploy.M088"
    assert "No such file or directory" in finding.message


WRITE = """
import sys
from pathlib import Path
from deploy.gate.static.baseline_file import _replace
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in "ab":
        _replace(path, letter * 200_000)
"""


def test_a_kill_and_a_second_writer_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    for _ in range(5):
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True, env=environment
            )
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        time.sleep(0.05)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        text = path.read_text()
        assert (len(text), len(set(text))) == (200_000, 1)
