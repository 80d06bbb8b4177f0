from django.db import migrations

RENAME = """
    UPDATE projects_report SET data = data - %s || jsonb_build_object(%s, data -> %s) WHERE jsonb_exists(data, %s)
"""


def rename(old, new):
    def run(apps, schema_editor):
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(RENAME, [old, new, old, old])

    return run


class Migration(migrations.Migration):
    """What other apps counted is called `other_apps` in stored reports. One row a day: the table is small."""

    dependencies = [("projects", "0009_reminder_once_a_person")]

    operations = [migrations.RunPython(rename("house", "other_apps"), rename("other_apps", "house"))]
