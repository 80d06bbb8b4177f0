"""Roles and other reference data exist after every migrate, even if the database was flushed before."""

from importlib import import_module

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command

from config.roles import ROLES
from testrunner.models import TestEnvironment


def granted() -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    for group in Group.objects.prefetch_related("permissions__content_type"):
        apps = found.setdefault(group.name, {})
        for permission in group.permissions.all():
            apps.setdefault(permission.content_type.app_label, set()).add(permission.codename)
    return found


def as_sets() -> dict[str, dict[str, set[str]]]:
    return {role: {app: set(names) for app, names in table.items()} for role, table in ROLES.items()}


@pytest.mark.django_db
def test_the_migrations_grant_what_the_table_of_roles_says():
    from django.apps import apps

    Group.objects.all().delete()
    for migration, function in [
        ("chats.migrations.0002_groups", "create_groups"),
        ("events.migrations.0003_groups", "create_groups"),
        ("projects.migrations.0002_groups", "create_groups"),
        ("testrunner.migrations.0003_groups", "create_groups"),
        ("projects.migrations.0003_resend", "let_planners_resend"),
        ("events.migrations.0005_rejected_mute", "let_analysts"),
    ]:
        # create_permissions of a migration resets the apps' models_module, because it expects historical apps.
        modules = {config: config.models_module for config in apps.get_app_configs()}
        getattr(import_module(migration), function)(apps, None)
        for config, module in modules.items():
            config.models_module = module

    assert granted() == as_sets()


@pytest.mark.django_db(transaction=True)
def test_a_flush_leaves_the_roles_and_the_test_environments_of_a_new_installation():
    call_command("flush", interactive=False, verbosity=0)

    assert granted() == as_sets()
    assert list(TestEnvironment.objects.order_by("pk").values_list("pk", flat=True)) == list(range(1, 101))


@pytest.mark.django_db(transaction=True)
def test_migrate_leaves_a_role_as_an_administrator_changed_it():
    Group.objects.get(name="viewer").permissions.clear()
    Group.objects.get(name="planning").delete()

    call_command("migrate", interactive=False, verbosity=0)

    assert not Group.objects.get(name="viewer").permissions.exists()
    assert granted()["planning"] == as_sets()["planning"]
