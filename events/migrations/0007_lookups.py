"""Where a name's events lie, or an application's; and what one user is to be told."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chats', '0002_groups'),
        ('events', '0006_busy_tables'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='minute',
            index=models.Index(fields=['name', 'minute'], name='events_minute_name'),
        ),
        migrations.AddIndex(
            model_name='minute',
            index=models.Index(fields=['application', 'minute'], name='events_minute_application'),
        ),
        migrations.AddIndex(
            model_name='notification',
            index=models.Index(fields=['user_id', '-created_at', '-event_id'], name='events_notification_user'),
        ),
    ]
