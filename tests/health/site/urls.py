"""The admin, a token API of two views, and the static files with the headers they should have."""

import json

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import authenticate
from django.core import signing
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.static import serve


@csrf_exempt
def token(request: HttpRequest) -> JsonResponse:
    given = json.loads(request.body)
    user = authenticate(request, username=given["username"], password=given["password"])
    if user is None:
        return JsonResponse({"detail": "wrong"}, status=401)
    return JsonResponse({"token": signing.dumps(user.pk)})


def items(request: HttpRequest) -> JsonResponse:
    try:
        signing.loads(request.headers["Authorization"].removeprefix("Bearer "))
    except (KeyError, signing.BadSignature):
        return JsonResponse({"detail": "no"}, status=401)
    return JsonResponse({"items": []})


def static_file(request: HttpRequest, name: str) -> HttpResponse:
    response = serve(request, name, document_root=settings.STATIC_ROOT)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/token", token),
    path("api/items", items),
    path("static/<path:name>", static_file),
    path("", include("deploy.health.urls")),
]
