"""How the command line looks: three lines an error, no colour where nobody sees it, words that a shell completes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest
from click.shell_completion import BashComplete

from ingest_project import cli
from ingest_project.cli.terminal import table
from ingest_project.settings import settings
from ingest_project_tests.journey.conftest import FIRST, Ran, write_csv, write_spec

Command = Callable[..., Ran]
MAIN = "import sys; from ingest_project.cli import main; sys.argv = ['ingest', *sys.argv[1:]]; main()"


@pytest.fixture
def registered(command: Command, tmp_path: Path) -> str:
    name = f"shown-{uuid4().hex[:8]}"
    write_csv(tmp_path / "places.csv", FIRST)
    assert command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, location="places.csv")).code == 0
    return name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "nobody"), "no branch 'nobody' is registered"),
        (("run",), "give NAME or FILE"),
        (("runn",), "No such command 'runn'. (Did you mean one of: 'prune', 'run'?)"),
        (("rejects", "x", "--bye", "y"), "No such option '--bye'."),
        (("branch", "show"), "name a branch, or ask for --schema"),
        (("rejects", "x", "--by", "nonsense"), "Invalid value for '--by' / '--code': 'nonsense' is not one of"),
    ],
)
def test_an_error_is_what_where_and_what_to_run(command: Command, words: tuple[str, ...], said: str) -> None:
    ran = command(*words)
    assert (ran.code, ran.out) == (2, "")
    what, *rest = ran.err.splitlines()
    assert what.startswith(f"error: {said}")
    assert rest[-1].startswith("  do:    ")
    assert "ingest" in rest[-1]
    assert len(rest) <= 2


def test_a_file_that_cannot_be_written_is_said_in_three_lines(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "places.yaml"
    ran = command("branch", "init", write_csv(tmp_path / "places.csv", FIRST), "--output", target)
    assert ran.code == 1
    assert ran.err.splitlines()[-3:] == [
        "error: No such file or directory",
        f"  where: file {target}",
        "  do:    Name another, or mend its folder or rights.",
    ]


def test_what_nobody_foresaw_is_no_page_of_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("by the test")

    monkeypatch.setattr("ingest_project.cli.status.ensure_migrated", fail)
    ran = command("status")
    assert ran.code == 1
    assert "error: ZeroDivisionError: by the test" in ran.err
    assert "INGEST_LOG_LEVEL=DEBUG" in ran.err
    assert "Traceback" not in ran.err


def with_json(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command that knows `--json`."""
    if any(option.name == "as_json" for option in command.params):
        yield words
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from with_json(found, (*words, name))


WITH_JSON = list(with_json(cli.ingest))


def test_every_command_for_scripts_is_among_those_that_are_tried() -> None:
    assert {("run",), ("status",), ("rejects", "replay"), ("branch", "apply"), ("torture",)} <= set(WITH_JSON)


@pytest.mark.parametrize("words", WITH_JSON, ids=" ".join)
def test_wrong_words_are_json_where_json_was_asked_for(command: Command, words: tuple[str, ...]) -> None:
    ran = command(*words, "--frobnicate", "--json")
    assert (ran.code, ran.err) == (2, "")
    assert ran.json["what"].startswith("No such option '--frobnicate'.")
    assert ran.json["error"].splitlines()[0] == ran.json["what"]
    assert (ran.json["exit_code"], ran.json["code"]) == (2, "UsageError")


