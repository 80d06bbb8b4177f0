from django.db import migrations, models


class Migration(migrations.Migration):
    """The model moves here from `live`; its table, indexes and constraints stay as `live` made them."""

    dependencies = [("live", "0002_idempotency_key")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="IdempotencyKey",
                    fields=[
                        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                        ("user_id", models.BigIntegerField(editable=False)),
                        ("key_hash", models.CharField(editable=False, max_length=64)),
                        ("fingerprint", models.CharField(editable=False, max_length=64)),
                        ("status", models.PositiveSmallIntegerField(editable=False)),
                        ("sealed", models.BinaryField()),
                        ("expires_at", models.DateTimeField(editable=False)),
                    ],
                    options={
                        "db_table": "live_idempotencykey",
                        "default_permissions": (),
                        "indexes": [models.Index(fields=["expires_at"], name="live_idempotencykey_expires")],
                        "constraints": [
                            models.UniqueConstraint(fields=("user_id", "key_hash"), name="live_idempotencykey_once"),
                            models.CheckConstraint(
                                condition=models.Q(("status__lt", 400)), name="live_idempotencykey_succeeded"
                            ),
                        ],
                    },
                ),
            ],
        ),
    ]
