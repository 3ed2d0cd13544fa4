"""The 22 build checks: what each finds, where, and how they are turned off."""

from __future__ import annotations

import pytest

from labdock.build.checks import RULES, BaseFacts, Finding, check, enforce, read_config
from labdock.build.dockerfile import parse
from labdock.build.patterns import PathMatcher
from labdock.errors import DockerfileError
from labdock.schema.build import BuildNotice

KNOWN = {"img": BaseFacts(("PATH=/bin", "HOME_OF=/x"), platform="linux/arm64"), "plain": BaseFacts()}
#: check → a Dockerfile, and what is found in it: (text, line, first column, last column).
CASES = {
    "StageNameCasing": ("FROM plain AS Build\n", "Stage name 'Build' should be lowercase", (1, 14, 19)),
    "FromAsCasing": ("FROM plain as x\n", "'as' and 'FROM' keywords' casing do not match", (1, 11, 13)),
    "NoEmptyContinuation": ("FROM plain\nRUN a \\\n\n  b\n", "Empty continuation line", (3, 0, 0)),
    "ConsistentInstructionCasing": (
        "FROM plain\nrun a\n",
        "Command 'run' should match the case of the command majority (uppercase)",
        (2, 0, 3),
    ),
    "DuplicateStageName": (
        "FROM plain AS a\nFROM plain AS a\n",
        'Duplicate stage name "a", stage names should be unique',
        (2, 14, 15),
    ),
    "ReservedStageName": (
        "FROM plain AS context\n",
        'Stage name should not use the same name as reserved stage "context"',
        (1, 14, 21),
    ),
    "JSONArgsRecommended": (
        "FROM plain\nENTRYPOINT a b\n",
        "JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals",
        (2, 0, 14),
    ),
    "MaintainerDeprecated": (
        "FROM plain\nMAINTAINER me\n",
        "Maintainer instruction is deprecated in favor of using label",
        (2, 0, 13),
    ),
    "UndefinedArgInFrom": (
        "ARG VERSION=1\nFROM plain${VERSIN}\n",
        "FROM argument 'VERSIN' is not declared (did you mean VERSION?)",
        (2, 5, 19),
    ),
    "WorkdirRelativePath": (
        "FROM plain\nWORKDIR a/b\n",
        'Relative workdir "a/b" can have unexpected results if the base image changes',
        (2, 8, 11),
    ),
    "UndefinedVar": (
        "FROM plain\nARG SOURCE=a\nCOPY x $SORCE /y/\n",
        "Usage of undefined variable '$SORCE' (did you mean $SOURCE?)",
        (3, 7, 13),
    ),
    "MultipleInstructionsDisallowed": (
        'FROM plain\nCMD ["a"]\nCMD ["b"]\n',
        "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        (2, 0, 9),
    ),
    "LegacyKeyValueFormat": (
        "FROM plain\nENV a b\n",
        '"ENV key=value" should be used instead of legacy "ENV key value" format',
        (2, 0, 7),
    ),
    "InvalidBaseImagePlatform": (
        "FROM img\n",
        'Base image img was pulled with platform "linux/arm64", expected "linux/amd64" for current build',
        (1, 5, 8),
    ),
    "RedundantTargetPlatform": (
        "FROM --platform=$TARGETPLATFORM plain\n",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        (1, 5, 31),
    ),
    "SecretsUsedInArgOrEnv": (
        "FROM plain\nARG a DB_PASSWORD=x\n",
        'Do not use ARG or ENV instructions for sensitive data (ARG "DB_PASSWORD")',
        (2, 6, 19),
    ),
    "InvalidDefaultArgInFrom": (
        "ARG TAG\nFROM plain:${TAG}\n",
        "Default value for ARG plain:${TAG} results in empty or invalid base image name",
        (2, 5, 17),
    ),
    "FromPlatformFlagConstDisallowed": (
        "FROM --platform=linux/amd64 plain\n",
        'FROM --platform flag should not use constant value "linux/amd64"',
        (1, 5, 27),
    ),
    "CopyIgnoredFile": (
        "FROM plain\nCOPY a ignored/x /d/\n",
        'Attempting to Copy file "ignored/x" that is excluded by .dockerignore',
        (2, 7, 16),
    ),
    "InvalidDefinitionDescription": (
        "# check=experimental=all\nFROM plain\n# what it is for\nARG a\n",
        "Comment for ARG should follow the format: `# a <description>`",
        (4, 0, 5),
    ),
    "ExposeProtoCasing": (
        "FROM plain\nEXPOSE 1 80/TCP\n",
        "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
        (2, 9, 15),
    ),
    "ExposeInvalidFormat": (
        "FROM plain\nEXPOSE 127.0.0.1:80:80\n",
        "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
        (2, 7, 22),
    ),
}


def look(text: str, **options: object) -> tuple[Finding, ...]:
    options = {"bases": KNOWN, "native": "linux/amd64", **options}
    return check(parse(text), PathMatcher(["ignored"]), **options)  # type: ignore[arg-type]


def names(text: str, **options: object) -> list[str]:
    return [finding.name for finding in look(text, **options)]


def test_there_are_as_many_as_buildkit_has() -> None:
    assert set(CASES) == set(RULES)
    assert len(RULES) == 22


@pytest.mark.parametrize("name", CASES)
def test_each_check_finds_its_words_at_their_place(name: str) -> None:
    text, words, (line, column, end_column) = CASES[name]
    (found,) = look(text)
    where = found.range
    assert (found.name, found.text) == (name, words)
    assert (where.line, where.column, where.end_line, where.end_column) == (line, column, line, end_column)
    assert found.description == RULES[name].description


