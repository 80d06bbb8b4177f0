import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

EXISTS = "SELECT to_regclass('authtoken_token') IS NOT NULL"
HASH = "encode(sha256(convert_to({}, 'UTF8')), 'hex')"
MOVE = f"""
    INSERT INTO accounts_accesstoken (user_id, key_hash, begins, password_proof, created_at, expires_at)
    SELECT t.user_id, {HASH.format("t.key")}, left(t.key, 6), {HASH.format("u.password")}, t.created,
        now() + make_interval(days => %s)
    FROM authtoken_token t JOIN auth_user u ON u.id = t.user_id
"""
# The admin's log named these tokens by their keys.
FORGET = """
    UPDATE django_admin_log SET object_repr = 'Token', object_id = '', change_message = ''
    WHERE content_type_id IN (SELECT id FROM django_content_type WHERE app_label = 'authtoken')
"""


def move_tokens(apps, schema_editor):
    """Take over the tokens of REST framework's own table as hashes, and remove it: its keys are readable."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(EXISTS)
        if not cursor.fetchone()[0]:
            return
        cursor.execute(MOVE, [settings.TOKEN_DAYS])
        cursor.execute(FORGET)
        cursor.execute("DROP TABLE authtoken_token")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("admin", "0003_logentry_add_action_flag_choices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AccessToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password_proof", models.CharField(editable=False, max_length=64)),
                ("key_hash", models.CharField(editable=False, max_length=64, unique=True)),
                ("begins", models.CharField(editable=False, max_length=6, verbose_name="begins with")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created"
                    ),
                ),
                ("expires_at", models.DateTimeField(editable=False, verbose_name="expires")),
                ("last_used_at", models.DateTimeField(editable=False, null=True, verbose_name="last used")),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=models.CASCADE,
                        related_name="access_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "token",
                "ordering": ["-created_at", "-id"],
                "default_permissions": ("view", "delete"),
                "indexes": [models.Index(fields=["user"], name="accounts_accesstoken_user")],
            },
        ),
        migrations.RunPython(move_tokens, migrations.RunPython.noop),
    ]
