from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def create_environments(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    model = apps.get_model("testrunner", "TestEnvironment")
    model.objects.bulk_create(model(id=number, name=f"Environment {number}") for number in range(1, 101))


class Migration(migrations.Migration):
    dependencies = [("testrunner", "0001_initial")]

    operations = [migrations.RunPython(create_environments, migrations.RunPython.noop)]
