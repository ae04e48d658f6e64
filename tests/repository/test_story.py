"""bin/story: what the demo does when it doesn't go as told."""

import os
import subprocess
import sys
from pathlib import Path

STORY = Path(__file__).parents[2] / "bin" / "story"
SCRIPT = """
import sys
sys.path[:0] = [sys.argv[1]]
import runpy
from pathlib import Path
told = runpy.run_path(sys.argv[1] + "/__main__.py", run_name="story")
perform = told["perform"]
scope = perform.__globals__
from deploy.databases import embedded
stopped = []
embedded.start = lambda data, keep_running: Path("/nonexistent")
embedded.stop = stopped.append
scope["DEMO"] = Path(sys.argv[2])
class Story(scope["Story"]):
    def _create_database(self, socket_dir): pass
    def act_1(self):
        with self._act("1  first release", None):
            raise {error}
scope["Story"] = Story
code = perform(keep=False)
print("code", code, "stopped", len(stopped))
"""


def tell(tmp_path: Path, error: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{error}", error), str(STORY), str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_COLOR": "1"},
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout.splitlines()[-1] == "code 1 stopped 1"
    return done.stdout


def test_an_act_that_fails_before_the_visitors_come_is_told_and_everything_is_ended(tmp_path: Path) -> None:
    assert "NOT as told: predeploy ended with 2" in tell(
        tmp_path, "scope['StoryError']('predeploy ended with 2')"
    )


def test_control_c_in_the_first_act_ends_everything(tmp_path: Path) -> None:
    assert "NOT as told: interrupted" in tell(tmp_path, "KeyboardInterrupt")
