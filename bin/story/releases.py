"""The four releases of the story: OptiFit as it is here, and what each one changes in it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from processes import StoryError


@dataclass(frozen=True)
class Edit:
    """Put `new` where `old` stands, which must be there exactly once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Release:
    """A release's name, what it brings in a sentence, and its changes to the one before."""

    name: str
    brings: str
    edits: tuple[Edit, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    base: Release | None = None


_CONTACT = '    contact = models.EmailField(blank=True, db_default="")\n'

RELEASE_A = Release("release-a", "OptiFit as it stands in this repository")

RELEASE_B = Release(
    "release-b",
    "ratings for feedback, training goals, an index built without blocking anybody",
    base=RELEASE_A,
    edits=(
        Edit(
            "optifit/models.py",
            _CONTACT,
            _CONTACT + "    rating = models.PositiveSmallIntegerField(null=True, blank=True)\n",
        ),
        Edit(
            "optifit/models.py",
            'models.Index(fields=["release", "-created"], name="optifit_feedback_release")]',
            'models.Index(fields=["release", "-created"], name="optifit_feedback_release"),\n'
            '            models.Index(fields=["created"], name="optifit_feedback_created")]',
        ),
        Edit(
            "optifit/models.py",
            "class Feedback(models.Model):\n",
            "class Goal(models.Model):\n"
            '    """What a user trains for."""\n\n'
            "    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)\n"
            "    text = models.CharField(max_length=200)\n"
            "    reached = models.DateTimeField(null=True, blank=True)\n\n"
            "    def __str__(self) -> str:\n"
            "        return self.text\n\n\n"
            "class Feedback(models.Model):\n",
        ),
    ),
    files=(
        (
            "optifit/migrations/0002_goal_feedback_rating.py",
            """
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("optifit", "0001_initial"),
    ]
    operations = [
        migrations.AddField(
            "feedback", "rating", models.PositiveSmallIntegerField(blank=True, null=True)
        ),
        migrations.CreateModel(
            name="Goal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.CharField(max_length=200)),
                ("reached", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
        ),
    ]
""",
        ),
        (
            "optifit/migrations/0003_feedback_created_index.py",
            """
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("optifit", "0002_goal_feedback_rating")]
    operations = [
        AddIndexConcurrently("feedback", models.Index(fields=["created"], name="optifit_feedback_created")),
    ]
""",
        ),
        ("optifit/static/optifit/goals.css", ".goal { font-weight: 600; }\n"),
    ),
)

RELEASE_C = Release(
    "release-c",
    "a language for feedback, NOT NULL and with a default that only Python knows",
    base=RELEASE_B,
    edits=(
        Edit(
            "optifit/models.py",
            _CONTACT,
            _CONTACT + '    language = models.CharField(max_length=8, default="en")\n',
        ),
    ),
    files=(
        (
            "optifit/migrations/0004_feedback_language.py",
            """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optifit", "0003_feedback_created_index")]
    operations = [
        migrations.AddField("feedback", "language", models.CharField(default="en", max_length=8)),
    ]
""",
        ),
    ),
)

RELEASE_D = Release(
    "release-d",
    "captions for images; its migration is good, its code has a typo in the list of images",
    base=RELEASE_B,
    edits=(
        Edit(
            "optifit/models.py",
            "    object_name = models.CharField(max_length=200, unique=True, editable=False)\n",
            "    object_name = models.CharField(max_length=200, unique=True, editable=False)\n"
            '    caption = models.CharField(max_length=200, blank=True, db_default="")\n',
        ),
        Edit(
            "optifit/api/images.py",
            "images = Image.objects.filter(owner=_owner(request))",
            'images = Image.objects.filter(owner=_owner(request)).order_by("caption_text")',
        ),
    ),
    files=(
        (
            "optifit/migrations/0004_image_caption.py",
            """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optifit", "0003_feedback_created_index")]
    operations = [
        migrations.AddField("image", "caption", models.CharField(blank=True, db_default="", max_length=200)),
    ]
""",
        ),
    ),
)


def build(release: Release, *, source: Path, target: Path) -> None:
    """Make the release's source tree in `target`: what a build would put into an image.

    Raises:
        StoryError: when the code here no longer has the line that an edit starts from.
    """
    if release.base is not None:
        build(release.base, source=source, target=target)
    else:
        target.mkdir(parents=True)
        shutil.copy2(source / "manage.py", target)
        (target / "docs").mkdir()
        shutil.copy2(source / "docs" / "openapi.json", target / "docs")
        for folder in ("deploy", "optifit"):
            shutil.copytree(source / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in release.edits:
        path = target / edit.path
        text = path.read_text()
        if text.count(edit.old) != 1:
            raise StoryError(
                f"{release.name}: {edit.path} has {text.count(edit.old)} places like {edit.old!r}"
            )
        path.write_text(text.replace(edit.old, edit.new))
    for name, content in release.files:
        (target / name).write_text(content.lstrip("\n"))
