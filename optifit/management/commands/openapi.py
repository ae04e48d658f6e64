"""`manage.py openapi`: write the API's description to docs/openapi.json, or say whether it is the code's."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from optifit.api_document import current_document, document_path


class Command(BaseCommand):
    help = "Write the API's description to docs/openapi.json."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; exit 1 if it would change.")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        path, document = document_path(), current_document()
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != document:
                raise CommandError(
                    f"{path.name} is not what the code's API is.\n    hint: python manage.py openapi",
                    returncode=1,
                )
            return
        path.parent.mkdir(exist_ok=True)
        path.write_text(document, encoding="utf-8")
