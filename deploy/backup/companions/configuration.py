"""The configuration beside the data: what this process runs with, in one file, without a secret."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import distributions
from typing import Any

from deploy import conf_effective
from deploy.backup.manifest import Companion
from deploy.buckets import open_bucket
from deploy.buckets.base import BucketError
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.report import Step

from . import Folder
from .concealment import Concealment
from .configuration_files import KeptFile, keep_files
from .settings_tree import as_tree, learn_secrets

KIND = "configuration"
FILE = "configuration.json.zst"
SCHEMA = 1

STATE_UNKNOWN = FindingType(
    "deploy.B067",
    "warning",
    "The generation of the Terraform state {url} could not be noted: {reason}.",
    "gcloud storage objects describe {url}",
)


class ConfigurationKeeper:
    """Keeps settings, versions, files and the state's generation (see `Keeper`)."""

    kind = KIND

    def __init__(self, conf: DeployConf) -> None:
        self._conf = conf

    def keep(self, folder: Folder, step: Step) -> Companion:
        """Never stops a backup: what is missing is a finding."""
        moment = datetime.now(UTC)
        document, findings = gather(self._conf)
        document["moment"] = moment.isoformat()
        step.extend(findings)
        part = folder.store(FILE, _pieces(document))
        facts = {
            "settings": len(document["settings"]),
            "packages": len(document["packages"]),
            "files": len(document["files"]),
            "image": document["image"],
            "terraform_generation": (document["terraform_state"] or {}).get("generation"),
        }
        return Companion(KIND, moment, part, facts)


def gather(conf: DeployConf) -> tuple[dict[str, Any], list[Finding]]:
    """What this process runs with, and what could not be found out.

    Returns:
        `schema`, `project`, `environment`, `release`, `image`, `python`, `packages` (version by name),
        `settings` and `deploy` (as trees, a secret is `{"secret": VERSION}`), `files` (by path: `text`,
        `size_bytes`, `mode`), `terraform_state` (`url`, `generation`, `updated`, `size_bytes`, or None).
    """
    settings = conf_effective.every_setting()
    conceal = Concealment(
        conf_effective.hidden_pattern(), conf.backup.secret_versions, conf_effective.environment_variables()
    )
    for name, value in settings.items():
        learn_secrets(conceal, name, value)
    effective = asdict(conf)
    for name, value in effective.items():
        learn_secrets(conceal, name, value)
    findings: list[Finding] = []
    files: dict[str, Any] = {}
    for kept in keep_files(conf.base_dir, conf.backup.configuration_files, conceal):
        if isinstance(kept, KeptFile):
            files[kept.path] = {"text": kept.text, "size_bytes": kept.size_bytes, "mode": f"{kept.mode:04o}"}
        else:
            findings.append(kept)
    state = _terraform_state(conf.backup.terraform_state, findings)
    document = {
        "schema": SCHEMA,
        "project": conf.project,
        "environment": conf.environment,
        "release": conf.release or "",
        "image": conf.image,
        "python": platform.python_version(),
        "packages": packages(),
        "settings": {name: as_tree(conceal, (name,), value) for name, value in settings.items()},
        "deploy": {name: as_tree(conceal, (name,), value) for name, value in effective.items()},
        "files": files,
        "terraform_state": state,
    }
    return document, findings


def packages() -> dict[str, str]:
    """Version by name of every installed distribution."""
    # Each look at `metadata` (and at `version`) reads and parses the whole file again.
    every = (one.metadata for one in distributions())
    found = {str(metadata["Name"]): str(metadata["Version"]) for metadata in every if metadata["Name"]}
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def _terraform_state(url: str, findings: list[Finding]) -> dict[str, Any] | None:
    """Only which generation it is: the state itself holds secrets."""
    if not url:
        return None
    bucket_url, _, name = url.rpartition("/")
    try:
        info = open_bucket(bucket_url).stat(name)
    except (BucketError, Refusal) as error:
        reason = error.findings[0].message.rstrip(".") if isinstance(error, Refusal) else str(error)
        findings.append(STATE_UNKNOWN(url=url, reason=reason, place=url))
        return None
    if info is None:
        findings.append(STATE_UNKNOWN(url=url, reason="it is not there", place=url))
        return None
    return {
        "url": url,
        "generation": info.generation,
        "updated": info.updated.isoformat(),
        "size_bytes": info.size_bytes,
    }


def _pieces(document: dict[str, Any]) -> Iterator[bytes]:
    yield json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
