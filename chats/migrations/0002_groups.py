from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

READ = ["view_chat", "view_message", "view_banner", "view_broadcast"]
GROUPS = {
    "viewer": READ,
    "marketing": [
        *READ,
        "add_chat",
        "add_message",
        "change_message",
        "change_banner",
        "add_broadcast",
        "change_broadcast",
        "send_broadcast",
    ],
}


def create_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after all migrations; these groups need theirs now.
    config = apps.get_app_config("chats")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        permissions = apps.get_model("auth", "Permission").objects.filter(
            content_type__app_label="chats", codename__in=codenames
        )
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("chats", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Groups may have members by the time somebody goes back: they stay.
    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
