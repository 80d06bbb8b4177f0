"""A test's own RabbitMQ with a memory alarm: it accepts connections, but no messages."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings

from config.tests.ports import free_port

SCRIPTS = Path("/usr/lib/rabbitmq/bin")  # the wrappers in /usr/sbin switch to another user
SERVER = SCRIPTS / "rabbitmq-server"
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not SERVER.exists(), reason="needs a RabbitMQ that it may break"),
]
ASK = """
import django
django.setup()
from config.monitoring import service_checks
try:
    print(service_checks.broker())
except service_checks.Unusable as error:
    print(error)
"""
# 35 s of wake-ups, each of which tries for 3 s and then pauses for 5 s.
WAKE = """
import os, threading, time
import django
django.setup()
from core.wake import wake
until = time.monotonic() + 35
while time.monotonic() < until:
    wake("config.tasks.tick")
    time.sleep(0.5)
print(sum(thread.name.startswith("wake") for thread in threading.enumerate()), flush=True)
os._exit(0)
"""


class Node:
    """A RabbitMQ node in a folder, with its own name and port."""

    def __init__(self, folder: Path) -> None:
        self.name, self.port = f"test{uuid4().hex[:8]}@localhost", free_port()
        (folder / "plugins").write_text("[].")
        self.env = os.environ | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        }
        self.log = (folder / "out").open("wb")
        self.process = subprocess.Popen([SERVER], env=self.env, stdout=self.log, stderr=self.log)
        self.control("await_startup", "--timeout", "90")

    def control(self, *arguments: str) -> None:
        command = [SCRIPTS / "rabbitmqctl", "-q", "-n", self.name, *arguments]
        for _ in range(20):  # until the node has written its cookie and its name is registered
            if subprocess.run(command, env=self.env, capture_output=True).returncode == 0:
                return
            time.sleep(1)
        raise AssertionError(f"rabbitmqctl {arguments} failed")

    def close(self) -> None:
        self.control("stop")
        self.process.wait(60)
        self.log.close()

    def run(self, code: str) -> str:
        """Return what a process of Opsroom prints that uses this node as its broker."""
        env = os.environ | {"CELERY_BROKER_URL": f"amqp://guest:guest@127.0.0.1:{self.port}//"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=90
        )
        return (done.stdout + done.stderr[-2000:] * (done.returncode != 0)).strip()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.close()
    shutil.rmtree(tmp_path / "data", ignore_errors=True)


def test_a_memory_alarm_is_reported_and_leaves_no_threads_that_wait_for_its_end(node: Node):
    assert node.run(ASK) == "answers (amqp)"

    node.control("set_vm_memory_high_watermark", "0.0000001")

    assert node.run(ASK).startswith("takes no messages: a memory or disk alarm")
    assert int(node.run(WAKE).split()[-1]) <= 3

    node.control("set_vm_memory_high_watermark", "0.4")

    assert node.run(ASK) == "answers (amqp)"
