"""OptiFit's addresses, and a slow one."""

import time

from django.http import HttpRequest, HttpResponse
from django.urls import path

from optifit.urls import urlpatterns as product

SLOW_SECONDS = 2.0


def slow(request: HttpRequest) -> HttpResponse:
    """Answers after two seconds: in flight over any switch that happens meanwhile."""
    time.sleep(SLOW_SECONDS)
    return HttpResponse("at last\n", content_type="text/plain")


urlpatterns = [path("slow", slow), *product]
