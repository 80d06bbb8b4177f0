from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("projects", "0004_due_within_reach"),
    ]

    operations = [
        migrations.AddField(
            model_name="calendartoken",
            name="last_used_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="last used"),
        ),
        migrations.AddField(
            model_name="calendartoken",
            name="password_proof",
            field=models.CharField(default="", editable=False, max_length=64),
            preserve_default=False,
        ),
        # Feeds that exist count under the password that their users have now: accounts/passwords.py.
        migrations.RunSQL(
            """
            UPDATE projects_calendartoken t
            SET password_proof = encode(sha256(convert_to(u.password, 'UTF8')), 'hex')
            FROM auth_user u WHERE u.id = t.user_id
            """,
            migrations.RunSQL.noop,
        ),
    ]
