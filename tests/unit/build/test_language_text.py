"""The language, at the level of text: words, comments, continuations, directives, JSON, flags, heredocs."""

from __future__ import annotations

import pytest

from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile import parse
from labdock.build.runs import run_args
from labdock.errors import DockerfileError
from tests.unit.build.language import draft_of, message_of, only, stages_of


def test_instruction_words_are_not_case_sensitive_and_may_be_indented() -> None:
    assert [type(one) for one in stages_of("fRoM a aS b\n  \trun x\n\t EnV a=b\n")[0].instructions] == [
        ast.Run,
        ast.Env,
    ]
    assert message_of("FROM a\nRUNN x\n") == "dockerfile parse error on line 2: unknown instruction: RUNN"


def test_comments_are_lines_and_may_stand_between_continuations() -> None:
    run = only("FROM a\n  # c\nRUN a # b \\\n# c\n   # d\n && e\n")
    assert run.text == "RUN a # b  && e"


def test_a_continuation_joins_without_a_blank_and_keeps_leading_ones() -> None:
    assert only("FROM a\nRUN x\\\n  y\\  \t\nz\n").text == "RUN x  yz"
    assert only("FROM a\nRUN x\\\\\n").text == "RUN x\\\\"
    assert only("FROM a\nRUN x \\").text == "RUN x"


def test_a_blank_line_in_a_continuation_is_skipped_and_noted() -> None:
    dockerfile = parse("FROM a\nRUN x \\\n\n \n y\n")
    assert dockerfile.stages[0].instructions[0].text == "RUN x  y"
    assert [(line, where.line) for line, where in dockerfile.empty_continuations] == [(2, 3)]


def test_line_ends_and_a_byte_order_mark_are_dropped() -> None:
    assert only(b"\xef\xbb\xbfFROM a\r\nRUN x \\\r\n y\r\n").text == "RUN x  y"


def test_a_line_has_65535_bytes_at_most() -> None:
    assert only("FROM a\nRUN " + "x" * 65_530 + "\n").text.endswith("xx")
    assert "dockerfile line greater than max allowed size of 65535" in message_of("FROM a\nRUN " + "x" * 65_532)
    assert "greater than max" in message_of("FROM a\nRUN " + "é" * 32_766)


def test_directives_only_at_the_very_top() -> None:
    def names(text: str) -> list[tuple[str, str]]:
        return [(one.name, one.value) for one in parse(text).directives]

    assert names("# syntax=a/b:1\n#ESCAPE = `\n# check=skip=all\nFROM a\n") == [
        ("syntax", "a/b:1"),
        ("escape", "`"),
        ("check", "skip=all"),
    ]
    assert names("# hello\n# escape=`\nFROM a\n") == []
    assert names("\n# escape=`\nFROM a\n") == []
    assert names("# unknown=x\n# escape=`\nFROM a\n") == []
    assert "only one syntax parser directive can be used" in message_of("# syntax=a\n# Syntax=b\nFROM a\n")


def test_the_syntax_directive_is_taken_and_does_nothing() -> None:
    assert only("# syntax=docker/dockerfile:9\nFROM a\nRUN x\n") == only("# a comment, same length   \nFROM a\nRUN x\n")


def test_the_escape_directive_governs_continuations_and_words_but_no_run_text() -> None:
    dockerfile = parse("# escape=`\nFROM a\nRUN dir c:\\ `\n d\nENV X=a` b Y=c:\\\n")
    run, env = dockerfile.stages[0].instructions
    assert run.text == "RUN dir c:\\  d"
    assert isinstance(env, ast.Env)
    assert [pair.value.text for pair in env.pairs] == ["a` b", "c:\\"]
    assert draft_of("# escape=`\nFROM a\nENV X=a` b Y=c:\\ Z=`$X\n").scope.env == {"X": "a b", "Y": "c:\\", "Z": "$X"}
    assert "invalid escape token 'x'" in message_of("# escape=x\nFROM a\n")


@pytest.mark.parametrize(
    ("text", "args", "shell"),
    [
        ('["a", "b c"]', ("a", "b c"), False),
        ('[ "a" ]', ("a",), False),
        ("[]", (), False),
        ("['a']", ("['a']",), True),
        ('["a",]', ('["a",]',), True),
        ('["a"', ('["a"',), True),
        ('["a"] x', ('["a"] x',), True),
    ],
)
def test_json_form_is_an_array_of_strings_and_anything_else_is_shell_form(
    text: str, args: tuple[str, ...], shell: bool
) -> None:
    command = only(f"FROM a\nCMD {text}\n")
    assert isinstance(command, ast.Cmd)
    assert (command.command.args, command.command.shell) == (args, shell)


def test_a_json_array_with_a_non_string_is_an_error() -> None:
    words = "when using JSON array syntax, arrays must be comprised of strings only"
    assert words in message_of('FROM a\nRUN ["a", 1]\n')
    assert words in message_of('FROM a\nRUN ["a", ["b"]]\n')


