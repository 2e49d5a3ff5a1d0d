"""Every command of `ingest` says what it does, with an example, and answers scripts as well as people."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from ingest_project.cli import ingest
from ingest_project_tests.house.test_architecture import REPOSITORY

# What a script reads otherwise: a server that runs, a session, a branch file, a shell's own words.
NO_JSON = {"dev", "db psql", "branch init", "completion"}


def commands(group: click.Group = ingest, before: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        words = (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, words)
        else:
            yield " ".join(words), command


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_its_help_says_what_it_does_and_shows_how(name: str) -> None:
    said = ALL[name].help or ""
    first = said.strip().splitlines()[0]
    assert first.endswith((".", ":", ",")), first
    assert len(first) > 20
    example = re.search(r"Example: (.*ingest .+)", said)
    assert example, "an example to copy"
    assert f"ingest {name}" in example[1]


@pytest.mark.parametrize("name", ALL)
def test_its_options_say_what_they_are(name: str) -> None:
    options = [one for one in ALL[name].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("name", sorted(set(ALL) - NO_JSON))
def test_a_script_can_read_its_answer(name: str) -> None:
    assert "--json" in {word for option in ALL[name].params for word in option.opts}


def test_what_has_no_json_is_there() -> None:
    assert set(ALL) >= NO_JSON


def test_groups_say_what_is_in_them() -> None:
    groups = [one for one in ingest.commands.values() if isinstance(one, click.Group)]
    assert groups
    assert all(len(one.help or "") > 20 for one in groups)


def test_the_help_names_every_command_by_the_name_it_has() -> None:
    said = ingest.get_help(click.Context(ingest, info_name="ingest"))
    for name, command in ingest.commands.items():
        assert command.name == name
        assert re.search(rf"^  {name} +\S", said, re.MULTILINE)


def test_the_readme_lists_them_in_the_order_of_the_help() -> None:
    table = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("| command | does |")[2]
    listed = dict.fromkeys(re.findall(r"^\| `ingest (\w+)", table, re.MULTILINE))
    assert list(listed) == list(ingest.commands)


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["--help"], {}),
        (["frobnicate"], {}),
        ([], {"_INGEST_COMPLETE": "bash_complete", "COMP_WORDS": "ingest r", "COMP_CWORD": "1"}),
    ],
)
def test_help_and_completion_import_no_command(words: list[str], environment: dict[str, str]) -> None:
    """They are asked for while somebody types: 0.1 s, against more than a second with all that commands need."""
    code = (
        "import atexit, sys; heavy = {'dagster', 'pandas', 'pyarrow', 'pydantic', 'psycopg', 'rich', 'tabulate'}\n"
        "atexit.register(lambda: print('heavy:', sorted(heavy & set(sys.modules))))\n"
        f"from ingest_project.cli import main; sys.argv = ['ingest', *{words}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr
    assert "rejects" in done.stdout or "No such command" in done.stderr
