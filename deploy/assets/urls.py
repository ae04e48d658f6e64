"""`path("", include("deploy.assets.urls"))`: serves STATIC_URL; empty when that is another host's address."""

from __future__ import annotations

import re

from django.conf import settings
from django.urls import URLPattern, re_path
from django.urls.base import get_script_prefix

from .serve import serve_static


def _patterns() -> list[URLPattern]:
    url = settings.STATIC_URL or ""
    if not url.startswith("/") or url.startswith("//") or url == "/":
        return []
    below = re.escape(url.removeprefix(get_script_prefix()).lstrip("/"))
    return [re_path(rf"^{below}(?P<path>.+)$", serve_static, name="deploy-static")]


urlpatterns = _patterns()
