"""Text from outside, held to what the database can store."""

from __future__ import annotations

from typing import Annotated

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from pydantic import AfterValidator


def _without_nul(text: str) -> str:
    # PostgreSQL's text has no NUL character: https://www.postgresql.org/docs/current/datatype-character.html
    if "\x00" in text:
        raise ValueError("The NUL character is not allowed.")
    return text


def _email(text: str) -> str:
    if text:
        try:
            validate_email(text)
        except ValidationError:
            raise ValueError("This is not an e-mail address.") from None
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
Email = Annotated[Text, AfterValidator(_email)]
