from django.db import migrations


class Migration(migrations.Migration):
    """The model of stored answers is `core.IdempotencyKey` now; nothing changes in the database."""

    dependencies = [("core", "0001_idempotency_key"), ("live", "0002_idempotency_key")]

    operations = [migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name="IdempotencyKey")])]
