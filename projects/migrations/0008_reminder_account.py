from django.db import migrations, models

# Reminders of dates that are still looked at: whom they were meant for, so that they are not mailed once more.
WHOM = """
    UPDATE projects_reminder AS reminder SET account = coalesce(assignee.id, owner.id)
    FROM projects_task AS task
    JOIN projects_project AS project ON project.id = task.project_id
    LEFT JOIN auth_user AS assignee ON assignee.id = task.assignee_id AND assignee.is_active AND assignee.email <> ''
    LEFT JOIN auth_user AS owner ON owner.id = project.owner_id AND owner.is_active AND owner.email <> ''
    WHERE task.id = reminder.task_id AND reminder.due_date = task.due_date
      AND reminder.due_date > now() - interval '2 days'
"""


class Migration(migrations.Migration):
    dependencies = [("projects", "0007_known_comment_writers")]

    operations = [
        migrations.AddField(
            model_name="reminder", name="account", field=models.BigIntegerField(editable=False, null=True)
        ),
        migrations.RunSQL(WHOM, migrations.RunSQL.noop),
    ]
