from django.db import migrations, models
from django.db.models import F, Q

EARNED = "testrunner_testrun_success_is_earned"
SUCCESS = Q(exit_code__isnull=False, exit_code=0, tests__gt=0, failed=0, errors=0)
ALL_SKIPPED = Q(exit_code__isnull=False, exit_code=5, tests__gt=0, tests=F("skipped"), failed=0, errors=0)


class Migration(migrations.Migration):
    dependencies = [("testrunner", "0008_tasks_after")]

    operations = [
        migrations.RemoveConstraint("testrun", EARNED),
        migrations.AddConstraint(
            "testrun", models.CheckConstraint(condition=~Q(status="success") | SUCCESS | ALL_SKIPPED, name=EARNED)
        ),
    ]
