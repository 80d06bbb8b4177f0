from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("testrunner", "0007_retention")]

    operations = [
        migrations.AddField("testrun", "tasks_after", models.BigIntegerField(db_default=0, editable=False)),
        migrations.AddField("testrun", "tasks_opened", models.PositiveSmallIntegerField(db_default=0, editable=False)),
    ]
