"""`ingest torture` as a script sees it."""

from collections.abc import Callable

from ingest_project_tests.journey.conftest import Ran


def test_the_command_says_what_it_did(command: Callable[..., Ran]) -> None:
    told = command("torture", "--rounds", "1", "--rows", "80", "--kills", "1", "--json").json
    assert (told["rounds"], told["differences"]) == (2, [])  # one state, and its rollback
