"""OptiFit's addresses."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from .api import api

urlpatterns = [
    path("", TemplateView.as_view(template_name="optifit/landing.html"), name="landing"),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("", include("deploy.health.urls")),
    path("", include("deploy.assets.urls")),  # empty where STATIC_URL is a CDN's address
]
