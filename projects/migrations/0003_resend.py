from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def let_planners_resend(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after all migrations; the group needs its own now.
    config = apps.get_app_config("projects")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="projects")
    planning, _ = apps.get_model("auth", "Group").objects.get_or_create(name="planning")
    planning.permissions.add(*permissions.filter(codename="resend_report"))
    permissions.filter(codename="add_report").delete()  # never meant anything


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0002_groups"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="report",
            options={
                "default_permissions": ("view",),
                "ordering": ["-date"],
                "permissions": [("resend_report", "Can mail a report again")],
            },
        ),
        migrations.RemoveIndex(model_name="report", name="projects_report_unmailed"),
        migrations.AddField(
            model_name="report",
            name="resend_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="report",
            index=models.Index(
                condition=models.Q(("mailed_at__isnull", True), ("resend_at__isnull", False), _connector="OR"),
                fields=["id"],
                name="projects_report_to_mail",
            ),
        ),
        migrations.RunPython(let_planners_resend, migrations.RunPython.noop),
    ]
