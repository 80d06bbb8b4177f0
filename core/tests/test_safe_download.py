"""fetch with malicious addresses and servers, and with servers that fail."""

import gzip
import socket
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests.adapters
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.http.safe_download import Fetched, fetch
from core.http.url_policy import Deadline, DownloadError, origin
from core.tests.evil_server import (
    Connection,
    EvilServer,
    answer,
    drip_body,
    drip_headers,
    endless_body,
    endless_chunk_size,
    head,
    raw,
    redirect,
    running,
    silent,
)

MIB = 1024 * 1024


def get(url: str, *trusted: str, deadline: Deadline | float = 5.0, max_bytes: int = MIB) -> Fetched:
    return fetch(url, deadline=deadline, max_bytes=max_bytes, trusted_origins=trusted)


def refusal(url: str, *trusted: str, deadline: Deadline | float = 5.0, max_bytes: int = MIB) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        get(url, *trusted, deadline=deadline, max_bytes=max_bytes)
    error = caught.value
    assert error.reason.endswith(".") and error.reason.isprintable()
    assert not {"Traceback", "Error(", "object at", "Exception"} & set(error.reason.split())
    return error


@pytest.fixture
def names(monkeypatch) -> dict[str, list[list[str]]]:
    """A fake resolver: for each name, its addresses at the first lookup, the second, and so on."""
    answers: dict[str, list[list[str]]] = {}

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[host].pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


@pytest.fixture
def connections(monkeypatch) -> list[str]:
    """Every IP address to which a socket was connected. The connection itself goes to loopback instead."""
    seen: list[str] = []
    connect = socket.socket.connect

    def to_loopback(sock: socket.socket, address: tuple[str, int]) -> None:
        seen.append(address[0])
        connect(sock, ("127.0.0.1", address[1]))

    monkeypatch.setattr(socket.socket, "connect", to_loopback)
    return seen


