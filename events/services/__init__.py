"""Services that write events, applications and types, for the REST API, the admin, commands and other apps.

Each call is one transaction. The ingest reloads its cached applications, keys and types by itself, so services need no
invalidation.
"""

from events.rejected.replay_preview import ReplayPreview
from events.rejected.schema_dry_run import DryRun, dry_run
from events.rejected.selection import Selection
from events.rollups.digest import lag
from events.services.applications import (
    NewApplication,
    NewKey,
    create_application,
    delete_application,
    pause,
    resume,
    revoke_key,
    rotate_key,
    update_application,
)
from events.services.event_types import (
    create_event_type,
    delete_event_type,
    describe_event_type,
    is_same_schema,
    publish_schema,
)
from events.services.events import InvalidEvent, delete_event, delete_rejected, lock_event, update_event
from events.services.history import ChangeRefused
from events.services.notifications import resend_notification, send_notification, update_notification
from events.services.replays import REPLAY, preview_replay, start_replay, sweep_replays
from events.validation.schema_child import check_schema
from events.validation.schema_error import SchemaError