def test_flags_lead_and_are_unquoted_and_two_dashes_end_them() -> None:
    copy = only('FROM a\nCOPY --chown="a b" --from=\\x -- --link y\n')
    assert isinstance(copy, ast.Copy)
    assert copy.chown is not None
    assert copy.source is not None
    assert (copy.chown.text, copy.source.text) == ("a b", "x")
    assert ([word.text for word in copy.sources], copy.destination.text) == (["--link"], "y")
    assert "unknown flag: --chow" in message_of("FROM a\nCOPY --chow=x a b\n")
    assert "duplicate flag specified: --chown" in message_of("FROM a\nCOPY --chown=x --chown=y a b\n")
    assert "missing a value on flag: --chown" in message_of("FROM a\nCOPY --chown a b\n")


def test_four_ways_to_be_empty_are_four_errors() -> None:
    assert "the Dockerfile cannot be empty" in message_of("")
    assert "file with no instructions" in message_of("# only\n\n# comments\n")
    assert "no build stage in current context" in message_of("RUN x\n")
    assert "dockerfile contains no stages to build" in message_of("ARG a\n")


def test_heredocs_follow_in_order_and_end_with_their_mark_alone() -> None:
    run = only("FROM a\nRUN cat <<A 3<< B\na \\\n# no comment\n A\nA\nb\nB\n")
    assert isinstance(run, ast.Run)
    assert [(each.mark.name, each.mark.fd, each.body) for each in run.command.heredocs] == [
        ("A", 0, "a \\\n# no comment\n A\n"),
        ("B", 3, "b\n"),
    ]
    assert "unterminated heredoc" in message_of("FROM a\nRUN <<A\nx\n")


@pytest.mark.parametrize("text", ['RUN ["<<A"]', 'RUN "<<A"', "RUN <<<A", "RUN a <<< b", "CMD <<A", "ENV a=<<A"])
def test_what_is_no_heredoc(text: str) -> None:
    assert len(stages_of(f"FROM a\n{text}\nUSER x\n")[0].instructions) == 2


def test_a_heredoc_with_tabs_stripped_strips_only_tabs() -> None:
    run = only("FROM a\nRUN <<-E\n\t\tx\n\t y\n  z\n\tE\n")
    assert isinstance(run, ast.Run)
    assert run.command.heredocs[0].content == "x\n y\n  z\n"


@pytest.mark.parametrize(
    ("mark", "name", "expand"),
    [("E", "E", True), ("'E'", "E", False), ('"E"', "E", False), ("E'O'F", "EOF", False), ("$E", "$E", True)],
)
def test_a_quoted_mark_stops_expansion_and_names_the_file_without_quotes(mark: str, name: str, expand: bool) -> None:
    copy = only(f"FROM a\nCOPY <<{mark} /d/\n$x\n{name}\n")
    assert isinstance(copy, ast.Copy)
    assert [(each.name, each.expand, each.content) for each in copy.inlines] == [(name, expand, "$x\n")]


def test_a_run_heredoc_alone_is_a_script_and_with_a_shebang_a_file() -> None:
    draft = draft_of("FROM a\n")
    assert run_args(draft, _run("RUN <<E\necho $x\nE\n")) == (("/bin/sh", "-c", "echo $x\n"), None)
    args, script = run_args(draft, _run("RUN <<E\n#!/bin/python\nx\nE\n"))
    assert script is not None
    assert script[1] == "#!/bin/python\nx\n"
    assert args[-1].startswith("/")


def test_a_run_heredoc_with_a_command_goes_to_the_shell_as_it_is_written() -> None:
    draft = draft_of("FROM a\n")
    args, script = run_args(draft, _run("RUN cat <<-E && <<'F' x\n\tb\n\tE\nf\nF\n"))
    assert (args, script) == (("/bin/sh", "-c", "cat <<-E && <<'F' x\n\tb\nE\nf\nF"), None)


def test_a_copy_heredoc_keeps_its_quotes_and_is_no_destination() -> None:
    copy = only("FROM a\nCOPY <<E /d\n\"a\" 'b'\nE\n")
    assert isinstance(copy, ast.Copy)
    assert copy.inlines[0].content == "\"a\" 'b'\n"
    assert "COPY cannot accept a heredoc as a destination" in message_of("FROM a\nCOPY a <<E\nE\n")


def test_an_error_names_the_offending_word() -> None:
    with pytest.raises(DockerfileError) as raised:
        parse("FROM a\nRUN x\nCOPY --chmod=1 \\\n  --ling a b\n")
    error = raised.value
    assert (error.line, error.column, error.end_line, error.end_column) == (4, 2, 4, 8)
    assert error.hint == "did you mean --link?"


def _run(text: str) -> ast.Run:
    found = only(f"FROM a\n{text}")
    assert isinstance(found, ast.Run)
    return found
