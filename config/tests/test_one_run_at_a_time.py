"""Two test runs in one checkout: the second waits for the first, however the first ends."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

RUN = """
import sys
from pathlib import Path
from config.local.embedded import Home

home = Home(Path(sys.argv[1]))
home.prepare()
home.wait_for_turn(lambda sentence: print(sentence, flush=True))
print("my turn", flush=True)
sys.stdin.read()
"""


def run(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR,
    )  # fmt: skip


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_run_waits_with_a_sentence_until_the_first_ends(tmp_path: Path, killed: bool):
    with run(tmp_path / "home") as first:
        assert first.stdout.readline() == "my turn\n"
        with run(tmp_path / "home") as second:
            said = second.stdout.readline()
            assert said == f"Another test run (process {first.pid}) uses {tmp_path / 'home'}: waiting until it ends.\n"
            assert second.poll() is None

            if killed:
                first.kill()
            else:
                first.stdin.close()

            assert second.stdout.readline() == "my turn\n"
            second.stdin.close()
    assert second.returncode == 0
