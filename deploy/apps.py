"""The Django application. Kept almost empty: every `manage.py` start pays for what is imported here."""

from django.apps import AppConfig


class DeployConfig(AppConfig):
    """`INSTALLED_APPS += ["deploy"]`. It has no models and no migrations of its own."""

    name = "deploy"
    verbose_name = "Deploy"
