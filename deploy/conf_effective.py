"""What this process runs with, read out whole: every setting, and what the environment hides.

Values are as they are: whoever writes them anywhere conceals the secrets in them first.
"""

from __future__ import annotations

import os
import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def every_setting() -> dict[str, Any]:
    """Every setting by name, Django's defaults included; None for one that Django refuses to give."""
    found: dict[str, Any] = {}
    for name in sorted(set(dir(settings))):
        if name.isupper():
            try:
                found[name] = getattr(settings, name)
            except ImproperlyConfigured:  # an empty SECRET_KEY
                found[name] = None
    return found


def hidden_pattern() -> re.Pattern[str]:
    """The names whose values Django's own error pages hide, as the project has set it up."""
    from django.views.debug import get_default_exception_reporter_filter

    pattern: re.Pattern[str] = get_default_exception_reporter_filter().hidden_settings
    return pattern


def environment_variables() -> dict[str, str]:
    """All of them."""
    return dict(os.environ)
