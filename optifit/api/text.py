"""Text from outside, held to what the database can store. For `Annotated[str, …]`, after constraints."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from pydantic import AfterValidator


def _encodable(text: str) -> str:
    # JSON can escape half of a surrogate pair ("\ud800"); no encoding has bytes for that.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("This is not valid Unicode.") from None
    return text


def _storable(text: str) -> str:
    # PostgreSQL's text has no NUL character: https://www.postgresql.org/docs/current/datatype-character.html
    if "\x00" in text:
        raise ValueError("The NUL character is not allowed.")
    return _encodable(text)


def _email(text: str) -> str:
    if _storable(text):
        try:
            validate_email(text)
        except ValidationError:
            raise ValueError("This is not an e-mail address.") from None
    return text


ENCODABLE = AfterValidator(_encodable)
STORABLE = AfterValidator(_storable)
EMAIL = AfterValidator(_email)
