"""What django-getpaid wants of its user: an order, and its own payment made real."""

from __future__ import annotations

from django.db import models
from getpaid.models import AbstractOrder, AbstractPayment


class Order(AbstractOrder):
    total = models.DecimalField(max_digits=12, decimal_places=2, default=10)


class Payment(AbstractPayment):
    pass
