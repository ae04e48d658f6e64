"""Fills OptiFit's database with data of a realistic shape. Run inside a release's folder.

Prints one JSON object: the number of rows by table.
"""

from __future__ import annotations

import json
import os
import random
import sys
from datetime import UTC, datetime, timedelta

USERS, FEEDBACK, TOKENS = 5_000, 45_000, 10_000
_WORDS = ("squat", "push", "run", "rest", "plan", "photo", "sync", "slow", "great", "crash", "Größe", "体重")


def main() -> None:
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 – the release's folder, as python -m would do
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "optifit.settings")
    import django

    django.setup()
    from django.contrib.auth.models import User

    from optifit.models import ApiToken, Feedback

    dice = random.Random(4711)  # noqa: S311 – the same data in every run, no secret
    now = datetime.now(UTC)

    def text(words: int) -> str:
        return " ".join(dice.choices(_WORDS, k=words))

    users = User.objects.bulk_create(
        [User(username=f"user{n}", email=f"user{n}@example.com", password="!") for n in range(USERS)],  # noqa: S106 – unusable
        batch_size=2_000,
    )
    Feedback.objects.bulk_create(
        (
            Feedback(
                message=text(dice.randint(3, 60)),
                release=dice.choice(["release-a", ""]),
                contact=f"user{n}@example.com" if n % 5 == 0 else "",
                user=dice.choice(users) if n % 3 else None,
            )
            for n in range(FEEDBACK)
        ),
        batch_size=5_000,
    )
    ApiToken.objects.bulk_create(
        (
            ApiToken(
                user=dice.choice(users),
                digest=f"{dice.getrandbits(256):064x}",
                expires=now + timedelta(days=n % 30),
            )
            for n in range(TOKENS)
        ),
        batch_size=5_000,
    )
    print(json.dumps({model._meta.db_table: model.objects.count() for model in (User, Feedback, ApiToken)}))


if __name__ == "__main__":
    main()
