from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("testrunner", "0006_variable_names")]

    operations = [
        migrations.RemoveIndex("testrun", "testrunner_testrun_old_logs"),
        # True for all: what was let go of before is let go of once more, and nothing is there to go.
        migrations.AddField("testrun", "is_kept", models.BooleanField(db_default=True, editable=False)),
        migrations.AddIndex(
            "testrun",
            models.Index(fields=["finished_at"], condition=Q(is_kept=True), name="testrunner_testrun_kept"),
        ),
    ]
