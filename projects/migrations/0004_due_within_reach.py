from datetime import UTC, datetime

from django.db import migrations, models

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
# In SQL: Python cannot read all that may be there. "Never" stays far away, and history stays readable.
INTO_REACH = """
    UPDATE {table} SET due_date = LEAST(GREATEST(due_date, '1970-01-01 00:00+00'), '2999-12-31 12:00+00')
    WHERE due_date < '1970-01-01 00:00+00' OR due_date >= '3000-01-01 00:00+00'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0003_resend"),
    ]

    operations = [
        migrations.RunSQL(INTO_REACH.format(table="projects_task"), migrations.RunSQL.noop),
        migrations.RunSQL(INTO_REACH.format(table="projects_historicaltask"), migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(("due_date__gte", EARLIEST), ("due_date__lt", LATEST)),
                name="projects_task_due_within_reach",
            ),
        ),
    ]
