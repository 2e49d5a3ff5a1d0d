"""How Postgres goes about it on a large table: a part costs its hits, never a scan of core.items."""

from collections.abc import Iterator
from typing import Any, LiteralString

import pytest
from psycopg import sql

from ingest_project.branches.work import Work
from ingest_project.postgres.connection import Connection, session
from ingest_project.upsert import missing as missing_of
from ingest_project.upsert.batch import Batch, fill_stage, sorted_rows
from ingest_project.upsert.item_statements import classify_statement, column_changes_statement, statement
from ingest_project.upsert.key_ranges import ALL_KEYS, KeyRange, PartSpans
from ingest_project.upsert.probe import fill_probe
from ingest_project.upsert.rank import kind_expression
from ingest_project_tests.upsert.making import Line, Part, Row, Source, item, parts_of, table_of

ROWS = 200_000
HITS = 50
FILL = """
insert into core.items (source_id, external_id, name, description, content_hash, embed_hash, source_updated_at,
                        priority, branch_id, activation_id, created_activation_id, part)
select %(source_id)s, to_char(n, 'FM000000'), 'Item ' || n, repeat('words ', 20), md5(n::text)::uuid,
       md5(n::text)::uuid, '2024-01-01+00', 0, %(branch_id)s, %(activation_id)s, %(activation_id)s, 0
  from generate_series(1, %(rows)s) n"""


@pytest.fixture(scope="module")
def large(own_database: str) -> Iterator[Line]:
    """A branch with 200,000 rows, analyzed, beside a source with a few."""
    with session(own_database) as opened:
        line = Source(opened, "large").line()
        Source(opened, "few").line().ingest([item(at) for at in range(10)])
        work = line.work(0)
        values = {"source_id": work.branch.source_id, "branch_id": work.branch.branch_id, "rows": ROWS}
        opened.execute(FILL, {**values, "activation_id": work.activation.activation_id})
        opened.execute("vacuum (analyze) core.items")
        yield line


def spread(count: int, at: int = 1) -> list[Row]:
    """Changed rows from all over the table."""
    step = ROWS // count
    return [item(f"{number:06}", "Changed", at=at) for number in range(1, ROWS + 1, step)][:count]


def nodes(
    connection: Connection, text: sql.Composable, values: dict[str, Any] | None = None, how: LiteralString = "costs"
) -> list[dict[str, Any]]:
    """All nodes of the plan of a statement; it is run only where `how` says analyze."""
    row = connection.execute(sql.SQL("explain (format json, " + how + ") ") + text, values).fetchone()
    assert row is not None
    found, left = [], [row[0][0]["Plan"]]
    while left:
        node = left.pop()
        found.append(node)
        left += node.get("Plans", [])
    return found


def scans_of_items(plan: list[dict[str, Any]]) -> list[str]:
    """Nodes that read core.items from end to end."""
    whole = ("Seq Scan", "Parallel Seq Scan")
    full_index = [n for n in plan if n["Node Type"].startswith("Index") and "Index Cond" not in n]
    on_items = [n for n in plan if n["Node Type"] in whole and n.get("Relation Name") == "items"]
    return [n["Node Type"] for n in (*on_items, *full_index)]


def quadratic(plan: list[dict[str, Any]]) -> list[str]:
    """Inner sides of nested loops that are read as a whole for each row of the outer side."""
    found = []
    for node in plan:
        if node["Node Type"] == "Nested Loop":
            outer, inner = node["Plans"]
            if outer["Plan Rows"] > 1 and inner["Node Type"] in ("Seq Scan", "Materialize", "CTE Scan"):
                found.append(f"{inner['Node Type']} of {inner.get('Relation Name')}")
    return found


def fill_all(connection: Connection, up_to: int = ROWS) -> None:
    """All keys into the probe table, or those up to one."""
    many = """insert into probe select 0, n, to_char(n, 'FM000000'), md5(n::text)::uuid, '2024-01-01+00'
                from generate_series(1, %s) n"""
    connection.execute(many, (up_to,))
    connection.execute(statement("analyze_probe"))


