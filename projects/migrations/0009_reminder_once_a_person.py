from django.db import migrations, models

DROP = "DROP INDEX CONCURRENTLY IF EXISTS projects_reminder_each"
BUILD = """
    CREATE UNIQUE INDEX CONCURRENTLY projects_reminder_each
    ON projects_reminder (task_id, due_date, account) NULLS NOT DISTINCT
"""
# Both in a statement each of one transaction: there is no moment without a constraint.
REPLACE = """
    ALTER TABLE projects_reminder DROP CONSTRAINT IF EXISTS projects_reminder_once,
        ADD CONSTRAINT projects_reminder_once UNIQUE USING INDEX projects_reminder_each
"""
BACK = """
    ALTER TABLE projects_reminder DROP CONSTRAINT projects_reminder_once,
        ADD CONSTRAINT projects_reminder_once UNIQUE (task_id, due_date)
"""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0008_reminder_account")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(DROP, migrations.RunSQL.noop),  # what an attempt that was killed has left
                migrations.RunSQL(BUILD, migrations.RunSQL.noop),
                migrations.RunSQL(REPLACE, BACK),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="reminder", name="projects_reminder_once"),
                migrations.AddConstraint(
                    model_name="reminder",
                    constraint=models.UniqueConstraint(
                        fields=("task", "due_date", "account"), name="projects_reminder_once", nulls_distinct=False
                    ),
                ),
            ],
        ),
    ]
