"""Template filters of the login pages."""

from __future__ import annotations

import json
from typing import Any

from django import template
from django.core.serializers.json import DjangoJSONEncoder

register = template.Library()


@register.filter
def as_json(value: Any) -> str:
    """For an attribute, since a page carries no script of its own; the template escapes it."""
    return json.dumps(value, cls=DjangoJSONEncoder)
