"""Fan-out of a queued broadcast: one message in every chat of its audience, sent by any number of workers.

The audience is frozen first (`freeze`) into a ledger of id ranges, each with its number of members. Then every worker
repeats one short transaction (`send_next_chunk`) until no range is left:

1. Claim: lock the first range that is not done and that no other worker has locked (SKIP LOCKED). The lock is the
   claim. It ends with the connection, so a worker killed at any time leaves nothing to clean up.
2. Insert the range's messages with one INSERT … SELECT. Its trigger locks the chats, so none can be deleted before the
   commit (migration 0006).
3. Record the result in the range. Members that were deleted meanwhile count as skipped.
4. Add to the broadcast's counters if it is still being sent; otherwise roll everything back. The broadcast is the only
   row that workers share, and it is locked only from here to the commit. Pause and cancel change the same row, so no
   message appears after their commit: they take effect between two chunks.

Messages, range and counters commit together or not at all. Therefore no chat gets a message twice (also a named
constraint), no chat is missed (`finish` requires every range to be done), and the counters are exact at any time.
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
CHUNKS_WANTED = 40  # so that the progress bar also moves for a small audience
FREEZE_WAIT = "3s"  # new chats wait as long as the freeze waits for inserts of chats in progress
ATTEMPTS = 5  # per chunk whose chats are being deleted concurrently

_BOUND = "SELECT coalesce(max(id), 0) FROM chats_chat"

# Walks along the index from the end of one range to the end of the next: four times as fast as numbering every row.
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

# Ordered by id, so that two writers cannot deadlock. Without ON CONFLICT: a second message in one chat is a bug that
# must raise an error, not be hidden.
_INSERT = """
    INSERT INTO chats_message (chat_id, broadcast_id)
    SELECT id, %(broadcast)s FROM ({chats}) AS chat ORDER BY id
"""


def audience_bound() -> int:
    """Return an id up to which all chats are committed: no lower id can appear later.

    Ids are assigned before the commit, so max(id) alone guarantees nothing. The SHARE lock waits for running inserts
    and blocks new ones, for the duration of this one query. (An INSERT locks the table before it takes an id from the
    sequence.)
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{FREEZE_WAIT}'")
        cursor.execute("LOCK TABLE chats_chat IN SHARE MODE")
        cursor.execute(_BOUND)
        return cursor.fetchone()[0]


def freeze(broadcast: Broadcast, *, largest_chunk: int) -> bool:
    """Freeze the audience of a queued broadcast and start sending. False if it is not queued or the lease is lost.

    The audience consists of the chats that exist now. Chats opened later are not included.
    """
    bound = audience_bound() if broadcast.kind.is_growing else 0
    with transaction.atomic():
        if not Broadcast.objects.held_by(broadcast).select_for_update().exists():
            return False
        members = broadcast.kind.members_sql
        arguments = {"broadcast": broadcast.pk, "bound": bound}
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM ({members}) AS member", arguments)  # noqa: S608
            size = cursor.fetchone()[0]
            wanted = max(MIN_CHUNK_SIZE, min(largest_chunk, size // CHUNKS_WANTED))
            cursor.execute(_FREEZE.format(members=members), arguments | {"size": wanted})
        # Count again from the ledger: a chat may have been deleted between the two statements.
        counted = sum(broadcast.chunks.values_list("size", flat=True))
        Broadcast.objects.filter(pk=broadcast.pk).update(
            status=Broadcast.Status.SENDING, audience_size=counted, started_at=Now(), lease_until=None
        )
        broadcast.steps.create(verb="sending", note=f"to {counted:,} chats")
        _announce(broadcast)
    return True


def send_next_chunk(broadcast: Broadcast) -> bool:
    """Send one range that no other worker has claimed.

    False if none is left, or the broadcast is not being sent any more.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _send_next_chunk(broadcast)
        except IntegrityError:
            # A chat of the range was deleted concurrently; the next attempt's snapshot does not contain it.
            if attempt == ATTEMPTS:
                raise
    return False


class _Stopped(Exception):
    """The broadcast was paused or cancelled while this chunk was being sent: roll the chunk back."""


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
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT.format(chats=broadcast.kind.chats_sql),
            {"broadcast": broadcast.pk, "first": chunk.first_id, "last": chunk.last_id},
        )
        return cursor.rowcount


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
    """Mark a broadcast as sent if every range is done. True for the one caller that did so.

    The same UPDATE is checked by the constraint chats_broadcast_all_accounted_for: audience = delivered + skipped.
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
    """Send ranges until none is free or about `seconds` have passed, then finish. True if this call ran out of time."""
    until = time.monotonic() + seconds
    while send_next_chunk(broadcast):
        if time.monotonic() > until:
            return True
    finish(broadcast)
    return False
