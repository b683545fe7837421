"""Wires the app into Django: its name, its checks, nothing else."""

from django.apps import AppConfig


class RefundsConfig(AppConfig):
    name = "refunds"
    verbose_name = "Refund desk"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from refunds import checks, login_checks, notice_checks  # noqa: F401  they register the system checks
        from refunds_site import checks as checks_of_the_site  # noqa: F401
