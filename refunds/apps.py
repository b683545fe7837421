"""Wires the app into Django: its names, its checks, nothing else."""

from django.apps import AppConfig


class RefundsConfig(AppConfig):
    name = "refunds"
    verbose_name = "Refund desk"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # System checks, and words to translate.
        from refunds import checks, login_checks, names, notice_checks, trigrams  # noqa: F401
        from refunds_site import checks as checks_of_the_site  # noqa: F401

        names.put_on(self)