@pytest.mark.parametrize(
    ("words", "code", "where"),
    [
        (("status", "nobody"), "BranchUnknown", {"branch": "nobody"}),
        (("rejects", "nobody"), "BranchUnknown", {"branch": "nobody"}),
        (("rejects", "replay", "nobody"), "BranchUnknown", {"branch": "nobody"}),
        (("profile", "nobody"), "BranchUnknown", {"branch": "nobody"}),
        (("history", "nobody", "1"), "BranchUnknown", {"branch": "nobody"}),
        (("verify", "nobody"), "BranchUnknown", {"branch": "nobody"}),
        (("embed", "status", "nobody"), "BranchUnknown", {"branch": "nobody"}),
        (("branch", "activate", "nobody"), "BranchUnknown", {"branch": "nobody"}),
        (("rollback", "999999"), "ActivationUnknown", {"activation": 999999}),
        (("run", "--plan", "999999"), "ActivationUnknown", {"activation": 999999}),
        (("accept", "999999", "shrink_ratio", "--why", "x"), "ActivationUnknown", {"activation": 999999}),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_an_error_is_an_object_with_its_pieces_where_json_was_asked_for(
    command: Command, words: tuple[str, ...], code: str, where: dict[str, Any]
) -> None:
    ran = command(*words, "--json")
    assert (ran.code, ran.err) == (2, "")
    assert (ran.json["exit_code"], ran.json["code"], ran.json["where"]) == (2, code, where)
    assert ran.json["error"].splitlines()[0] == ran.json["what"]
    assert ran.json["error"].endswith(ran.json["todo"])


@pytest.mark.parametrize(
    ("raised", "code", "exit_code"),
    [(ZeroDivisionError("by the test"), "Unexpected", 1), (KeyboardInterrupt(), "Interrupted", 130)],
)
def test_what_nobody_foresaw_is_json_too(
    command: Command, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: str, exit_code: int
) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr("ingest_project.cli.status.ensure_migrated", fail)
    ran = command("status", "--json")
    assert (ran.code, ran.err.strip()) == (exit_code, "")  # click ends the line in which ^C stands
    assert (ran.json["code"], ran.json["exit_code"]) == (code, exit_code)


def test_what_stands_behind_two_dashes_is_no_option(command: Command) -> None:
    ran = command("status", "--", "--json")
    assert ran.out == ""
    assert "no branch '--json' is registered" in ran.err


def said_on_a_terminal(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: list[str]) -> str:
    """What a command that fails says where stderr is a terminal."""
    ours, theirs = os.openpty()
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["ingest", *words])
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert cli._exit_code() == 2  # pyright: ignore[reportPrivateUsage]
        terminal.flush()
        return os.read(ours, 10_000).decode()


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_an_error_is_red_on_a_terminal_that_wants_colours(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool
) -> None:
    said = said_on_a_terminal(monkeypatch, environment, ["frobnicate"])
    assert "No such command" in said
    assert ("\x1b[31m" in said) is coloured


def test_elsewhere_nothing_is_coloured(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" not in command("frobnicate").err


def test_columns_stand_under_each_other_whatever_is_in_them() -> None:
    rows = [("a", 1234567, "007"), ("längerer", 5, None), ("", True, "1e5")]
    assert table(rows, right=(1,)).splitlines() == [
        "  a         1,234,567  007",
        "  längerer          5  None",
        "                 True  1e5",
    ]
    assert table([]) == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_how_to_complete(command: Command, shell: str) -> None:
    ran = command("completion", shell)
    assert ran.code == 0, ran.err
    assert f"_INGEST_COMPLETE={shell}_complete" in ran.out


def completed(*words: str) -> list[str]:
    """What a shell is offered for the last of these words."""
    found = BashComplete(cli.ingest, {}, "ingest", "_INGEST_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [one.value for one in found if one.type == "plain"]


def test_commands_options_and_branches_are_completed(database: str, registered: str) -> None:
    assert {"rejects", "run"} <= set(completed("r"))
    assert completed("branch", "a") == ["apply", "activate"]
    assert "--export" in completed("rejects", "x", "--e")
    assert completed("status", registered[:-2]) == [registered]
    assert registered in completed("run", registered[:-2])


def test_a_press_of_tab_starts_no_server_and_shows_no_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INGEST_DATABASE_URL", raising=False)
    settings.cache_clear()
    assert completed("status", "") == []
    assert not (home / "postgres").exists()
    monkeypatch.setenv("INGEST_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    settings.cache_clear()
    assert completed("status", "") == []
    assert capsys.readouterr() == ("", "")


def test_what_bash_makes_of_it(tmp_path: Path, command: Command) -> None:
    script = tmp_path / "completion.sh"
    script.write_text(f"{command('completion', 'bash').out}\ncomplete -p ingest\n", encoding="utf-8")
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, "_ingest_completion" in done.stdout) == (0, True), done.stderr


def test_a_reader_that_leaves_early_is_no_failure(database: str, registered: str) -> None:
    command = '"$0" -c "$1" branch show --schema | head -1; echo ${PIPESTATUS[0]}'
    done = subprocess.run(["bash", "-c", command, sys.executable, MAIN], capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


def test_scripts_get_json(command: Command, registered: str, database: str, tmp_path: Path) -> None:
    assert command("db", "url", "--show-password", "--json").json == {"url": database, "embedded": False}
    assert set(command("db", "migrate", "--json").json) == {"revision"}
    assert command("branch", "apply", tmp_path / "b.yaml", "--json").json == {
        "branch": registered,
        "change": "unchanged",
    }
    activated = command("branch", "activate", registered, "--json").json
    assert activated["branch"] == registered
    assert activated["activation"] > 0
