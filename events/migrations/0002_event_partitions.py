"""Events, in a table that is partitioned by month.

Django cannot make one, so it is told of a table and given another: the same, but partitioned, with a primary key that
holds the timestamp. The default partition takes what no month has room for: events from before Opsroom.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

CREATE = """
CREATE TABLE events_event (
    id bigint NOT NULL,
    application_id bigint NOT NULL REFERENCES events_application (id),
    event_id uuid NOT NULL,
    session_id varchar(100) NOT NULL,
    category varchar(100) NOT NULL,
    name varchar(100) NOT NULL,
    data jsonb NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (id, "timestamp"),
    CONSTRAINT events_event_once UNIQUE (application_id, event_id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE INDEX events_event_session ON events_event (session_id, "timestamp", id);
CREATE INDEX events_event_category ON events_event (category, "timestamp", id);
CREATE INDEX events_event_newest ON events_event ("timestamp", id);
CREATE TABLE events_event_default PARTITION OF events_event DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, "DROP TABLE events_event")],
            state_operations=[
                migrations.CreateModel(
                    name='Event',
                    fields=[
                        ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                        ('event_id', models.UUIDField(verbose_name='event id')),
                        ('session_id', models.CharField(max_length=100, verbose_name='session')),
                        ('category', models.CharField(max_length=100)),
                        ('name', models.CharField(max_length=100)),
                        ('data', models.JSONField()),
                        ('timestamp', models.DateTimeField(verbose_name='happened')),
                        ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name='received')),
                        ('application', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='events', to='events.application')),
                    ],
                    options={
                        'ordering': ['-timestamp', '-id'],
                    },
                ),
                migrations.AddIndex(
                    model_name='event',
                    index=models.Index(fields=['session_id', 'timestamp', 'id'], name='events_event_session'),
                ),
                migrations.AddIndex(
                    model_name='event',
                    index=models.Index(fields=['category', 'timestamp', 'id'], name='events_event_category'),
                ),
                migrations.AddIndex(
                    model_name='event',
                    index=models.Index(fields=['timestamp', 'id'], name='events_event_newest'),
                ),
                migrations.AddConstraint(
                    model_name='event',
                    constraint=models.UniqueConstraint(fields=('application', 'event_id', 'timestamp'), name='events_event_once'),
                ),
            ],
        ),
    ]