@pytest.mark.parametrize(
    "key_range", [KeyRange(None, "000500"), KeyRange("199501", None), KeyRange("100000", "100500")]
)
def test_a_range_of_keys_reads_no_more_of_the_items_than_that(large: Line, key_range: KeyRange) -> None:
    connection, work = large.connection, large.work(0)
    with connection.transaction(force_rollback=True):
        fill_probe(connection, PartSpans().within(key_range, parts_of(spread(ROWS // 10))))
        plan = nodes(
            connection,
            classify_statement("classify_probe", kind_expression(work), work.branch, within=key_range.condition),
        )
    assert scans_of_items(plan) + quadratic(plan) == []


def test_half_of_all_keys_are_joined_in_memory(large: Line) -> None:
    connection, work, half = large.connection, large.work(0), KeyRange(None, f"{ROWS // 2 + 1:06}")
    with connection.transaction(force_rollback=True):
        fill_probe(connection, [])
        fill_all(connection, ROWS // 2)
        text = classify_statement("classify_probe", kind_expression(work), work.branch, within=half.condition)
        plan = nodes(connection, text, how="analyze")
    assert quadratic(plan) == []
    assert [node["Hash Batches"] for node in plan if node["Node Type"] == "Hash"] in ([], [1])
    assert sum(node["Actual Rows"] for node in plan if node.get("Relation Name") == "items") <= ROWS // 2


@pytest.mark.parametrize("carried", [10, 2_000, ROWS])
def test_the_probe_is_one_join_whatever_the_activation_carries(large: Line, carried: int) -> None:
    connection, work = large.connection, large.work(0)
    with connection.transaction(force_rollback=True):
        fill_probe(connection, PartSpans().within(ALL_KEYS, parts_of(spread(carried) if carried < ROWS else [])))
        if carried == ROWS:
            fill_all(connection)
        plan = nodes(connection, classify_statement("classify_probe", kind_expression(work), work.branch))
        missing = nodes(connection, missing_of._SQL["find_missing"], missing_of._values(work))
        values = {**missing_of._values(work), "low": None, "high": None}
        counted = [
            *nodes(connection, missing_of._SQL["count_rejected_only"], values),
            *nodes(connection, missing_of._SQL["count_live_items"], values),
        ]
    assert quadratic(plan) == []
    assert quadratic(missing) == []
    assert scans_of_items(counted) == []
    if carried > 10:  # PostgreSQL 15 walks ten rows again and again, which is no harm
        assert quadratic(counted) == []
    if carried <= 2_000:
        assert scans_of_items(plan) == [], "a small activation does not read the whole table"


def test_the_planner_is_told_how_many_rows_the_temp_tables_have(large: Line) -> None:
    connection = large.connection
    with connection.transaction(force_rollback=True):
        fill_probe(connection, PartSpans().within(ALL_KEYS, parts_of(spread(2_000), 500)))
        fill_stage(connection, sorted_rows(table_of(spread(HITS))))
        counted = "select relname, reltuples::int from pg_class where relname = any('{probe,stage}') order by 1"
        assert connection.execute(counted).fetchall() == [("probe", 2_000), ("stage", HITS)]


def values_of(work: Work) -> dict[str, Any]:
    return Batch(work, Part(0, table_of([])))._values()


@pytest.mark.parametrize("kind", ["updates", "touches", "new keys"])
def test_applying_fifty_hits_never_scans_the_items(large: Line, kind: str) -> None:
    connection, work = large.connection, large.work(HITS)
    rows = [item(f"new {at}") for at in range(HITS)] if kind == "new keys" else spread(HITS)
    values = values_of(work)
    judge = classify_statement("classify_stage", kind_expression(work), work.branch, lock=True)
    names = ("record_history", "update_items", "touch_items", "insert_items", "reset_conflicting_inserts")
    with connection.transaction(force_rollback=True):
        fill_stage(connection, sorted_rows(table_of(rows)))
        if kind == "touches":
            connection.execute(
                """update stage s set content_hash = i.content_hash from core.items i
                                   where i.source_id = %(source_id)s and i.external_id = s.external_id""",
                values,
            )
        told: dict[str, list[str]] = {}
        kinds: list[Any] = []
        for name, text in (("classify_stage", judge), *((name, statement(name)) for name in names)):
            given = None if name == "classify_stage" else values
            plan = nodes(connection, text, given)
            told[name] = scans_of_items(plan) + quadratic(plan)
            done = connection.execute(text, given)
            kinds = done.fetchall() if name == "classify_stage" else kinds
    assert {name: scans for name, scans in told.items() if scans} == {}
    assert kinds == [({"updates": "u", "touches": "t", "new keys": "i"}[kind], HITS)]


def test_the_plans_hold_for_a_full_part(large: Line) -> None:
    connection, work = large.connection, large.work(HITS)
    with connection.transaction(force_rollback=True):
        fill_stage(connection, sorted_rows(table_of(spread(5_000))))
        judge = classify_statement("classify_stage", kind_expression(work), work.branch, lock=True)
        assert quadratic(nodes(connection, judge)) == []
        connection.execute(judge)
        for name in ("record_history", "update_items", "touch_items", "insert_items"):
            assert quadratic(nodes(connection, statement(name), values_of(work))) == [], name


def test_the_dry_runs_own_queries_never_scan_the_items(large: Line) -> None:
    connection, work = large.connection, large.work(HITS)
    with connection.transaction(force_rollback=True):
        fill_stage(connection, sorted_rows(table_of(spread(HITS))))
        connection.execute(classify_statement("classify_stage", kind_expression(work), work.branch))
        values = {"source_id": work.branch.source_id, "keys": ["1", "2"], "count": 20}
        assert scans_of_items(nodes(connection, statement("sample_changes"), values)) == []
        assert scans_of_items(nodes(connection, column_changes_statement(work.branch.source_id))) == []


def test_whether_a_source_is_new_is_told_by_the_index(large: Line) -> None:
    connection, work = large.connection, large.work(0)
    last = Source(connection).line().work(0)
    values = {"source_id": last.branch.source_id, "branch_id": last.branch.branch_id, "rows": ROWS // 2}
    with connection.transaction(force_rollback=True):  # a source behind all the rows of another one
        connection.execute(FILL, {**values, "activation_id": last.activation.activation_id})
        connection.execute("analyze core.items")
        for source in (work.branch.source_id, last.branch.source_id, 999_999):
            plan = nodes(connection, statement("source_is_new"), {"source_id": source}, "analyze, buffers")
            read = plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"]
            assert read < 20, [node["Node Type"] for node in plan]


def test_updates_of_one_percent_are_heap_only(large: Line) -> None:
    connection = large.connection
    counted = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relid = 'core.items'::regclass"
    rows = [{**row, "phone": "+4930123456"} for row in spread(ROWS // 100, at=3)]
    large.ingest(rows, 1_000)  # the hashes of the table are made up: from here on they are those of the rows
    connection.execute("vacuum core.items")
    connection.execute("select pg_stat_force_next_flush()")
    before = connection.execute(counted).fetchone()
    assert before is not None
    applied = large.ingest([{**row, "phone": "+4930999999"} for row in rows], 1_000)
    connection.execute("select pg_stat_force_next_flush()")
    after = connection.execute(counted).fetchone()
    assert after is not None
    assert applied.counts.updated == ROWS // 100
    updates, heap_only = after[0] - before[0], after[1] - before[1]
    assert updates == ROWS // 100
    assert heap_only / updates > 0.9
