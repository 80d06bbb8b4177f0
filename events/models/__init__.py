from events.models.application import Application, WriteKey
from events.models.arrival import Arrival
from events.models.digest import Batch, Minute, Session
from events.models.event import Event, RejectedEvent
from events.models.event_type import EventType, SchemaVersion
from events.models.mute import RejectedMute
from events.models.notification import Notification
from events.models.rejected_day import RejectedDay
from events.models.replay import Replay
from events.models.tombstone import EventTombstone
