"""OptiFit's models in Django's admin: to look at and to revoke, not to make up."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from .models import ApiToken, Feedback, Image


class MadeByTheApi(admin.ModelAdmin):
    """Rows that only the API makes; the admin shows and deletes them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(MadeByTheApi):
    list_display = ["id", "user", "created", "expires", "revoked"]
    list_select_related = ["user"]
    fields = ["user", "created", "expires", "revoked"]
    actions = ["revoke"]

    @admin.action(description="Revoke the selected API tokens", permissions=["delete"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """End the tokens now; their rows stay until their owner signs in again."""
        count = queryset.filter(revoked__isnull=True).update(revoked=timezone.now())
        self.message_user(request, f"{count} API tokens revoked.")


@admin.register(Image)
class ImageAdmin(MadeByTheApi):
    list_display = ["name", "owner", "content_type", "size_bytes", "created"]
    list_select_related = ["owner"]
    list_filter = ["content_type", "created"]
    search_fields = ["name", "owner__username"]
    fields = ["id", "name", "owner", "content_type", "size_bytes", "object_name", "created"]


@admin.register(Feedback)
class FeedbackAdmin(MadeByTheApi):
    list_display = ["__str__", "release", "contact", "user", "created"]
    list_select_related = ["user"]
    list_filter = ["release", "created"]
    search_fields = ["message", "contact"]
    fields = ["message", "release", "contact", "user", "created"]
