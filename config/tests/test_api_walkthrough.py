"""The commands of docs/api.md work, in order, on an instance with demo data."""

import re
import subprocess

import pytest

from config.tests.instance import PROJECT, running_instance

# Records the status and the arguments of each request, and prints the body, like curl.
CURL = """curl() {
    echo "$(command curl --max-time 20 -o body -w '%{http_code}' "$@") $(echo "$*" | tr '\\n' ' ')" >> requests
    cat body
}
"""
pytestmark = pytest.mark.chaos  # no faults, but as slow as the fault injection tests
MOVING = """SELECT (SELECT count(*) FROM chats_broadcast WHERE status IN ('queued', 'sending'))
 + (SELECT count(*) FROM events_notification WHERE status = 'NotProcessed')"""
EXPECTED = {
    "/junit.xml": {"404", "200"},  # the run may already have ended, or not
    "/cancel/": {"409", "200"},
    "/sessions/s-1/": {"404", "200"},  # counted a second or two after the event
    "/log/": {"416", "206"},
    '{"audience": "all"}': {"400"},  # the document's example of an error
}


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    with running_instance(tmp_path_factory.mktemp("home")) as instance:
        instance.manage("create_demo")
        instance.manage("make_report")
        instance.start_worker()
        instance.start_runner()
        instance.start_beat()
        instance.start_web()
        yield instance


def test_every_command_of_the_walkthrough_succeeds(instance, tmp_path):
    text = (PROJECT / "docs" / "api.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)

    (tmp_path / "docs").symlink_to(PROJECT / "docs")  # readers are in the project's folder, and send an image from it
    # One shell, because later commands use variables of earlier ones. Between two blocks a reader waits.
    shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    assert shell.stdin and shell.stdout
    with shell:
        shell.stdin.write(CURL)
        for number, block in enumerate(blocks):
            shell.stdin.write(block.replace("http://127.0.0.1:8000", instance.url) + f"\necho; echo end-{number}\n")
            shell.stdin.flush()
            while not shell.stdout.readline().startswith(f"end-{number}"):
                assert shell.poll() is None
            instance.wait_for(lambda: instance.one(MOVING) == 0)
        shell.stdin.close()

    requests = (tmp_path / "requests").read_text().splitlines()
    assert len(requests) > 50
    assert not [line for line in requests if not _is_expected(line)]


def _is_expected(line: str) -> bool:
    status, _, command = line.partition(" ")
    for part, statuses in EXPECTED.items():
        if part in command and not ("/broadcasts/" in command and part == "/cancel/"):
            return status in statuses
    return status.startswith("2")
