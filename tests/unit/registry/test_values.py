"""Hosts, settings, credentials, pauses, and what an error's body says: pure parts in tables."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.errors import (
    Forbidden,
    InvalidRequest,
    LabdockError,
    NotFound,
    RateLimited,
    StorageFull,
    SystemFailure,
    Unauthorized,
    Unavailable,
)
from labdock.registry import Repository, hosts, settings
from labdock.registry.auth import read_token
from labdock.registry.credentials import Credentials, read_auth, read_config
from labdock.registry.failures import explain, passing, read_words, show
from labdock.registry.retry import Again, Attempts, Policy, read_retry_after
from labdock.registry.settings import Mirror
from tests.unit.registry.standins import QuickClock

NOW = 1_700_000_000.0


def encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


# -- hosts


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("", "docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("https://GHCR.io/v2/", "ghcr.io"),
        ("http://localhost:5000", "localhost:5000"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)
def test_normalize(server: str, host: str) -> None:
    assert hosts.normalize(server) == host


def test_docker_hub_is_somewhere_else() -> None:
    assert hosts.locate("docker.io") == "registry-1.docker.io"
    assert hosts.locate("quay.io") == "quay.io"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("a.localhost:1", True),
        ("127.0.0.1:80", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("localhost.example:5000", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("localhost:x", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert hosts.is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "listed", "found"),
    [
        ("r.example:5000", ("r.example",), True),
        ("r.example:5000", ("r.example:5000",), True),
        ("r.example:5000", ("r.example:5001",), False),
        ("10.1.2.3:5000", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8",), False),
        ("r.example", ("10.0.0.0/8", "not a/network"), False),
        ("sub.r.example", ("r.example",), False),
    ],
)
def test_listed_hosts(host: str, listed: tuple[str, ...], found: bool) -> None:
    assert hosts.matches(host, listed) is found


@pytest.mark.parametrize(
    "url", ["", "/v2/", "ftp://x/", "http://", "http://[", "http://x:99999/", "http://x:0/", "file:///etc"]
)
def test_what_is_no_address_of_a_registry(url: str) -> None:
    with pytest.raises(SystemFailure, match="is not the address"):
        hosts.parse_url(url)


@given(st.text(max_size=100))
def test_any_location_is_joined_or_refused(location: str) -> None:
    try:
        joined = hosts.join_url("https://r.example/v2/a", location)
    except SystemFailure:
        return
    assert joined.startswith(("http://", "https://"))
    assert all(32 < ord(letter) < 127 for letter in joined)


@pytest.mark.parametrize(
    ("host", "path", "familiar"),
    [
        ("docker.io", "library/busybox", "busybox"),
        ("docker.io", "user/app", "user/app"),
        ("docker.io", "library/a/b", "library/a/b"),
        ("ghcr.io", "a/b", "ghcr.io/a/b"),
    ],
)
def test_familiar(host: str, path: str, familiar: str) -> None:
    assert Repository(host, path).familiar == familiar


# -- settings


def test_settings_from_the_environment(tmp_path: Path) -> None:
    listed = tmp_path / "mirrors"
    listed.write_text("# ours\ndocker.io = third.example   # slow\n\nghcr.io=fourth.example/g\n")
    found = settings.read(
        {
            "HOME": "/home/u",
            "LABDOCK_MIRRORS": f"docker.io=first.example:5000, docker.io=http://Second.example/hub/ ,{listed}",
            "LABDOCK_INSECURE": "r.example 10.0.0.0/8,R2.example",
            "LABDOCK_CERTS": "/certs",
        }
    )
    assert found.mirrors == {
        "docker.io": (Mirror("first.example:5000"), Mirror("second.example", "hub", "http"), Mirror("third.example")),
        "ghcr.io": (Mirror("fourth.example", "g"),),
    }
    assert found.insecure == ("r.example", "10.0.0.0/8", "r2.example")
    assert [str(folder) for folder in found.ca_folders] == ["/certs", "/home/u/.docker/certs.d", "/etc/docker/certs.d"]
    assert (
        found.may_be_plain("10.2.3.4:5000") and found.may_be_plain("localhost") and not found.may_be_plain("x.example")
    )


@pytest.mark.parametrize(
    "text", ["docker.io", "=x", "docker.io=", "docker.io=ftp://x", "docker.io=x:y", "/no/such/file"]
)
def test_mirrors_that_are_none(text: str) -> None:
    with pytest.raises(InvalidRequest, match="LABDOCK_MIRRORS"):
        settings.read({"LABDOCK_MIRRORS": text})


def test_a_file_of_mirrors_names_no_other_file(tmp_path: Path) -> None:
    listed = tmp_path / "mirrors"
    listed.write_text(str(listed))
    with pytest.raises(InvalidRequest, match="is not HOST=MIRROR"):
        settings.read({"LABDOCK_MIRRORS": str(listed)})


@pytest.mark.parametrize(
    ("host", "no_proxy", "proxy"),
    [
        ("r.example", "", "http://p:3128"),
        ("r.example", "r.example", ""),
        ("a.r.example:5000", ".r.example", ""),
        ("a.r.example", "r.example", ""),
        ("ar.example", "r.example", "http://p:3128"),
        ("10.1.1.1", "10.0.0.0/8", ""),
        ("r.example", "*", ""),
        ("localhost:5000", "", ""),
    ],
)
def test_proxies(host: str, no_proxy: str, proxy: str) -> None:
    assert settings.read({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": no_proxy}).proxy_for(host) == proxy


# -- credentials


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"username": "u", "password": "p"}, Credentials("u", "p")),
        ({"auth": base64.b64encode(b"u:p:q").decode()}, Credentials("u", "p:q")),
        ({"username": "u", "password": "p", "auth": "ignored!"}, Credentials("u", "p")),
        ({"identitytoken": "t", "username": "<token>"}, Credentials("<token>", "", "t")),
        ({"registrytoken": "t"}, Credentials(registry_token="t")),
        ({"username": None, "password": None, "email": "x", "serveraddress": "https://index.docker.io/v1/"}, None),
        ({}, None),
    ],
)
def test_x_registry_auth(sent: dict[str, str | None], expected: Credentials | None) -> None:
    assert read_auth(encode(sent), "r.example").find("r.example") == expected


def test_the_image_s_host_counts_not_the_address_in_the_header() -> None:
    keychain = read_auth(encode({"username": "u", "password": "p", "serveraddress": "other.example"}), "r.example")
    assert keychain.find("r.example") and not keychain.find("other.example")
    assert read_auth(encode({"username": "u", "serveraddress": "https://other.example/v1/"})).find("other.example")


@pytest.mark.parametrize(
    "form", [str, lambda text: text.rstrip("="), lambda text: text.replace("-", "+").replace("_", "/")]
)
def test_either_alphabet_with_and_without_padding(form: object) -> None:
    assert callable(form)
    header = form(encode({"username": "uÿ>?", "password": "ÿÿ>>??~"}))
    assert read_auth(header, "r").find("r") == Credentials("uÿ>?", "ÿÿ>>??~")


DEEP = b'{"a":' * 100_000


def test_json_without_an_end_to_its_depth() -> None:
    assert read_words(DEEP) == ""
    with pytest.raises(SystemFailure, match="token server"):
        read_token(DEEP, "https://t.example/", NOW)
    with pytest.raises(InvalidRequest, match="invalid X-Registry-Auth header"):
        read_auth(base64.urlsafe_b64encode(DEEP).decode())


@pytest.mark.parametrize("header", ["!!!", encode([1]), encode("x"), encode({"username": 1}), "A" * 2_000_000, "YQ"])
def test_headers_that_are_none(header: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid X-Registry-Auth header"):
        read_auth(header)


def test_x_registry_config() -> None:
    keychain = read_config(
        encode({"https://index.docker.io/v1/": {"username": "h", "password": "1"}, "ghcr.io": {"identitytoken": "t"}})
    )
    assert keychain.find("docker.io") == Credentials("h", "1")
    assert keychain.find("ghcr.io") == Credentials(identity_token="t")
    assert keychain.find("quay.io") is None
    assert read_config("").entries == {}


def test_secrets_are_not_shown() -> None:
    shown = repr(read_auth(encode({"username": "who", "password": "hush", "identitytoken": "hush"}), "r"))
    assert "who" in shown and "hush" not in shown


# -- tokens


@pytest.mark.parametrize(
    ("answer", "value", "life"),
    [
        ({"token": "a"}, "a", 54),
        ({"access_token": "b", "expires_in": 300}, "b", 290),
        ({"token": "a", "access_token": "b", "expires_in": "120"}, "a", 110),
        ({"token": "a", "expires_in": 5}, "a", 54),
    ],
)
def test_tokens(answer: dict[str, object], value: str, life: float) -> None:
    token = read_token(json.dumps(answer).encode(), "https://t.example/", NOW)
    assert (token.value, token.expires - NOW) == (value, life)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nX-Evil: 1"}', b'{"token": "\xc3\xa9"}', b"[" * 100_000],
)
def test_answers_without_a_token(body: bytes) -> None:
    with pytest.raises(SystemFailure, match=r"token server https://t\.example/"):
        read_token(body, "https://t.example/", NOW)


# -- pauses


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("12", 12.0),
        (" 0 ", 0.0),
        ("-1", None),
        ("soon", None),
        ("٣", None),
        (email.utils.formatdate(NOW + 90, usegmt=True), 90.0),
        (email.utils.formatdate(NOW - 90, usegmt=True), 0.0),
        ("Fri, 99 Foo 20xx", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_are_bounded(attempt: int, jitter: float) -> None:
    policy = Policy(first=0.5, longest=8)
    assert 0.25 <= policy.pause(attempt, jitter) <= 8
    assert policy.pause(attempt, jitter) <= policy.pause(attempt + 1, 1)


async def _fail(attempts: Attempts, *failures: Again) -> None:
    for again in failures:
        await attempts.failed(again)


def test_attempts_pause_longer_each_time_and_end() -> None:

    clock, error = QuickClock(), Unavailable("down")
    with pytest.raises(Unavailable, match="down"):
        asyncio.run(_fail(Attempts(clock, Policy(attempts=4, first=1, longest=3)), *[Again(error)] * 4))
    assert clock.slept == [0.75, 1.5, 2.25]


def test_a_server_s_wish_is_followed_within_patience() -> None:

    clock = QuickClock()
    asyncio.run(_fail(Attempts(clock, Policy(patience=30)), Again(Unavailable("x"), after=29.0)))
    assert clock.slept == [29.0]
    with pytest.raises(Unavailable):
        asyncio.run(_fail(Attempts(clock, Policy(patience=30)), Again(Unavailable("x"), after=31.0)))
    assert clock.slept == [29.0]


# -- what an answer means


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ""),
        (b"<html>502</html>", ""),
        (b"plain\n words", "plain words"),
        (
            b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}',
            "denied: requested access to the resource is denied",
        ),
        (b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "name unknown"),
        (b'{"errors":[{"message":"m"},{"code":"C","message":"n"}]}', "m; c: n"),
        (b'{"details":"incorrect username or password"}', "incorrect username or password"),
        (b'{"error":"invalid_grant","error_description":"too old"}', "too old"),
        (b'{"errors":"?"}', ""),
        (b'{"errors":[{"code":"X","message":"\\u001b[31mred\\nline"}]}', "x: [31mred line"),
    ],
)
def test_words(body: bytes, words: str) -> None:
    assert read_words(body) == words


def test_words_are_short() -> None:
    assert len(read_words(b"x" * 60_000)) < 400


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (418, SystemFailure),
        (500, Unavailable),
        (507, StorageFull),
        (307, SystemFailure),
    ],
)
def test_statuses(status: int, kind: type[LabdockError]) -> None:
    error = explain('Get "https://r/v2/"', status, {}, b"", NOW)
    assert type(error) is kind and f"status {status}" in error.message


@pytest.mark.parametrize(
    ("headers", "seconds", "said"),
    [
        ({"Retry-After": "3600"}, 3600, "try again in 60 min"),
        ({"RateLimit-Reset": "90"}, 90, "try again in 90 s"),
        ({"X-RateLimit-Reset": str(int(NOW) + 7500)}, 7500, "try again in 2 h 05 min"),
        (
            {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"},
            None,
            r"\(100 in 6 h\); what was used",
        ),
        ({"X-RateLimit-Limit": "60"}, None, r"\(the limit is 60\)"),
        ({"RateLimit-Limit": "x;w=y", "Retry-After": "?", "RateLimit-Reset": "-"}, None, "toomanyrequests"),
        ({}, None, "toomanyrequests"),
    ],
)
def test_rate_limits_count_down(headers: dict[str, str], seconds: float | None, said: str) -> None:
    body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}'
    error = explain('Get "https://r/v2/a"', 429, headers, body, NOW)
    assert isinstance(error, RateLimited)
    assert error.seconds == seconds
    assert "toomanyrequests: You have reached your pull rate limit" in error.message
    assert error.hint and "labdock login" in error.hint and "LABDOCK_MIRRORS" in error.hint
    with pytest.raises(RateLimited, match=said):
        raise error


def test_a_passing_status_is_tried_again() -> None:
    error = Unavailable("x")
    again = passing(error, 503, {"Retry-After": "7"}, NOW)
    assert isinstance(again, Again) and again.after == 7.0
    assert passing(error, 501, {}, NOW) is error


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "60 s"), (119, "119 s"), (121, "3 min"), (7200, "2 h"), (7500, "2 h 05 min"), (-5, "0 s")],
)
def test_show(seconds: float, text: str) -> None:
    assert show(seconds) == text
