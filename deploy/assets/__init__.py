"""Static files: hashed by Django's own machinery, sent once, and named by an immutable manifest a release.

`deploy.assets.storage` (for STORAGES) and `deploy.assets.urls` are imported from their own modules.
"""

from __future__ import annotations

from .manifest import MANIFEST_FOLDER, ReleaseManifest, read_release_manifest
from .plan import Asset, UploadPlan, plan_upload
from .upload import upload

__all__ = [
    "MANIFEST_FOLDER",
    "Asset",
    "ReleaseManifest",
    "UploadPlan",
    "plan_upload",
    "read_release_manifest",
    "upload",
]
