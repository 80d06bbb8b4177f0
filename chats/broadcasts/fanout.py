"""Fan-out: from a queued broadcast to a message in every chat of its audience, by any number of workers.

The audience is frozen first (`freeze`): a ledger of id ranges, each with the number of its members. Then every
worker repeats one short transaction (`send_next_chunk`) until nothing is left:

1. Claim: lock the first range that is not done and that nobody else has locked (SKIP LOCKED). The lock is the
   claim and dies with its connection, so a worker killed at any moment leaves nothing to clean up.
2. Insert the range's messages with one INSERT … SELECT.
3. Check the foreign keys now. They are deferred by default, and step 5 is where workers meet.
4. Write into the range what came of it. Whoever was in the range and is gone counts as skipped.
5. Add to the broadcast's counters where it is still being sent; if it is not, roll everything back. This is the
   only row that workers share, and it is locked from here to the commit only. Pause and cancel change the same
   row, so after their commit no further message appears: they are exact at a chunk.

Rows, range and counters commit together or not at all. Hence nobody twice (also a named constraint), nobody missed
(`finish` needs every range done), and counters that are exact at any moment.
"""

import time

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now

from chats import realtime
from chats.models import Broadcast, Chunk

log = structlog.get_logger(__name__)

MIN_CHUNK_SIZE = 50
CHUNKS_WANTED = 40  # so that a small send moves a bar, too
FREEZE_WAIT = "3s"  # new chats wait as long as the freeze waits for those that are being opened
ATTEMPTS = 5  # at a chunk, from which chats are being deleted at this moment

_BOUND = "SELECT coalesce(max(id), 0) FROM chats_chat"

_RANGES = {
    Broadcast.Audience.ALL: "SELECT id FROM chats_chat WHERE id <= %(bound)s",
    Broadcast.Audience.LISTED: "SELECT id FROM chats_recipient WHERE broadcast_id = %(broadcast)s",
}
# Walks along the index from the end of one range to the end of the next: four times as quick as numbering every row.
_FREEZE = """
    WITH RECURSIVE walk (number, first_id, last_id, size) AS (
        SELECT -1, 0::bigint, (SELECT coalesce(min(id), 1) - 1 FROM ({members}) AS member), 0::bigint
        UNION ALL
        SELECT walk.number + 1, range.first_id, range.last_id, range.size
        FROM walk CROSS JOIN LATERAL (
            SELECT min(id) AS first_id, max(id) AS last_id, count(*) AS size
            FROM (SELECT id FROM ({members}) AS member WHERE id > walk.last_id ORDER BY id LIMIT %(size)s) AS following
        ) AS range
        WHERE range.size > 0
    )
    INSERT INTO chats_chunk (broadcast_id, number, first_id, last_id, size)
    SELECT %(broadcast)s, number, first_id, last_id, size FROM walk WHERE number >= 0
"""

_MEMBERS = {
    Broadcast.Audience.ALL: "SELECT id FROM chats_chat WHERE id BETWEEN %(first)s AND %(last)s",
    Broadcast.Audience.LISTED: """
        SELECT chats_chat.id FROM chats_recipient JOIN chats_chat USING (user_uuid)
        WHERE broadcast_id = %(broadcast)s AND chats_recipient.id BETWEEN %(first)s AND %(last)s
    """,
}
# In the order of ids, so that two writers never wait for each other in a circle. No ON CONFLICT: a second message
# in one chat would be a fault to hear about, not one to hide.
_INSERT = """
    INSERT INTO chats_message (chat_id, broadcast_id)
    SELECT id, %(broadcast)s FROM ({members}) AS member ORDER BY id
"""


