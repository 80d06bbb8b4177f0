from django.db import migrations


class Migration(migrations.Migration):
    """The model `Event` is `OutboxMessage` now; its table keeps its name."""

    dependencies = [("live", "0003_move_idempotency_key")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameModel(old_name="Event", new_name="OutboxMessage"),
                migrations.AlterModelTable(name="OutboxMessage", table="live_event"),
            ],
        ),
    ]
