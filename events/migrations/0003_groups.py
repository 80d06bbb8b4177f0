from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

READ = [
    "view_application",
    "view_event",
    "view_eventtype",
    "view_notification",
    "view_rejectedevent",
    "view_schemaversion",
    "view_session",
]
GROUPS = {
    "viewer": READ,
    "analytics": [
        *READ,
        "add_application",
        "change_application",
        "change_event",
        "delete_event",
        "add_eventtype",
        "change_eventtype",
        "add_notification",
        "change_notification",
        "delete_rejectedevent",
        "replay_rejectedevent",
    ],
}


def create_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after all migrations; these groups need theirs now.
    config = apps.get_app_config("events")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        permissions = apps.get_model("auth", "Permission").objects.filter(
            content_type__app_label="events", codename__in=codenames
        )
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0002_event_partitions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Groups may have members by the time somebody goes back: they stay.
    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
