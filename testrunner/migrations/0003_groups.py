from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

READ = ["view_testenvironment", "view_testfile", "view_testrun", "view_testresult"]
GROUPS = {
    "viewer": READ,
    "testing": [
        *READ,
        "change_testenvironment",
        "reserve_testenvironment",
        *(f"{verb}_environmentvariable" for verb in ("view", "add", "change", "delete")),
        "upload_testfile",
        "delete_testfile",
        "add_testrun",
        "cancel_testrun",
    ],
}


def create_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after all migrations; these groups need theirs now.
    config = apps.get_app_config("testrunner")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        permissions = apps.get_model("auth", "Permission").objects.filter(
            content_type__app_label="testrunner", codename__in=codenames
        )
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("testrunner", "0002_environments"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Groups may have members by the time somebody goes back: they stay.
    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
