"""What OptiFit stores: bearer tokens, images and feedback, beside Django's own users."""

from __future__ import annotations

import hashlib
import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class ApiToken(models.Model):
    """A bearer token. Only the SHA-256 of it is here: whoever reads the table or a backup cannot sign in.

    A plain SHA-256 is enough because the token is 256 random bits, not a password.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created = models.DateTimeField(db_default=Now(), editable=False)
    expires = models.DateTimeField(editable=False)
    revoked = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created", "-pk"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"token {self.pk} of user {self.user_id}"

    @staticmethod
    def digest_of(token: str) -> str:
        """What is stored of `token`: 64 hexadecimal digits."""
        return hashlib.sha256(token.encode()).hexdigest()


class SignInAttempt(models.Model):
    """An attempt that has not succeeded (yet); counted to slow down guessing. No name or address is kept."""

    key = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["key", "at"], name="optifit_attempt_key_at"),
            models.Index(fields=["at"], name="optifit_attempt_at"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.pk} at {self.at:%Y-%m-%d %H:%M:%S}"


class Image(models.Model):
    """A user's image; the bytes are in the default storage under `object_name`.

    The object is written before the row, never changed, and deleted after the row. A process killed in
    between leaves an object without a row, which nobody can see; there is never a row without its object.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="images")
    object_name = models.CharField(max_length=200, unique=True, editable=False)
    name = models.CharField(max_length=255, help_text="The file's name on the owner's device; only shown.")
    content_type = models.CharField(max_length=50, editable=False)
    size_bytes = models.PositiveBigIntegerField(editable=False)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created", "id"]
        indexes = [models.Index(fields=["owner", "-created", "id"], name="optifit_image_owner_created")]

    def __str__(self) -> str:
        return self.name


class Feedback(models.Model):
    """What a user says about a release."""

    message = models.TextField(max_length=4000)
    release = models.CharField(max_length=100, blank=True, db_default="")
    contact = models.EmailField(blank=True, db_default="")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="feedback"
    )
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created", "-pk"]
        indexes = [models.Index(fields=["release", "-created"], name="optifit_feedback_release")]
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return self.message[:60]
