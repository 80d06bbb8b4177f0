"""Which worker gets which messages, on the configured broker: Redis or RabbitMQ."""

from uuid import uuid4

import pytest
from kombu import Exchange, Queue

from config.celery import app


def test_every_queue_gets_its_own_messages_only():
    with app.connection_for_write() as connection:
        mark = uuid4().hex[:8]  # because other tests use the real names at the same time
        queues = [
            Queue(
                f"{name}-{mark}",
                Exchange(f"{queue.exchange.name}-{mark}"),
                routing_key=f"{queue.routing_key}-{mark}",
                expires=60,
                queue_arguments=queue.queue_arguments,
            )(connection)
            for name, queue in app.amqp.queues.items()
        ]
        for queue in queues:
            queue.declare()
        first, *others = queues
        with connection.Producer() as producer:
            producer.publish({}, exchange=first.exchange, routing_key=first.routing_key)

        message = wait_for(first)
        assert message is not None
        message.ack()
        assert [queue.name for queue in others if queue.get() is not None] == []
        for queue in queues:
            queue.delete()


def wait_for(queue: Queue):
    for _ in range(100):
        if message := queue.get():
            return message
    return None


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("chats.tasks.prepare_broadcast", "broadcasts"),
        ("chats.tasks.fan_out_broadcast", "broadcasts"),
        ("chats.tasks.sweep_broadcasts", "default"),
        ("config.tasks.delete_old_rows", "default"),
        ("core.tasks.retry_invalidation", "default"),
        ("events.tasks.digest_events", "events"),
        ("events.tasks.make_partitions", "default"),
        ("events.tasks.replay_rejected", "events"),
        ("events.tasks.delete_old_events", "default"),
        ("events.tasks.sweep_replays", "default"),
        ("events.tasks.send_notifications", "events"),
        ("projects.tasks.send_reminders", "default"),
        ("projects.tasks.send_daily_report", "default"),
        ("testrunner.tasks.run_tests", "testruns"),
        ("testrunner.tasks.sweep_runs", "default"),
        ("testrunner.tasks.delete_old_logs", "default"),
        ("testrunner.tasks.update_failure_tasks", "default"),
    ],
)
def test_a_fan_out_never_keeps_the_sweepers_waiting(task: str, queue: str):
    app.loader.import_default_modules()

    assert task in app.tasks
    assert app.amqp.router.route({}, task)["queue"].name == queue
