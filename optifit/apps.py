"""The Django application of OptiFit's own models, admin and API."""

from django.apps import AppConfig
from django.db.models.signals import post_delete


class OptifitConfig(AppConfig):
    name = "optifit"
    verbose_name = "OptiFit"

    def ready(self) -> None:
        from .image_store import forget_object
        from .models import Image

        post_delete.connect(forget_object, sender=Image, dispatch_uid="optifit.forget_object")
