"""Retention's rules, by example and by properties over random ages."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy import backup
from deploy.backup.manifest import Companion, Manifest, Part, Proof
from deploy.backup.naming import Identity, new_id
from deploy.backup.policy import Policy
from deploy.conf import DeployConf

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday


def made(conf: DeployConf, name: str, at: datetime, grade: int | None = None) -> Manifest:
    return Manifest(
        id=new_id(at, "v"),
        project=conf.project,
        environment=conf.environment,
        database=name,
        engine="postgresql",
        server_version="18.0",
        client_version="18",
        release="v",
        created=at,
        duration_seconds=1.0,
        parts=(Part("archive.dump.zst", 2, 7, 7, "0" * 64, "AAAAAA=="),),
        tables={},
        proofs=() if grade is None else (Proof(grade, at, 1.0, "me"),),
        generation=1,
    )


def reasons(policy: Policy, *ages: timedelta) -> list[list[str]]:
    return policy.reasons([NOW - age for age in ages], NOW)


def test_the_newest_of_each_period_that_has_one() -> None:
    days = [timedelta(hours=hours) for hours in (1, 5, 24, 24 * 9, 24 * 10)]

    assert reasons(Policy(1, daily=3), *days) == [
        ["one of the 1 newest", "newest of day 2026-11-25"],
        [],
        ["newest of day 2026-11-24"],
        ["newest of day 2026-11-16"],  # days without a backup don't count
        [],
    ]


def test_weeks_are_those_of_iso_8601() -> None:
    policy = Policy(1, weekly=3)
    times = [
        datetime(2027, 1, 3, 23, tzinfo=UTC),
        datetime(2026, 12, 28, tzinfo=UTC),
        datetime(2026, 12, 27, 23, tzinfo=UTC),
    ]

    found = policy.reasons(times, times[0])

    assert [one[-1] if one else "" for one in found] == [
        "newest of week 2026-W53",
        "",
        "newest of week 2026-W52",
    ]


def test_months_years_and_days_of_age() -> None:
    found = reasons(Policy(1, days=2, monthly=2, yearly=9), *(timedelta(days=n) for n in (0, 2, 3, 40, 400)))

    assert found == [
        ["one of the 1 newest", "of the last 2 days", "newest of month 2026-11", "newest of year 2026"],
        ["of the last 2 days"],
        [],
        ["newest of month 2026-10"],
        ["newest of year 2025"],
    ]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_policy_and_the_ages(conf: DeployConf, live: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 – the same cases in every run
    for _ in range(60):
        hold_the_invariants(conf, live, chance)


def hold_the_invariants(conf: DeployConf, live: str, chance: random.Random) -> None:
    policy = Policy(chance.randint(-1, 5), *(chance.choice([0, 0, 1, 3, 10]) for _ in range(5)))
    ours = [
        made(
            conf,
            live,
            NOW - timedelta(seconds=chance.expovariate(1 / (40 * 86400))),
            chance.choice([None, None, 0, 1, 2, 3]),
        )
        for _ in range(chance.randint(0, 60))
    ]
    theirs = [replace(one, environment="other") for one in ours[:3]]
    pinned = {one.id for one in chance.sample(ours, min(2, len(ours)))}
    given = [*ours, *theirs]
    chance.shuffle(given)

    plan = backup.plan_prune(conf, given, policy, pinned, now=NOW)

    newest_first = sorted(ours, key=lambda one: (one.created, one.id), reverse=True)
    going = {decision.id for decision in plan.going}
    assert len(plan.decisions) == len(given)
    assert all(decision.reasons for decision in plan.decisions)
    # What must never go.
    assert not going & pinned
    assert not going & {one.id for one in newest_first[: max(1, policy.keep)]}
    for grade in range(4):
        assert not going & {
            next((one.id for one in newest_first if one.grade is not None and one.grade >= grade), "")
        }
    assert not going & {one.id for one in ours if policy.days and NOW - one.created <= timedelta(policy.days)}
    # Only what is planned is touched, and only of this database.
    prefix = Identity(conf.project, conf.environment, live).prefix
    assert all(name.startswith(prefix) and generation for d in plan.going for name, generation in d.objects)
    assert all(not decision.objects for decision in plan.decisions if not decision.goes)
    # A second prune right after the first finds nothing more: no rule counted what went.
    left = [one for one in ours if one.id not in going]
    assert backup.plan_prune(conf, left, policy, pinned, now=NOW).going == ()
    # More is asked for, never less is kept.
    wider = replace(policy, keep=policy.keep + 3, days=policy.days + 5, daily=policy.daily + 2)
    assert {d.id for d in backup.plan_prune(conf, ours, wider, pinned, now=NOW).going} <= going


def test_what_a_backup_names_elsewhere_is_said_and_left(conf: DeployConf, live: str) -> None:
    new, old = (made(conf, live, NOW - timedelta(days=days)) for days in (0, 90))
    export = Companion("firestore-managed", NOW, None, {"uri": "gs://exports/x"})

    failed = Companion("cloudsql", NOW, None, {"state": "failed", "reason": "HTTP 403"})
    inner = Companion("media", NOW, None, {"state": "failed", "uri": "gs://media"})

    kept = (export, failed, inner)
    plan = backup.plan_prune(conf, [new, replace(old, companions=kept)], Policy(1), set(), now=NOW)

    assert [finding.id for finding in plan.findings] == ["deploy.B056"]
    assert plan.findings[0].message.endswith(" stays: firestore-managed gs://exports/x.")
