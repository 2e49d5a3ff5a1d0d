"""The registry: files applied once, twice, changed, against each other and at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest_project.branches import registry
from ingest_project.errors import BranchUnknown, IngestError, SpecInvalid, UsageError
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.branches.conftest import applied, one, spec

NAMES = [
    "b",
    "it's",
    '"quoted"',
    "a/b/../c\\d",
    "'; drop table ingest.branches --",
    "%s %(name)s {name} $1",
    "über 東京 🚲",
    "n" * 200,
    "Null",
]


def test_a_file_applied_creates_then_changes_then_leaves(connection: Connection) -> None:
    assert registry.apply_branch(connection, spec()) == "created"
    assert registry.apply_branch(connection, spec()) == "unchanged"
    assert registry.apply_branch(connection, spec(embed=False)) == "changed"
    assert registry.apply_branch(connection, spec(embed=False)) == "unchanged"
    assert registry.apply_branch(connection, spec()) == "changed"


def test_what_is_unchanged_is_not_touched(connection: Connection) -> None:
    applied(connection)
    query = "select b.xmin::text || b.ctid::text || b.applied_at::text from ingest.branches b"
    before = one(connection, query)
    applied(connection)
    assert one(connection, query) == before


def test_a_branch_comes_back_as_it_was_applied(connection: Connection) -> None:
    wanted = spec(priority=3, limits={"max_age": "P1D"}, mapping={"name": {"column": "n", "default": "?"}})
    registry.apply_branch(connection, wanted)
    found = registry.get_branch(connection, "b")
    assert found.spec == wanted
    assert (found.name, found.priority, found.state, found.spec_digest) == ("b", 3, "active", wanted.digest())


def test_a_changed_branch_keeps_its_id(connection: Connection) -> None:
    before = applied(connection)
    after = applied(connection, priority=5, location="/y.csv")
    assert (after.branch_id, after.source_id) == (before.branch_id, before.source_id)
    assert (after.priority, after.spec.location) == (5, "/y.csv")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_letters_names_one_branch(connection: Connection, name: str) -> None:
    applied(connection, name=name, source=name)
    assert [branch.name for branch in registry.list_branches(connection)] == [name]
    assert registry.get_branch(connection, name).spec.source == name
    assert registry.activate(connection, name) == one(connection, "select activation_id from ingest.activations")


def test_names_differ_by_every_letter(connection: Connection) -> None:
    for priority, name in enumerate(["b", "B", "b_", "é", "e\u0301"]):
        applied(connection, name=name, priority=priority)
    assert [branch.name for branch in registry.list_branches(connection)] == ["B", "b", "b_", "e\u0301", "é"]


def test_an_unknown_branch_is_said_by_its_name(connection: Connection) -> None:
    for ask in (registry.get_branch, registry.activate):
        with pytest.raises(BranchUnknown) as caught:
            ask(connection, "it's unknown")
        assert "it's unknown" in caught.value.what
        assert "ingest branch list" in caught.value.todo
    assert registry.find_branch(connection, "it's unknown") is None
    assert registry.list_branches(connection) == []


def test_a_priority_is_taken_once_in_a_source(connection: Connection) -> None:
    applied(connection, name="a", priority=1)
    applied(connection, name="other source", source="t", priority=1)
    with pytest.raises(SpecInvalid, match="priority: another branch") as caught:
        registry.apply_branch(connection, spec(name="c", priority=1))
    assert caught.value.where["taken by"] == "a"
    assert registry.find_branch(connection, "c") is None
    applied(connection, name="c", priority=2)
    with pytest.raises(SpecInvalid, match="priority: another branch"):
        registry.apply_branch(connection, spec(name="c", priority=1))
    assert registry.get_branch(connection, "c").priority == 2


def test_a_priority_of_a_retired_branch_is_still_taken(connection: Connection) -> None:
    applied(connection, name="a", priority=1)
    connection.execute("update ingest.branches set state = 'retired'")
    with pytest.raises(SpecInvalid, match="priority: another branch"):
        registry.apply_branch(connection, spec(name="c", priority=1))
    assert registry.find_branch(connection, "c") is None


@pytest.mark.parametrize(("first", "second"), [("at", None), (None, "at")])
def test_branches_of_a_source_all_say_how_new_a_row_is_or_none_does(
    connection: Connection, first: str | None, second: str | None
) -> None:
    applied(connection, name="a", updated_at=first)
    with pytest.raises(SpecInvalid, match="updated_at: branches of one source") as caught:
        registry.apply_branch(connection, spec(name="c", priority=1, updated_at=second))
    assert "'a'" in caught.value.what
    applied(connection, name="c", priority=1, updated_at=first and "another column")
    applied(connection, name="d", source="t", updated_at=second)


def test_the_only_branch_of_a_source_may_change_its_mind(connection: Connection) -> None:
    applied(connection, updated_at="at")
    assert registry.apply_branch(connection, spec()) == "changed"


def test_a_branch_stays_with_its_source(connection: Connection) -> None:
    applied(connection)
    with pytest.raises(SpecInvalid, match="belongs to source 's'"):
        registry.apply_branch(connection, spec(source="t"))
    assert registry.get_branch(connection, "b").spec.source == "s"
    assert one(connection, "select count(*) from ingest.sources") == 1, "nothing was changed"


def test_a_retired_branch_is_not_activated_till_its_file_is_applied_again(connection: Connection) -> None:
    applied(connection)
    connection.execute("update ingest.branches set state = 'retired'")
    with pytest.raises(UsageError, match="is retired") as caught, connection.transaction():
        registry.activate(connection, "b")
    assert "Apply its file again" in caught.value.todo
    assert registry.apply_branch(connection, spec()) == "changed"
    assert registry.get_branch(connection, "b").state == "active"
    assert registry.activate(connection, "b")


def test_two_at_once_register_a_branch_once(fresh_database: str) -> None:
    for round_ in range(10):
        found = at_once({"name": f"b{round_}", "priority": round_}, {"name": f"b{round_}", "priority": round_})
        assert sorted(map(str, found)) == ["created", "unchanged"]
    with session() as connection:
        assert len(registry.list_branches(connection)) == 10


def test_two_at_once_do_not_get_one_priority(fresh_database: str) -> None:
    for round_ in range(10):
        found = at_once({"name": f"a{round_}", "source": f"s{round_}"}, {"name": f"c{round_}", "source": f"s{round_}"})
        assert sorted(type(one).__name__ for one in found) == ["SpecInvalid", "str"]


def test_two_at_once_do_not_disagree_on_how_new_rows_are(fresh_database: str) -> None:
    for round_ in range(10):
        found = at_once(
            {"name": f"a{round_}", "source": f"s{round_}", "updated_at": "at"},
            {"name": f"c{round_}", "source": f"s{round_}", "priority": 1},
        )
        assert sorted(type(one).__name__ for one in found) == ["SpecInvalid", "str"]


def at_once(*given: dict[str, object]) -> list[str | IngestError]:
    """What each of these files comes to, applied in the same moment."""
    start = threading.Barrier(len(given))

    def apply(changed: dict[str, object]) -> str | IngestError:
        with session() as connection:
            start.wait(timeout=30)
            try:
                return registry.apply_branch(connection, spec(**changed))
            except IngestError as error:
                return error

    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(apply, given))
