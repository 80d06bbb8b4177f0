from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

READ = ["view_project", "view_task", "view_comment", "view_reminder", "view_report"]
WRITE = [f"{verb}_{model}" for verb in ("add", "change", "delete") for model in ("project", "task", "comment")]
GROUPS = {"viewer": READ, "planning": [*READ, *WRITE, "change_reminder", "add_report"]}


def create_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after all migrations; these groups need theirs now.
    config = apps.get_app_config("projects")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        permissions = apps.get_model("auth", "Permission").objects.filter(
            content_type__app_label="projects", codename__in=codenames
        )
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Groups may have members by the time somebody goes back: they stay.
    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
