from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("testrunner", "0009_skipped_files")]

    operations = [migrations.AddField("runfile", "comes_along", models.BooleanField(db_default=False))]
