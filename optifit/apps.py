"""The Django application of OptiFit's own models, admin and API."""

from django.apps import AppConfig
from django.core import checks


class OptifitConfig(AppConfig):
    name = "optifit"
    verbose_name = "OptiFit"

    def ready(self) -> None:
        from .api_document import check_committed_document

        # Asked for by `check --deploy` only: building the document costs every other start too much.
        checks.register(check_committed_document, checks.Tags.compatibility, deploy=True)
