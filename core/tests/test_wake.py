"""Wake-ups of workers: on commit, bounded, never an error. The brokers here are real sockets that misbehave."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from celery import Celery, current_app
from django.db import transaction

from core import wake as wake_module
from core.wake import failures, wake

TASK = "tests.nothing"


@dataclass
class SilentPeer:
    port: int
    connections: list[socket.socket] = field(default_factory=list)


@pytest.fixture
def broker(monkeypatch) -> Iterator[Celery]:
    """Return a Celery application that can use any broker, with a sender that has not failed yet."""
    monkeypatch.setattr(wake_module, "_sender", wake_module._Sender())
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)  # Celery would prefer it to any other setting
    usual = current_app._get_current_object()
    app = Celery("elsewhere", set_as_current=True)
    app.conf.update(
        broker_connection_timeout=2,
        task_publish_retry_policy=usual.conf.task_publish_retry_policy,
        broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2},
    )
    yield app
    usual.set_current()
    app.close()


@pytest.fixture
def silent_peer() -> Iterator[SilentPeer]:
    """Yield a server that accepts connections and never sends anything."""
    server = socket.create_server(("127.0.0.1", 0))
    peer = SilentPeer(server.getsockname()[1])
    threading.Thread(target=_accept_for_ever, args=(server, peer.connections), daemon=True).start()
    yield peer
    server.close()
    for connection in peer.connections:
        connection.close()


def _accept_for_ever(server: socket.socket, held: list[socket.socket]) -> None:
    try:
        while True:
            held.append(server.accept()[0])
    except OSError:
        return


def failed() -> float:
    return failures.labels(task=TASK)._value.get()


@pytest.fixture
def sent(monkeypatch) -> list[tuple]:
    messages: list[tuple] = []
    monkeypatch.setattr(current_app, "send_task", lambda task, args: messages.append((task, args)))
    return messages


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_woken_only_after_the_commit(sent):
    with transaction.atomic():
        wake(TASK, 7)
        assert sent == []

    assert sent == [(TASK, (7,))]


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_that_would_say_nothing_new_is_dropped(monkeypatch):
    sent = []
    monkeypatch.setattr(current_app, "send_task", lambda *what, **options: sent.append((what, options)))

    wake(TASK, 7, expires=30)

    assert sent == [((TASK, (7,)), {"expires": 30})]


@pytest.mark.django_db(transaction=True)
def test_nobody_is_woken_for_what_was_rolled_back(sent):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        wake(TASK, 7)
        raise ZeroDivisionError

    assert sent == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["amqp://guest:guest@127.0.0.1:{}//", "redis://127.0.0.1:{}/0"])
def test_a_silent_broker_is_no_error(broker, silent_peer, scheme):
    broker.conf.broker_url = scheme.format(silent_peer.port)
    before = failed()

    wake(TASK, 1)  # returns within a bounded time

    assert failed() == before + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["amqp://guest:guest@127.0.0.1:{}//", "redis://127.0.0.1:{}/0"])
def test_a_broker_that_refuses_is_no_error(broker, scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobodys_port = server.getsockname()[1]
    broker.conf.broker_url = scheme.format(nobodys_port)
    before = failed()

    wake(TASK, 1)

    assert failed() == before + 1


@pytest.mark.django_db(transaction=True)
def test_after_a_failure_nobody_waits_again_for_a_while(broker, silent_peer):
    broker.conf.broker_url = f"redis://127.0.0.1:{silent_peer.port}/0"
    before = failed()
    wake(TASK, 1)
    waited = len(silent_peer.connections)
    assert waited and failed() == before + 1

    for number in range(100):
        wake(TASK, number)

    assert failed() == before + 101
    assert len(silent_peer.connections) == waited


def test_after_its_rest_one_request_alone_finds_out_whether_the_broker_is_back(broker, silent_peer, monkeypatch):
    broker.conf.broker_url = f"redis://127.0.0.1:{silent_peer.port}/0"
    monkeypatch.setattr(wake_module, "RETRY_INTERVAL", 0.0)
    sender = wake_module._sender
    with pytest.raises(TimeoutError):  # the sender's error for no response; another error would prove nothing
        sender.send(TASK, (1,), {})

    def find_out() -> None:
        with contextlib.suppress(Exception):
            sender.send(TASK, (2,), {})

    finding_out = threading.Thread(target=find_out)
    finding_out.start()
    while not sender.waiting:
        time.sleep(0.01)

    for number in range(20):
        with pytest.raises(TimeoutError, match="keeps another message waiting"):
            sender.send(TASK, (number,), {})

    finding_out.join()


@pytest.mark.django_db(transaction=True)
def test_a_failed_wake_up_does_not_keep_others_from_happening_on_commit(broker):
    broker.conf.broker_url = "redis://127.0.0.1:1/0"
    happened = []

    with transaction.atomic():
        wake(TASK, 1)
        transaction.on_commit(lambda: happened.append(True))

    assert happened == [True]
