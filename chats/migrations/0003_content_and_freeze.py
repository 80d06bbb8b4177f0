"""Two states that were possible by a race become impossible: an empty broadcast that is sent, and a frozen one that waits.

Rows that are in such a state already are repaired first. The table is small, so that the check of all rows is quick.
"""

from django.db import migrations, models
from django.db.models import Q

# An empty broadcast was one of a banner whose picture had not been downloaded: it may be there since.
_PICTURE = """
    UPDATE chats_broadcast SET image = banner.image FROM chats_banner banner
    WHERE audience_size IS NOT NULL AND text = '' AND chats_broadcast.image = ''
      AND banner.source_url = banner_url AND banner.image <> ''
"""
_WORDS = """
    UPDATE chats_broadcast SET text = '(This message was sent without content.)'
    WHERE audience_size IS NOT NULL AND text = '' AND image = ''
"""
# Its ranges are there, only its status was put back: sending goes on.
_RESUME = """
    UPDATE chats_broadcast SET status = 'sending', lease_until = NULL
    WHERE status = 'queued' AND audience_size IS NOT NULL AND started_at IS NOT NULL
"""
_UNFREEZE = """
    UPDATE chats_broadcast SET audience_size = NULL
    WHERE status IN ('scheduled', 'queued') AND audience_size IS NOT NULL AND delivered = 0 AND skipped = 0
"""


class Migration(migrations.Migration):
    dependencies = [("chats", "0002_groups")]

    operations = [
        migrations.RunSQL([_PICTURE, _WORDS, _RESUME, _UNFREEZE], migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="broadcast",
            constraint=models.CheckConstraint(
                condition=Q(audience_size__isnull=True) | ~Q(text="", image=""), name="chats_broadcast_sends_content"
            ),
        ),
        migrations.AddConstraint(
            model_name="broadcast",
            constraint=models.CheckConstraint(
                condition=~Q(status__in=["scheduled", "queued"]) | Q(audience_size__isnull=True),
                name="chats_broadcast_waits_unfrozen",
            ),
        ),
    ]
