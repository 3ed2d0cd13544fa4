"""The language: where variables are replaced, how, and whose value counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.mounts import read_mount
from labdock.build.dockerfile.words import expand
from labdock.build.plan import BUILDER_ARGS, PROXIES
from labdock.build.scope import proxy_env
from tests.unit.build.language import draft_of, message_of

MakeWorld = Callable[[], Any]


def env(text: str, **options: Any) -> dict[str, str]:
    found = draft_of(text, **options).scope.env
    return {name: value for name, value in found.items() if name != "PATH"}


def values(text: str, **options: Any) -> dict[str, str]:
    return {name: value for name, value in draft_of(text, **options).scope.values.items() if name != "PATH"}


def test_variables_are_replaced_in_env_label_user_workdir_expose_volume_and_stopsignal() -> None:
    draft = draft_of(
        "FROM scratch\nENV A=a N=80 S=TERM\nENV B=$A LIST='1 2'\nLABEL l$A=$A\nUSER $A\nWORKDIR /$A\n"
        "EXPOSE $N/udp $LIST\nVOLUME /$A ${LIST}\nSTOPSIGNAL SIG$S\n"
    )
    config = draft.config
    assert draft.scope.env["B"] == "a"
    assert (config.labels, config.user, config.working_dir, config.stop_signal) == ({"la": "a"}, "a", "/a", "SIGTERM")
    assert sorted(config.exposed_ports) == ["1/tcp", "2/tcp", "80/udp"]
    assert list(config.volumes) == ["/a", "1", "2"]


def test_variables_are_not_replaced_in_run_cmd_entrypoint_healthcheck_and_shell() -> None:
    draft = draft_of(
        'FROM scratch\nENV A=a\nSHELL ["$A"]\nCMD x $A\nENTRYPOINT ["$A"]\nHEALTHCHECK CMD $A\nONBUILD RUN $A\n'
    )
    config = draft.config
    assert (config.shell, config.cmd, config.entrypoint) == (("$A",), ("$A", "x $A"), ("$A",))
    assert config.on_build == ("RUN $A",)
    assert config.healthcheck is not None
    assert config.healthcheck.test == ("CMD-SHELL", "$A")


def test_variables_are_replaced_in_from_and_its_platform() -> None:
    draft = draft_of("ARG P=arm64\nFROM --platform=linux/$P img:$P\n")
    assert (draft.plan.target.base, draft.plan.target.platform) == ("img:arm64", "linux/arm64")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$x|${x}|$e|$u", "v|v||"),
        ("${u:-w}|${e:-w}|${x:-w}", "w|w|v"),
        ("${u:+w}|${e:+w}|${x:+w}", "||w"),
        ("${u:-${e:-$x}}", "v"),
        ("${u-w}|${e-w}", "w|"),
        ("${u+w}|${e+w}", "|w"),
        ("${x?no}|${e?no}", "v|"),
        ("${p#*/}|${p##*/}|${p%/*}|${p%%/*}", "b/c|c|a/b|a"),
        ("${p/b/x}|${p//\\//-}|${p/?/x}", "a/x/c|a-b-c|x/b/c"),
    ],
)
def test_forms_of_variables(text: str, found: str) -> None:
    assert expand(text, {"x": "v", "e": "", "p": "a/b/c"}) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${u?say why}", "u: say why"),
        ("${e:?}", "e: is not allowed to be empty"),
        ("${}", "bad substitution"),
        ("${a", "missing '}'"),
        ("${a^^}", "unsupported modifier (^) in substitution"),
        ("${a:x}", "unsupported modifier (:x) in substitution"),
        ("${a:#x}", "unsupported modifier (:#) in substitution"),
        ("'a", "unexpected end of statement while looking for matching single-quote"),
    ],
)
def test_malformed_and_required_variables_stop_the_build_at_their_word(text: str, words: str) -> None:
    assert words in message_of(f"FROM scratch\nENV e=\nUSER {text}\n")


def test_quotes_and_escapes() -> None:
    assert expand('\\$x \'$x\' "$x" "a\\b" a\\b', {"x": "v"}) == "$x $x v a\\b ab"


def test_one_instruction_sees_one_environment() -> None:
    assert env("FROM scratch\nENV a=1\nENV a=2 b=$a\nENV c=$a\n") == {"a": "2", "b": "1", "c": "2"}


def test_env_in_its_old_form_takes_everything_after_the_first_blank() -> None:
    assert env("FROM scratch\nENV a b  'c d' e=f\n") == {"a": "b  c d e=f"}


def test_an_arg_holds_from_its_line_on_and_is_in_no_image() -> None:
    draft = draft_of("FROM scratch\nENV before=$A\nARG A=1 B=$A C\nENV after=$A$B\n")
    assert draft.scope.env["before"] == ""
    assert draft.scope.env["after"] == "11"
    assert draft.scope.args == {"A": "1", "B": "1"}
    assert not any(entry.startswith("A=") for entry in draft.scope.image_env())


def test_a_build_argument_beats_the_default_and_null_is_not_given_but_empty_is() -> None:
    text = "FROM scratch\nARG A=default\nENV a=$A\n"
    assert env(text, build_args={"A": "x"}) == {"a": "x"}
    assert env(text, build_args={"A": None}) == {"a": "default"}
    assert env(text, build_args={"A": ""}) == {"a": ""}


def test_a_global_arg_is_imported_by_name_and_a_default_in_the_stage_wins_over_it() -> None:
    text = "ARG A=global\nFROM scratch\nENV no=$A\nARG A\nENV yes=$A\n"
    assert env(text) == {"no": "", "yes": "global"}
    assert env(text, build_args={"A": "given"}) == {"no": "", "yes": "given"}
    assert env("ARG A=global\nFROM scratch\nARG A=stage\nENV a=$A\n") == {"a": "stage"}
    assert env("ARG A=global\nFROM scratch\nARG A=stage\nENV a=$A\n", build_args={"A": "given"}) == {"a": "given"}


def test_args_are_inherited_by_the_stages_based_on_theirs() -> None:
    assert env("FROM scratch AS one\nARG A=1\nFROM one\nENV a=$A\n") == {"a": "1"}


def test_an_env_beats_an_earlier_arg_and_a_later_arg_shadows_the_env() -> None:
    build_args = {"A": "given"}
    assert values("FROM scratch\nARG A=arg\nENV A=env\n", build_args=build_args) == {"A": "env"}
    assert values("FROM scratch\nENV A=env\nARG A=arg\n") == {"A": "arg"}
    assert values("FROM scratch\nENV A=env\nARG A\n") == {"A": "env"}


def test_a_build_argument_that_nothing_declares_is_no_error_and_is_named() -> None:
    plan = draft_of("FROM scratch\nARG a\n", build_args={"a": "1", "b": "2", "n": None}).plan
    assert plan.unused == ("b",)


def test_proxies_need_no_arg() -> None:
    draft = draft_of("FROM scratch\n", build_args={"http_proxy": "p", "HTTPS_PROXY": "q", "other": "x"})
    assert proxy_env(draft.plan.build_args, draft.scope) == ("HTTPS_PROXY=q", "http_proxy=p")
    assert draft.plan.unused == ("other",)
    assert len(PROXIES) == 10
    own = draft_of("FROM scratch\nENV http_proxy=mine\n", build_args={"http_proxy": "p"})
    assert proxy_env(own.plan.build_args, own.scope) == ()


def test_platform_arguments_are_global_and_need_an_arg_in_a_stage() -> None:
    options: dict[str, Any] = {"platform": "linux/arm/v7", "native": "linux/amd64"}
    text = "FROM scratch AS s\nENV no=$TARGETARCH\nARG TARGETARCH TARGETVARIANT BUILDOS TARGETSTAGE TARGETOSVERSION\n"
    found = values(text + "ENV yes=$TARGETARCH-$TARGETVARIANT-$BUILDOS\n", **options)
    assert (found["no"], found["yes"], found["TARGETSTAGE"]) == ("", "arm-v7-linux", "s")
    assert draft_of("FROM --platform=$BUILDPLATFORM a$TARGETOS\n", **options).plan.target.base == "alinux"
    assert values("FROM scratch\nARG TARGETARCH\n", build_args={"TARGETARCH": "x"})["TARGETARCH"] == "x"


def test_arguments_for_the_builder_itself_are_never_unused() -> None:
    given = dict.fromkeys(BUILDER_ARGS, "0")
    assert draft_of("FROM scratch\n", build_args=given).plan.unused == ()


def test_variables_are_replaced_in_the_values_of_mounts() -> None:
    draft = draft_of("FROM scratch\nENV D=/d\n")
    flag = ast.MountFlag("type=cache,target=$D/x,id=${U:-i}", draft.plan.stages[0].stage.start.range)
    mount = read_mount(flag, draft.expand)
    assert (mount.target, mount.id) == ("/d/x", "i")


@pytest.mark.sandbox
def test_run_gets_args_as_environment_and_proxies_change_neither_history_nor_cache(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    text = "FROM base\nARG A=1\nENV B=2\nRUN echo $A$B$http_proxy > /out\n"
    image = world.build(text, build_args={"http_proxy": "p"})
    assert world.read(image, "out") == "12p\n"
    assert image.config.history[-1].created_by == "RUN |1 A=1 /bin/sh -c echo $A$B$http_proxy > /out"
    world.build(text, build_args={"http_proxy": "q"})
    assert world.steps[-1].startswith("*RUN")
    world.build(text, build_args={"A": "3"})
    assert world.steps[-1].startswith("RUN")
    assert not any("A=" in entry for entry in image.config.config.env)
    world.close()
