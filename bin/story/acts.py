"""The five acts of the demo."""

from __future__ import annotations

import json

from images import image_of, upload
from processes import StoryError, console, output, python
from releases import RELEASE_A, RELEASE_B, RELEASE_C, RELEASE_D
from stage import Stage

_IMAGES = 12


class Story(Stage):
    """Each act raises StoryError when it does not end as told."""

    def act_1(self) -> None:
        """Release A is deployed on nothing."""
        with self._act("1  first release", RELEASE_A) as act:
            self._build(RELEASE_A)
            self._manage(RELEASE_A, "predeploy")
            self._manage(
                RELEASE_A,
                "createsuperuser", "--noinput", "--username", "smoke", "--email", "smoke@example.com",
            )  # fmt: skip
            self._stage_and_smoke(RELEASE_A)
            self._switch(RELEASE_A)
            self._manage(RELEASE_A, "postdeploy")
            self.visitors.__enter__()
            act.told = "proved, smoked, live"

    def act_2(self) -> None:
        """Data arrives."""
        with self._act("2  data arrives", None) as act:
            rows = json.loads(
                output(
                    [python(), str(self.root / "bin/story/populate.py")],
                    cwd=self._home(RELEASE_A),
                    env=self._env_of(RELEASE_A),
                )
            )
            total = sum(rows.values())
            if total < 50_000:
                raise StoryError(f"only {total} rows arrived")
            self._rows = total
            token = self._sign_in()
            for number in range(_IMAGES):
                upload(self.port, token, f"plan-{number}.png", image_of(number))
            stored = sum(1 for path in (self.demo / "media").rglob("*") if path.is_file())
            if stored != _IMAGES:
                raise StoryError(f"{stored} images are stored, not {_IMAGES}")
            for table, count in rows.items():
                console.print(f"  {count:>7,} rows in {table}")
            console.print(f"  {stored:>7,} images uploaded through the API")
            act.told = f"{total:,} rows and {stored} images"

    def act_3(self) -> None:
        """Release B: good migrations."""
        with self._act("3  good migrations", RELEASE_B) as act:
            self._build(RELEASE_B)
            self._manage(RELEASE_B, "predeploy")
            backed_up = self._json("backups", "list")["backups"][0]["rows"]
            if backed_up < self._rows:
                raise StoryError(f"the proved backup has {backed_up} rows of {self._rows}")
            self._expect_live("release-a")
            self._stage_and_smoke(RELEASE_B)
            self._switch(RELEASE_B)
            self._manage(RELEASE_B, "postdeploy")
            self._expect_live("release-b")
            act.told = "proved on the restored backup, switched, live"

    def act_4(self) -> None:
        """Release C: the gate says no."""
        with self._act("4  unsafe migration", RELEASE_C) as act:
            self._build(RELEASE_C)
            before = self._columns("optifit_feedback")
            self._manage(RELEASE_C, "predeploy", expect=(1,))
            if self._columns("optifit_feedback") != before:
                raise StoryError("the refused release changed the database")
            self._expect_live("release-b")
            status = self._releases()["release-c"]
            if status["status"] != "failed" or "deploy.M" not in str(status["why"]):
                raise StoryError(f"release-c is recorded as {status['status']} because of {status['why']}")
            act.told = f"refused ({status['why']}); release-b has not noticed"

    def act_5(self) -> None:
        """Release D: fails its smoke test, and goes back by itself."""
        with self._act("5  failed smoke test", RELEASE_D) as act:
            self._build(RELEASE_D)
            self._manage(RELEASE_D, "predeploy")
            if self._stage_and_smoke(RELEASE_D, expect=(0, 1)) == 0:
                raise StoryError("release-d passed its smoke test")
            # This is what a deploy script does on a failed smoke test, without asking anybody.
            self._manage(RELEASE_D, "rollback", "--release", "release-d", "--reason", "its smoke test failed")
            self.servers.stop("release-d staged")
            self._expect_live("release-b")
            self._manage(RELEASE_B, "smoketest", f"http://127.0.0.1:{self.port}/", "--release", "release-b")
            self._manage(RELEASE_B, "releases", "list")
            told = {name: row["status"] for name, row in self._releases().items()}
            wanted = {
                "release-a": "superseded",
                "release-b": "live",
                "release-c": "failed",
                "release-d": "rolled-back",
            }
            if told != wanted:
                raise StoryError(f"the ledger says {told}")
            act.told = "failed its smoke test, rolled back by itself; release-b is live"

    def close_the_doors(self) -> None:
        """The visitors leave; none of them may have noticed anything."""
        self.visitors.__exit__()
        if self.visitors.failures:
            raise StoryError(f"{len(self.visitors.failures)} visitors failed: {self.visitors.failures[0]}")
        seen = set(self.visitors.answered)
        if seen != {"release-a", "release-b"}:
            raise StoryError(f"visitors were answered by {', '.join(sorted(seen))}")
