"""How Postgres keeps the two tables that change with every commit of the ingest."""

from django.db import migrations

SET = """
    -- Rows of batches live for seconds. Claiming walks over the dead ones, so they go by number, not by share.
    ALTER TABLE events_batch SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
    -- The present minute's rows are updated over and over: room beside them, so that no index is touched.
    ALTER TABLE events_minute SET (fillfactor = 80);
"""
RESET = """
    ALTER TABLE events_batch RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
    ALTER TABLE events_minute RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0005_rejected_mute")]

    operations = [migrations.RunSQL(SET, RESET)]
