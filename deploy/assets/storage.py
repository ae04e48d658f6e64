"""The storage behind `{% static %}`: hashed names out of the manifest that the release carries."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class HashedStaticFilesStorage(ManifestStaticFilesStorage):
    """`STORAGES["staticfiles"]["BACKEND"] = "deploy.assets.storage.HashedStaticFilesStorage"`.

    With DEBUG the names stay plain. Otherwise they come from `STATIC_ROOT/staticfiles.json` (written by
    `collectstatic` when the image is built) or, where there is none, from the manifest that `uploadstatic`
    recorded for this process's `RELEASE` in the static bucket.

    Args (`OPTIONS`):
        strict: a name that the manifest lacks raises ValueError; False gives the plain name instead, for
            test suites (Django turns DEBUG off in them): `"OPTIONS": {"strict": not DEBUG}`.
        javascript_modules: hash the paths in `import` and `export … from` of JavaScript modules too.
    """

    def __init__(
        self, *args: Any, strict: bool = True, javascript_modules: bool = False, **kwargs: Any
    ) -> None:
        self.manifest_strict = strict
        self.support_js_module_import_aggregation = javascript_modules
        self._looked_in_bucket = False
        super().__init__(*args, **kwargs)

    def read_manifest(self) -> Any:
        """The baked manifest's text, or None; a project without STATIC_ROOT has none."""
        return super().read_manifest() if self.location else None

    def stored_name(self, name: str) -> str:
        """The hashed name.

        Raises:
            ValueError: `strict`, and the manifest has no such file.
            deploy.buckets.base.BucketError: there is no baked manifest and the bucket did not answer.
        """
        if self.manifest_strict and not self.hashed_files and not self._looked_in_bucket:
            self.hashed_files = self._recorded_names()
            self._looked_in_bucket = True
        if not self.manifest_strict and urlsplit(unquote(name)).path.strip() not in self.hashed_files:
            return name
        return str(super().stored_name(name))

    def _recorded_names(self) -> dict[str, str]:
        from deploy import conf as configuration
        from deploy.assets.manifest import read_release_manifest
        from deploy.buckets import open_bucket

        conf, _ = configuration.read()
        if not conf.release:
            return {}
        manifest = read_release_manifest(open_bucket(conf.static_bucket), conf.release)
        return {path: entry.name for path, entry in manifest.files.items()} if manifest else {}
