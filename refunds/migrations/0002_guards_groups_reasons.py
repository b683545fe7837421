"""Puts the triggers in place and creates the six groups and a first list of reasons."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

from refunds import guards, people, reasons


def install_guards(apps, schema_editor):
    guards.install(schema_editor.connection)


def remove_guards(apps, schema_editor):
    guards.remove(schema_editor.connection)


def create_groups(apps, schema_editor):
    # Permissions are made after all migrations; the groups need them now.
    from django.apps import apps as installed

    for label in ("auth", "refunds"):
        create_permissions(installed.get_app_config(label), verbosity=0, apps=apps)
    people.create_groups(apps)


def create_reasons(apps, schema_editor):
    reasons.create_reasons(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("refunds", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(create_groups, migrations.RunPython.noop),
        migrations.RunPython(create_reasons, migrations.RunPython.noop),
        migrations.RunPython(install_guards, remove_guards),
    ]
