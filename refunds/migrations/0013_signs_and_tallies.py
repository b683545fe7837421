"""Signs of life of workers, and tallies for those who measure."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("refunds", "0012_archives"),
    ]

    operations = [
        migrations.CreateModel(
            name="TallyMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40, unique=True)),
                ("last_id", models.BigIntegerField(default=0)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="WorkerSign",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64, unique=True)),
                ("host", models.CharField(max_length=100)),
                ("pid", models.PositiveIntegerField()),
                ("threads", models.PositiveIntegerField()),
                (
                    "n_at_work",
                    models.PositiveIntegerField(default=0, help_text="Jobs that its threads were doing then."),
                ),
                ("started_at", models.DateTimeField()),
                ("polled_at", models.DateTimeField()),
                ("swept_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ("-polled_at",),
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Tally",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40)),
                (
                    "words",
                    models.CharField(help_text="The values that tell them apart, with spaces between.", max_length=60),
                ),
                ("number", models.PositiveBigIntegerField(default=0)),
                ("milliseconds", models.PositiveBigIntegerField(default=0)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="refunds.account"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "tallies",
                "ordering": ("name", "account", "words"),
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("name", "account", "words"), name="tally_once")],
            },
        ),
    ]
