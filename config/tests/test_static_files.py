"""Static files outside Django's threads: headers, ranges, no source maps, and nothing outside their folder."""

import asyncio
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command

from config.middleware import DEFAULTS
from config.server.static_files import StaticFiles
from config.server.static_storage import StaticStorage
from config.tests.serving import Server, connect, serving

SHEET = "/static/config/opsroom.css"


def content_of(path: str) -> bytes:
    return Path(finders.find(path.removeprefix("/static/"))).read_bytes()


async def ask(path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    async with serving(StaticFiles()) as server:
        return await _ask(server, path, *headers, method=method)


async def _ask(server: Server, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    peer = await connect(server)
    lines = [f"{method} {path} HTTP/1.1", "Host: h", "Connection: close", *headers, "", ""]
    peer.send("\r\n".join(lines).encode())
    head, _, body = (await peer.read()).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


async def test_a_file_comes_with_its_own_rule_for_caches_and_the_default_headers():
    status, headers, body = await ask(SHEET)

    assert status == 200 and body == content_of(SHEET)
    assert headers["content-type"].startswith("text/css") and "public" in headers["cache-control"]
    assert {name.lower() for name in DEFAULTS} <= set(headers)


async def test_head_range_and_a_known_version():
    whole = content_of(SHEET)
    _, headers, body = await ask(SHEET, method="HEAD")

    assert body == b"" and headers["content-length"] == str(len(whole))
    assert (await ask(SHEET, "Range: bytes=10-19"))[::2] == (206, whole[10:20])
    assert (await ask(SHEET, "Range: bytes=99999999-"))[0] == 416
    assert (await ask(SHEET, f"If-Modified-Since: {headers['last-modified']}"))[::2] == (304, b"")
    assert (await ask(SHEET, method="POST"))[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/", "/static/nothing.css", "/static/config/", "/static/../config/settings.py",
        "/static/%2e%2e/manage.py", "/static//etc/passwd", "/static/config/opsroom.css%00", "/static/%ff",
        "/static/config\\opsroom.css/..", "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js.map",
    ],
)  # fmt: skip
async def test_what_is_no_file_is_404(path):
    status, headers, body = await ask(path)

    assert status == 404 and headers["content-type"] == "application/problem+json", body[:100]


async def test_fifty_clients_that_read_nothing_keep_no_other_waiting():
    large = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    async with serving(StaticFiles()) as server:
        for _ in range(50):
            (await connect(server, buffer=4096)).send(f"GET {large} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await asyncio.sleep(0.2)

        status, _, body = await _ask(server, large)

        assert status == 200 and body == content_of(large)


def test_source_maps_are_not_collected(capsys, tmp_path, settings):
    settings.STATIC_ROOT = tmp_path

    call_command("collectstatic", "--noinput", "--dry-run", verbosity=2)

    names = capsys.readouterr().out
    assert "swagger-ui-bundle.js" in names and ".map" not in names


def test_references_to_source_maps_are_left_alone():
    assert "sourceMappingURL" not in str(StaticStorage.patterns) and "@import" in str(StaticStorage.patterns)
