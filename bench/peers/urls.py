"""One address: the peer's own view."""

from __future__ import annotations

import os

from django.urls import path

if os.environ["PEER"] == "stripe":
    from djstripe.views import ProcessWebhookView

    urlpatterns = [path("webhook/<uuid:uuid>/", ProcessWebhookView.as_view())]
else:
    from getpaid.views import callback

    urlpatterns = [path("callback/<uuid:pk>/", callback)]
