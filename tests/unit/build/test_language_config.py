"""The language: instructions that change an image's config and no file."""

from __future__ import annotations

import pytest

from labdock.build.dockerfile import instructions as ast
from labdock.schema.oci import RuntimeConfig
from tests.unit.build.language import draft_of, message_of, only


def config(text: str, base: RuntimeConfig | None = None) -> RuntimeConfig:
    return draft_of(f"FROM base\n{text}", base).config


def test_the_last_cmd_wins_and_shell_form_gets_the_shell_in_front() -> None:
    assert config('CMD ["a"]\nCMD b c\n').cmd == ("/bin/sh", "-c", "b c")
    assert config("CMD []\n", RuntimeConfig(cmd=("x",))).cmd == ()


def test_an_entrypoint_drops_an_inherited_cmd_and_keeps_an_own_one() -> None:
    base = RuntimeConfig(cmd=("inherited",))
    assert config('ENTRYPOINT ["e"]\n', base).cmd is None
    assert config('CMD ["own"]\nENTRYPOINT ["e"]\n', base).cmd == ("own",)
    assert config("ENTRYPOINT []\n", RuntimeConfig(entrypoint=("e",))).entrypoint is None


def test_shell_is_json_only_and_reaches_later_lines_and_children() -> None:
    found = config('CMD a\nSHELL ["/bin/bash", "-o", "pipefail", "-c"]\nENTRYPOINT b\n')
    assert found.cmd == ("/bin/sh", "-c", "a")
    assert found.entrypoint == ("/bin/bash", "-o", "pipefail", "-c", "b")
    child = draft_of('FROM a AS one\nSHELL ["/s"]\nFROM one\nCMD x\n')
    assert child.config.cmd == ("/s", "x")
    assert "SHELL requires the arguments to be in JSON form" in message_of("FROM a\nSHELL /bin/bash\n")


def test_healthcheck_options_are_nanoseconds() -> None:
    check = config(
        "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1h --start-interval=2s --retries=3 CMD a b\n"
    ).healthcheck
    assert check is not None
    assert check.test == ("CMD-SHELL", "a b")
    seconds = 10**9
    assert (check.interval, check.timeout, check.start_period) == (90 * seconds, seconds // 2, 3600 * seconds)
    assert (check.start_interval, check.retries) == (2 * seconds, 3)


def test_healthcheck_json_is_cmd_and_none_turns_it_off() -> None:
    one, other = config('HEALTHCHECK CMD ["a", "b"]\n').healthcheck, config("HEALTHCHECK NONE\n").healthcheck
    assert one is not None
    assert other is not None
    assert (one.test, other.test) == (("CMD", "a", "b"), ("NONE",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("HEALTHCHECK --interval=1us CMD a", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries must be a number, 0 or more (-1)"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK TCP 80", 'Unknown type "TCP" in HEALTHCHECK (try CMD)'),
    ],
)
def test_healthcheck_that_can_not_be(text: str, words: str) -> None:
    assert words in message_of(f"FROM a\n{text}\n")


def test_expose_takes_ports_ranges_and_protocols() -> None:
    found = config("EXPOSE 80 53/udp 8000-8002/TCP 9/sctp\n")
    assert list(found.exposed_ports) == ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp", "9/sctp"]


def test_expose_takes_the_containers_port_of_a_mapping() -> None:
    found = config("EXPOSE 127.0.0.1:81:80 [::1]:83:82/udp 5:6\n")
    assert list(found.exposed_ports) == ["6/tcp", "80/tcp", "82/udp"]


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("x", "invalid containerPort: x"),
        ("70000", "invalid containerPort: 70000"),
        ("9-8", "invalid containerPort: 9-8"),
        ("80/icmp", "invalid proto: icmp"),
        ("/tcp", "no port specified"),
        ("x:80", "invalid hostPort: x"),
        ("1.2.3:1:2", "invalid IP address: 1.2.3"),
        ("1-3:4-5", "invalid ranges specified for container and host Ports: 4-5 and 1-3"),
    ],
)
def test_expose_that_can_not_be(port: str, words: str) -> None:
    assert words in message_of(f"FROM a\nEXPOSE {port}\n")


def test_volume_takes_words_or_json() -> None:
    assert list(config("VOLUME /a /b\n").volumes) == ["/a", "/b"]
    assert list(config('VOLUME ["/c d"]\n').volumes) == ["/c", "d"]
    assert "VOLUME specified can not be an empty string" in message_of('FROM a\nVOLUME [""]\n')


@pytest.mark.parametrize("text", ["SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-1"])
def test_stopsignal_is_kept_as_written(text: str) -> None:
    assert config(f"STOPSIGNAL {text}\n").stop_signal == text


@pytest.mark.parametrize("text", ["SIGNOPE", "0", "99", "-1", "SIGRTMIN+99"])
def test_stopsignal_that_is_none(text: str) -> None:
    assert f"invalid signal: {text}" in message_of(f"FROM a\nSTOPSIGNAL {text}\n")


def test_labels_with_quotes_and_the_later_one_counts() -> None:
    found = config("LABEL a=\"b c\" 'd e'=f g=h\\ i\nLABEL a=2\n")
    assert found.labels == {"a": "2", "d e": "f", "g": "h i"}


def test_maintainer_is_the_author() -> None:
    assert draft_of("FROM a\nMAINTAINER Some One <a@b>\n").author == "Some One <a@b>"


def test_user_is_kept_as_written() -> None:
    assert config("USER app:50\n").user == "app:50"
    assert "USER requires exactly one argument" in message_of("FROM a\nUSER\n")


def test_workdir_is_relative_to_the_last_and_normalised() -> None:
    assert config("WORKDIR /a//b/\nWORKDIR c/../d\n").working_dir == "/a/b/d"
    assert config("WORKDIR x\n").working_dir == "/x"
    assert config("WORKDIR ../../x\n").working_dir == "/x"


def test_onbuild_adds_to_what_there_is() -> None:
    assert isinstance(only("FROM a\nONBUILD RUN x\n"), ast.Onbuild)
    assert config("ONBUILD RUN x\nONBUILD USER y\n").on_build == ("RUN x", "USER y")
