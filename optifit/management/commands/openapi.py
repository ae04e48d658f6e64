"""`manage.py openapi`: write the API's description to docs/openapi.json."""

from typing import Any

from django.core.management.base import BaseCommand

from optifit.api_document import current_document, document_path


class Command(BaseCommand):
    help = "Write the API's description to docs/openapi.json. `check --deploy` tells when it has to be."

    def handle(self, *args: Any, **options: Any) -> None:
        path = document_path()
        path.parent.mkdir(exist_ok=True)
        path.write_text(current_document(), encoding="utf-8")
        self.stdout.write(f"{path} written")