@pytest.fixture
def secure_server(tmp_path: Path, monkeypatch) -> Iterator[EvilServer]:
    """A TLS server for photos.test, with a certificate that is accepted as valid."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "photos.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("photos.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "photos.test.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(pem))
    with running(EvilServer(tls=context)) as server:
        yield server


# --- Successful requests ------------------------------------------------------------------------


def test_a_plain_answer_is_returned_with_its_type_and_address(evil_server):
    url = evil_server.on("/a.png", answer(200, b"bytes", Content_Type="image/png"))

    assert get(url, evil_server.origin) == Fetched(b"bytes", "image/png", url)


def test_the_request_carries_no_more_than_it_should(evil_server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    get(evil_server.on("/a", answer(200, b"x")), evil_server.origin)

    headers = evil_server.asked[0].headers
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"127.0.0.1:{evil_server.port}"
    assert not {"cookie", "authorization", "referer"} & set(headers)


def test_a_relative_redirect_is_followed(evil_server):
    evil_server.on("/new place", answer(200, b"here"))
    evil_server.behaviours["/new%20place"] = answer(200, b"here")

    fetched = get(evil_server.on("/old", redirect("new place")), evil_server.origin)

    assert (fetched.body, fetched.url) == (b"here", evil_server.origin + "/new%20place")


def test_three_redirects_are_followed_and_a_fourth_is_not(evil_server):
    evil_server.on("/4", answer(200, b"the end"))
    for step in (3, 2, 1, 0):
        evil_server.on(f"/{step}", redirect(f"/{step + 1}"))

    assert get(evil_server.origin + "/1", evil_server.origin).body == b"the end"
    error = refusal(evil_server.origin + "/0", evil_server.origin)
    assert (error.code, error.permanent) == ("redirect", True)


def test_a_gzipped_answer_is_inflated(evil_server):
    url = evil_server.on("/a", answer(200, gzip.compress(b"hello"), Content_Encoding="gzip"))

    assert get(url, evil_server.origin).body == b"hello"


def test_a_chunked_answer_is_put_together(evil_server):
    url = evil_server.on("/a", raw(head(Transfer_Encoding="chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))

    assert get(url, evil_server.origin).body == b"abcde"


def test_a_name_is_asked_once_and_its_vetted_address_is_the_one_connected_to(secure_server, names, connections):
    secure_server.on("/a", answer(200, b"from the public"))
    names["photos.test"] = [["93.184.215.14"], ["127.0.0.1"], ["127.0.0.1"]]

    fetched = get(f"https://photos.test:{secure_server.port}/a")

    assert fetched.body == b"from the public"
    assert connections == ["93.184.215.14"]
    assert len(names["photos.test"]) == 2
    assert secure_server.asked[0].headers["host"] == f"photos.test:{secure_server.port}"


def test_the_certificate_has_to_be_of_the_name(secure_server, names, connections):
    names["other.test"] = [["93.184.215.14"]]

    error = refusal(f"https://other.test:{secure_server.port}/a")

    assert (error.code, error.permanent) == ("broken", False)
    assert secure_server.asked == []


def test_the_second_address_of_a_host_is_tried_after_the_first(evil_server, monkeypatch):
    dead = [(socket.AF_INET, 1, 6, "", (ip, evil_server.port)) for ip in ("127.0.0.9", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: dead)
    url = evil_server.on("/a", answer(200, b"alive")).replace("127.0.0.1", "photos.test")

    assert get(url, f"http://photos.test:{evil_server.port}").body == b"alive"


# --- Refused addresses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1]/",
        "https://someone:secret@example.com/",
        "https://someone@example.com/",
        "https:///nowhere",
        "https://exa mple.com/",
        "https://a..b/",
        "https://[::1/",
        "https://example.com:99999/",
        "https://example.com/\x00",
        "https://example.com/" + "x" * 5000,
    ],
)
def test_a_forbidden_address_is_refused_for_good(url):
    error = refusal(url)

    assert (error.code, error.permanent, error.status) == ("forbidden_address", True, None)
    assert "secret" not in error.reason


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "ftp://a/", "//a/b", "", "a.png"],
)
def test_only_https_is_spoken(url):
    error = refusal(url)

    assert (error.code, error.permanent) == ("forbidden_scheme", True)


def test_one_private_answer_among_public_ones_is_enough_to_refuse(names, connections):
    names["photos.test"] = [["93.184.215.14", "10.0.0.7"]]

    error = refusal("https://photos.test/")

    assert error.code == "forbidden_address"
    assert "10.0.0.7" in error.reason
    assert connections == []


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1:1/",
        "https://169.254.169.254/latest/",
        "http://169.254.169.254/latest/",
        "file:///etc/passwd",
        "https://a:b@example.com/",
        "javascript:alert(1)",
    ],
)
def test_a_redirect_to_somewhere_forbidden_is_not_followed(evil_server, location):
    error = refusal(evil_server.on("/a", redirect(location)), evil_server.origin)

    assert (error.code, error.permanent) == ("redirect", True)
    assert f"127.0.0.1:{evil_server.port} redirects" in error.reason


def test_a_stranger_may_not_redirect_to_a_trusted_origin(secure_server, evil_server, names, connections):
    secret = evil_server.on("/secret", answer(200, b"inside")).replace("127.0.0.1", "inside.test")
    secure_server.on("/a", redirect(secret))
    names |= {"photos.test": [["93.184.215.14"]], "inside.test": [["127.0.0.1"]]}

    error = refusal(f"https://photos.test:{secure_server.port}/a", origin(secret))

    assert error.code == "redirect"
    assert evil_server.asked == []


def test_the_same_host_on_another_port_is_not_trusted(evil_server):
    error = refusal(evil_server.on("/a", answer(200)), "http://127.0.0.1:1")

    assert error.code == "forbidden_scheme"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTPS://Example.com/a?b", "https://example.com:443"),
        ("http://example.com", "http://example.com:80"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, expected):
    assert origin(url) == expected


# --- Networks and servers that fail -------------------------------------------------------------


def test_a_closed_port_is_named():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{listener.getsockname()[1]}"

    error = refusal(f"http://{closed}/", f"http://{closed}")

    assert (error.code, error.permanent) == ("refused", False)
    assert closed in error.reason


def test_an_unknown_name_is_named():
    error = refusal("https://photos.invalid/a.png")

    assert (error.code, error.permanent) == ("unresolvable", False)
    assert "photos.invalid" in error.reason


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(404, True), (410, True), (403, True), (408, False), (429, False), (500, False), (503, False), (204, False)],
)
def test_a_status_that_is_not_200_is_told(evil_server, status, permanent):
    error = refusal(evil_server.on("/a", answer(status)), evil_server.origin)

    assert (error.code, error.status, error.permanent) == ("status", status, permanent)
    assert f" {status} " in error.reason


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("3600", "429 Too Many Requests and asks to wait 3600 seconds."),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "and asks to wait until 21 October 2026 07:28 UTC."),
        ("soon", "429 Too Many Requests."),
        ("-1", "429 Too Many Requests."),
        ("9" * 400, "429 Too Many Requests."),
    ],
)
def test_a_request_for_patience_is_passed_on(evil_server, header, words):
    error = refusal(evil_server.on("/a", answer(429, Retry_After=header)), evil_server.origin)

    assert error.reason.endswith(words)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\n\r\n",
        head(Content_Length="10") + b"five!",
        head(Content_Length="5, 6") + b"five!",
        head(Content_Encoding="gzip") + b"this is not gzip",
        head(Content_Encoding="br") + b"whatever",
        head(Content_Encoding="gzip, gzip") + gzip.compress(gzip.compress(b"x")),
        head(Transfer_Encoding="chunked") + b"zz\r\nabc",
        head(Transfer_Encoding="chunked") + b"5\r\nabc",
    ],
)
def test_an_answer_that_is_broken_is_called_so(evil_server, data):
    error = refusal(evil_server.on("/a", raw(data)), evil_server.origin)

    assert (error.code, error.permanent) == ("broken", False)


def test_bytes_after_the_announced_length_are_left_alone(evil_server):
    url = evil_server.on("/a", raw(head(Content_Length="4") + b"four and more"))

    assert get(url, evil_server.origin).body == b"four"


# --- Time ---------------------------------------------------------------------------------------


def drip_trailers(connection: Connection) -> None:
    connection.send(head(Transfer_Encoding="chunked") + b"0\r\n")
    while True:
        connection.send(b"X: y\r\n")
        connection.wait(0.05)


def drip_hundred_continue(connection: Connection) -> None:
    while True:
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.wait(0.05)


def drip_with_length(connection: Connection) -> None:
    connection.send(head(Content_Length="1000"))
    while True:
        connection.send(b"x")
        connection.wait(0.05)


@pytest.mark.parametrize(
    "behaviour",
    [silent, drip_headers, drip_body, drip_with_length, drip_trailers, drip_hundred_continue, endless_chunk_size],
)
def test_the_deadline_holds_whatever_the_server_does(evil_server, behaviour):
    error = refusal(evil_server.on("/a", behaviour), evil_server.origin, deadline=0.4)

    if behaviour is not endless_chunk_size:  # that is not HTTP, and may fail immediately
        assert (error.code, error.permanent) == ("timeout", False)
        assert error.reason == f"127.0.0.1:{evil_server.port} did not answer completely within 0.4 seconds."


def test_the_deadline_holds_while_the_handshake_drips(names):
    server = EvilServer()

    def drip(request: socket.socket, _: Any) -> None:
        with request:
            request.sendall(b"\x16\x03\x03\x40\x00")  # the start of a TLS record of 16 KiB
            while not server.stopping.wait(0.05):
                request.sendall(b"\x02")

    server.finish_request = lambda request, address: _quietly(drip, request, address)  # type: ignore[method-assign]
    names["photos.test"] = [["127.0.0.1"]]
    with running(server):
        url = f"https://photos.test:{server.port}"

        error = refusal(url, url, deadline=0.4)

    assert error.code == "timeout"


def _quietly(behave: Any, *args: Any) -> None:
    try:
        behave(*args)
    except OSError:
        return


def test_the_deadline_holds_over_redirects(evil_server):
    def slow(connection: Connection) -> None:
        connection.wait(0.2)
        redirect("/a")(connection)

    error = refusal(evil_server.on("/a", slow), evil_server.origin, deadline=0.5)

    assert error.code == "timeout"


def test_the_deadline_holds_while_the_name_service_hangs(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(60))

    error = refusal("https://photos.test/", deadline=0.3)

    assert (error.code, error.permanent, answered.is_set()) == ("timeout", False, False)
    answered.set()


def test_a_deadline_may_be_shared_and_may_have_passed(evil_server):
    deadline = Deadline.after(0.3)
    get(evil_server.on("/quick", answer(200)), evil_server.origin, deadline=deadline)

    error = refusal(evil_server.on("/slow", silent), evil_server.origin, deadline=deadline)
    again = refusal(evil_server.origin + "/quick", evil_server.origin, deadline=deadline)

    assert (error.code, again.code) == ("timeout", "timeout")


# --- Size ---------------------------------------------------------------------------------------


def test_an_endless_body_is_read_up_to_the_cap(evil_server):
    error = refusal(evil_server.on("/a", endless_body), evil_server.origin, max_bytes=5 * MIB)

    assert (error.code, error.permanent) == ("too_large", True)
    assert error.reason == f"127.0.0.1:{evil_server.port} sent more than the 5 MiB that are accepted."


def test_a_body_of_exactly_the_cap_is_accepted(evil_server):
    url = evil_server.on("/a", answer(200, b"x" * 1000))

    assert len(get(url, evil_server.origin, max_bytes=1000).body) == 1000
    assert refusal(url, evil_server.origin, max_bytes=999).code == "too_large"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compression_bomb_stops_at_the_cap_and_needs_no_memory(evil_server, coding):
    deflate = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    bomb = b"".join(deflate.compress(bytes(MIB)) for _ in range(50)) + deflate.flush()
    url = evil_server.on("/a", answer(200, bomb, Content_Encoding=coding))
    get(evil_server.on("/warm", answer(200)), evil_server.origin)
    tracemalloc.start()

    error = refusal(url, evil_server.origin, max_bytes=MIB)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code == "too_large"
    assert peak < 8 * MIB  # of the 50 in the body


def test_many_small_gzip_members_count_together(evil_server):
    member = gzip.compress(bytes(MIB))
    url = evil_server.on("/a", answer(200, member * 20, Content_Encoding="gzip"))

    assert refusal(url, evil_server.origin, max_bytes=2 * MIB).code == "too_large"