def audience_bound() -> int:
    """Return an id such that the chats up to it are all committed, for good: no lower id can appear later.

    Ids are handed out before the commit, so max(id) alone promises nothing. SHARE lets the inserts under way
    finish and holds new ones off, for as long as this one query takes. (An INSERT takes its lock on the table
    before it takes an id from the sequence.)
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{FREEZE_WAIT}'")
        cursor.execute("LOCK TABLE chats_chat IN SHARE MODE")
        cursor.execute(_BOUND)
        return cursor.fetchone()[0]


def freeze(broadcast: Broadcast, *, largest_chunk: int) -> bool:
    """Freeze the audience of a queued broadcast and start sending; False if it is not queued or the lease is lost.

    Everybody with a chat at this moment is in; chats opened later are not.
    """
    bound = audience_bound() if broadcast.audience == Broadcast.Audience.ALL else 0
    with transaction.atomic():
        if not Broadcast.objects.held_by(broadcast).select_for_update().exists():
            return False
        members = _RANGES[Broadcast.Audience(broadcast.audience)]
        arguments = {"broadcast": broadcast.pk, "bound": bound}
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM ({members}) AS member", arguments)  # noqa: S608
            size = cursor.fetchone()[0]
            wanted = max(MIN_CHUNK_SIZE, min(largest_chunk, size // CHUNKS_WANTED))
            cursor.execute(_FREEZE.format(members=members), arguments | {"size": wanted})
        # Counted again from the ledger: a chat may have been deleted between the two statements.
        counted = sum(broadcast.chunks.values_list("size", flat=True))
        Broadcast.objects.filter(pk=broadcast.pk).update(
            status=Broadcast.Status.SENDING, audience_size=counted, started_at=Now(), lease_until=None
        )
        broadcast.steps.create(verb="sending", note=f"to {counted:,} chats")
        _announce(broadcast)
    return True


def send_next_chunk(broadcast: Broadcast) -> bool:
    """Send one range that nobody else is sending; False when there is none, or no more sending to do."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _send_next_chunk(broadcast)
        except IntegrityError:
            # A chat of the range was deleted under our hands: the next snapshot does not have it any more.
            if attempt == ATTEMPTS:
                raise
    return False


class _Stopped(Exception):
    """Paused or cancelled while this chunk was being sent: take it back."""


def _send_next_chunk(broadcast: Broadcast) -> bool:
    try:
        with transaction.atomic():
            pending = broadcast.chunks.filter(done_at=None).order_by("number")
            chunk = pending.select_for_update(skip_locked=True).first()
            if chunk is None:
                return False
            delivered = _insert_messages(broadcast, chunk)
            skipped = chunk.size - delivered
            Chunk.objects.filter(pk=chunk.pk).update(delivered=delivered, skipped=skipped, done_at=Now())
            _count(broadcast, delivered, skipped)
    except _Stopped:
        return False
    return True


def _insert_messages(broadcast: Broadcast, chunk: Chunk) -> int:
    members = _MEMBERS[Broadcast.Audience(broadcast.audience)]
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT.format(members=members),
            {"broadcast": broadcast.pk, "first": chunk.first_id, "last": chunk.last_id},
        )
        delivered = cursor.rowcount
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return delivered


def _count(broadcast: Broadcast, delivered: int, skipped: int) -> None:
    counted = (
        Broadcast.objects.sending()
        .filter(pk=broadcast.pk)
        .update(delivered=F("delivered") + delivered, skipped=F("skipped") + skipped)
    )
    if not counted:
        raise _Stopped
    _announce(broadcast)


def _announce(broadcast: Broadcast) -> None:
    broadcast.refresh_from_db()
    realtime.broadcast_progress(broadcast)


def finish(broadcast: Broadcast) -> bool:
    """Mark a broadcast as sent if every range is done; True for the one caller who did.

    The constraint chats_broadcast_all_accounted_for checks audience = delivered + skipped in the same breath.
    """
    with transaction.atomic():
        finished = (
            Broadcast.objects.sending()
            .filter(~Exists(Chunk.objects.filter(broadcast=OuterRef("pk"), done_at=None)), pk=broadcast.pk)
            .update(status=Broadcast.Status.SENT, finished_at=Now())
        )
        if finished:
            _announce(broadcast)
            skipped = f", {broadcast.skipped:,} skipped" if broadcast.skipped else ""
            broadcast.steps.create(verb="sent", note=f"{broadcast.delivered:,} delivered{skipped}")
            log.info("broadcast_sent", broadcast=broadcast.pk, delivered=broadcast.delivered, skipped=broadcast.skipped)
    return bool(finished)


def run(broadcast: Broadcast, *, seconds: float) -> bool:
    """Send ranges until none is free, or for about `seconds`; then finish. True if this caller left work undone."""
    until = time.monotonic() + seconds
    while send_next_chunk(broadcast):
        if time.monotonic() > until:
            return True
    finish(broadcast)
    return False