@pytest.mark.parametrize("name", [name for name in CASES if not RULES[name].experimental])
def test_each_check_is_skipped_by_its_name(name: str) -> None:
    text = CASES[name][0]
    assert names(f"# check=skip=Other, {name}\n{text}") == []
    assert names(f"# check=skip=all\n{text}") == []
    assert names(f"# check=skip=all\n{text}", build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=Other"}) == [name]
    assert names(text, build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}) == []


def test_a_comment_above_an_instruction_skips_for_it_alone() -> None:
    text = "FROM plain\n# check=skip=LegacyKeyValueFormat because\nENV a b\nENV c d\n"
    assert [finding.range.line for finding in look(text)] == [4]
    assert names("FROM plain\n# check=nonsense\nENV a b\n") == ["LegacyKeyValueFormat"]
    assert names("# check=skip=all;experimental=InvalidDefinitionDescription\nFROM plain\n#x\nARG a\nENV a b\n") == [
        "InvalidDefinitionDescription"
    ]


def test_findings_are_errors_when_the_file_says_so() -> None:
    text = "# check=error=true\nFROM plain\nENV a b\nMAINTAINER x\n"
    dockerfile = parse(text)
    findings = check(dockerfile, bases=KNOWN)
    with pytest.raises(DockerfileError) as raised:
        enforce(dockerfile, findings)
    assert raised.value.message == (
        "dockerfile parse error on line 3: lint violation found for rules: LegacyKeyValueFormat, MaintainerDeprecated"
    )
    enforce(dockerfile, ())
    enforce(dockerfile, findings, {"BUILDKIT_DOCKERFILE_CHECK": "error=false"})
    enforce(parse("FROM plain\nENV a b\n"), findings)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("what", 'invalid check option "what"'),
        ("skip=all;what=1", 'invalid check option "what"'),
        ("error=maybe", 'failed to parse check option "error=maybe"'),
    ],
)
def test_options_that_can_not_be_read_are_errors_at_the_directive(value: str, words: str) -> None:
    with pytest.raises(DockerfileError, match=words) as raised:
        look(f"# syntax=x\n# check={value}\nFROM a\n")
    assert raised.value.line == 2
    assert read_config(parse("FROM a\n"), {}).error is False


def test_variables_of_a_base_that_is_not_here_are_not_called_undefined() -> None:
    assert names("FROM elsewhere\nCOPY $JAVA_HOME /\nWORKDIR $JAVA_HOME/x\n") == []
    assert names("FROM elsewhere\nARG SOURCE\nENV SOURCES=1\nCOPY $SOURCS /\n") == ["UndefinedVar"]
    assert names("FROM plain\nCOPY $JAVA_HOME /\n") == ["UndefinedVar"]
    assert names("FROM img\nCOPY $HOME_OF /\n", platform="linux/arm64") == []
    assert names("FROM scratch AS a\nENV x=1\nFROM a\nCOPY $x $PATH /d/\nRUN echo $nothing\n") == []


def test_what_an_arg_without_a_value_names_is_declared() -> None:
    assert names("FROM plain\nARG x\nCOPY a$x /\n") == []
    assert names("FROM plain\nCOPY a$x /\nARG x=1\n") == ["UndefinedVar"]
    assert names("FROM plain\nCOPY <<E /f\n$x 'it\nE\n") == ["UndefinedVar"]
    assert names("FROM plain\nCOPY <<'E' /f\n$x\nE\n") == []
    assert names("FROM plain\nRUN --mount=type=cache,target=$x true\n") == ["UndefinedVar"]


def test_a_shell_of_its_own_ends_the_advice_to_use_json() -> None:
    assert names('FROM plain\nSHELL ["/bin/bash", "-c"]\nCMD a\n') == []
    assert names("FROM b\nCMD a\n", bases={"b": BaseFacts((), ("/bin/bash", "-c"))}) == []


def test_what_is_taken_back_or_comes_from_a_stage_is_not_called_ignored() -> None:
    text = "FROM plain AS a\nFROM plain\nCOPY --from=a ignored /x\nADD http://h/ignored /y\n"
    assert names(text) == []
    found = check(parse("FROM plain\nADD ignored /\n"), PathMatcher(["ignored", "!ignored/x"]), bases=KNOWN)
    assert found == ()
    everything = check(parse("FROM plain\nCOPY . /\n"), PathMatcher(["*"]), bases=KNOWN)
    assert [finding.text for finding in everything] == ['Attempting to Copy file "." that is excluded by .dockerignore']


@pytest.mark.parametrize(
    ("key", "found"),
    [("api_key", True), ("AUTH", True), ("MY_TOKEN_2", True), ("KEYBOARD", False), ("TOKEN_FILE", False)],
)
def test_secrets_are_told_by_whole_words(key: str, found: bool) -> None:
    assert names(f"FROM plain\nENV {key}=x\n") == ["SecretsUsedInArgOrEnv"] * found


def test_stages_that_are_not_built_are_not_followed() -> None:
    text = "FROM plain AS a\nENV x y\nFROM plain\n"
    assert names(text) == ["LegacyKeyValueFormat"]
    assert names(text, stages={1}) == []


def test_a_notice_has_the_checks_name_and_the_range() -> None:
    (found,) = look("FROM plain\nENV a b\n")
    assert found.notice() == BuildNotice(
        text=found.text,
        line=2,
        end_line=2,
        column=0,
        end_column=7,
        check="LegacyKeyValueFormat",
        description=found.description,
    )


def test_what_it_costs_is_bounded() -> None:
    lines = [f"ENV V{number}=1\nCOPY $W{number} $X{number} /\n" for number in range(2000)]
    found = look("FROM plain\n" + "".join(lines))
    assert len(found) == 1000
