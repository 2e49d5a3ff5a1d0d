"""The wire cut at a COMMIT: whether it happened is not known, and resuming is right both ways."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from ingest_project.errors import IngestError
from ingest_project.settings import settings
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place
from ingest_project_tests.journey.proxy import Cut, Proxy, proxied
from ingest_project_tests.journey.test_exactly_once import STATES, count_done, forget_everything, settled

IN_THE_SUITE = 10
_expected: list[dict[str, Any]] = []
_commits: list[int] = []


@pytest.fixture
def proxy(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """All sessions of ours go through it."""
    with proxied(fresh_database) as found:
        monkeypatch.setenv("INGEST_DATABASE_URL", found.url)
        settings.cache_clear()
        yield found
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def place(branch: Callable[..., Place], proxy: Proxy) -> Place:
    """A branch, when what an undisturbed update comes to is known, and how many COMMITs that takes."""
    found = branch(FIRST)
    if not _expected:
        ingest(found.name)
        found.holds(SECOND)
        proxy.commits = 0
        ingest(found.name)
        _commits.append(proxy.commits)
        _expected.append(settled())
        forget_everything()
        found = branch(FIRST)
    return found


def cut(place: Place, proxy: Proxy, number: int, kind: Cut) -> bool:
    """Update the branch with the wire cut at this COMMIT; whether the ingest noticed."""
    ingest(place.name)
    place.holds(SECOND)
    proxy.commits, proxy.cut_at = 0, (number, kind)
    try:
        ingest(place.name, run_id="cut")
    except (psycopg.OperationalError, IngestError):
        return True
    finally:
        proxy.cut_at = None
    return False


def resumed(name: str) -> dict[str, Any]:
    """The tables after another attempt, where there is something left to do."""
    if count_done() < len(STATES):
        ingest(name, run_id="cut")  # as a step that Dagster tries again
    return settled()


@pytest.mark.parametrize("kind", ["lost", "unheard"])
@pytest.mark.parametrize("part", range(IN_THE_SUITE))
def test_cut_at_a_commit_it_ends_as_if_it_had_not_been(place: Place, proxy: Proxy, part: int, kind: Cut) -> None:
    number = random.Random(part).randint(1, _commits[0])
    cut(place, proxy, number, kind)
    assert resumed(place.name) == _expected[0], f"COMMIT {number} of {_commits[0]} {kind}"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["lost", "unheard"])
def test_cut_at_every_commit(place: Place, proxy: Proxy, branch: Callable[..., Place], kind: Cut) -> None:
    for number in range(1, _commits[0] + 1):
        forget_everything()
        again = branch(FIRST)
        assert cut(again, proxy, number, kind), f"COMMIT {number} was not noticed"
        assert resumed(again.name) == _expected[0], f"COMMIT {number} of {_commits[0]} {kind}"


def test_the_proxy_does_what_it_says(proxy: Proxy, fresh_database: str) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as beside:
        beside.execute("create table written (what text)")
        for kind, arrived in (("lost", []), ("unheard", [("unheard",)])):
            proxy.commits, proxy.cut_at = 0, (1, kind)  # pyright: ignore[reportAttributeAccessIssue]
            with pytest.raises(psycopg.OperationalError), psycopg.connect(proxy.url) as through:
                through.execute("insert into written values (%s)", (kind,))
                through.commit()
            assert beside.execute("select what from written").fetchall() == arrived
