import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# What is wrong with events is work for somebody: an analyst makes a task of it.
GRANTED = {"events": ["mute_rejectedevent"], "projects": ["view_project", "view_task", "add_task"]}


def let_analysts(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after all migrations; this group needs the new one now.
    config = apps.get_app_config("events")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="analytics")
    for app, codenames in GRANTED.items():
        permissions = apps.get_model("auth", "Permission").objects.filter(
            content_type__app_label=app, codename__in=codenames
        )
        group.permissions.add(*permissions)


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0004_history_and_replay'),
        ('projects', '0002_groups'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='RejectedMute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('category', models.CharField(blank=True, max_length=100)),
                ('name', models.CharField(blank=True, max_length=100)),
                ('code', models.CharField(max_length=50)),
                ('pointer', models.CharField(blank=True, max_length=300)),
                ('muted_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name='muted')),
                ('application', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='events.application')),
                ('muted_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'permissions': [('mute_rejectedevent', 'Can mute groups of rejected events')],
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('application', 'category', 'name', 'code', 'pointer'), name='events_rejectedmute_once')],
            },
        ),
        # Who was let may have made tasks by the time somebody goes back: it stays.
        migrations.RunPython(let_analysts, migrations.RunPython.noop),
    ]
