"""Promise 4, and all that the schema forbids: every constraint, broken once, by its name."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.postgres.conftest import one

Row = dict[str, Any]
OURS = 1_000_000
NONE = UUID(int=0)
EMPTY, SPEC = Jsonb({}), Jsonb({"name": "b"})
PINNED: Row = {"pinned_at": "now", "pin": EMPTY, "spec": SPEC}
SNAPSHOTTED = PINNED | {"snapshotted_at": "now"}
NORMALIZED = SNAPSHOTTED | {"normalized_at": "now", "rows_read": 3, "rejected": 1, "valid": 2}
ACCEPTED = NORMALIZED | {"accepted_at": "now"}
COUNTS: Row = {"inserted": 1, "updated": 1, "touched": 0, "unchanged": 0, "stale": 0}
COMMITTED = ACCEPTED | COUNTS | {"committed_at": "now"}


@pytest.fixture
def connection(own_database: str) -> Iterator[Connection]:
    """In a database in which nobody commits: the rows below have ids of their own choice."""
    with session(own_database) as opened, opened.transaction(force_rollback=True):
        yield opened


# A row of each table that is right.
RIGHT: dict[str, Row] = {
    "ingest.sources": {"name": "another"},
    "ingest.branches": {"name": "another", "source_id": OURS, "spec": SPEC, "spec_digest": "d", "priority": 1},
    "ingest.activations": {"branch_id": OURS},
    "ingest.gates": {"activation_id": 900, "code": "c", "measured": 0.6, "limit": 0.5, "what": "w"},
    "ingest.profiles": {"activation_id": 900, "profile": EMPTY},
    "ingest.pulses": {"what": "daemon"},
    "ingest.parts": {
        "activation_id": 1,
        "asset": "branch_snapshot",
        "part": 0,
        "epoch": 1,
        "path": "p",
        "rows": 0,
        "bytes": 0,
        "digest": "d",
        "run_id": "r",
    },
    "ingest.batches": {"activation_id": 1, "part": 0, "valid": 2, **COUNTS, "epoch": 1, "run_id": "r"},
    "ingest.rejects": {
        "activation_id": 1,
        "part": 0,
        "row": 1,
        "errors": Jsonb([{"field": "name", "code": "missing", "message": "m"}]),
        "raw": b"\0\xff",
    },
    "ingest.leases": {
        "branch_id": OURS,
        "holder": "h",
        "run_id": "r",
        "acquired_at": "now",
        "expires_at": "now",
    },
    "core.items": {
        "source_id": OURS,
        "external_id": "x",
        "name": "n",
        "content_hash": NONE,
        "embed_hash": NONE,
        "priority": 0,
        "branch_id": OURS,
        "activation_id": 1,
        "created_activation_id": 1,
        "part": 0,
    },
    "core.item_versions": {"written_by_activation": 1, "item_id": 1, "version": 2, "op": "u", "old": EMPTY},
    "core.embedding_models": {
        "provider": "p",
        "model": "m",
        "version": "1",
        "dims": 3,
        "template": ["name"],
        "state": "filling",
    },
    "ingest.prunings": {"what": "parts", "first_activation": 1, "last_activation": 2, "bytes": 0},
    "ingest.alerts": {"branch_id": OURS, "event": "failed", "code": "c", "what": "w", "todo": "t"},
    "core.embedding_endpoints": {"endpoint": "p", "paused_until": "now"},
    "core.embedding_requests": {"model_id": 1, "item_id": 1, "branch_id": OURS, "content_hash": NONE},
}

# Constraint, table, what is changed in its right row.
WRONG: list[tuple[str, str, Row]] = [
    ("source_names_are_unique", "ingest.sources", {"name": "s"}),
    ("source_name_length", "ingest.sources", {"name": ""}),
    ("source_name_length", "ingest.sources", {"name": "n" * 201}),
    ("branch_names_are_unique", "ingest.branches", {"name": "b"}),
    ("branch_name_length", "ingest.branches", {"name": ""}),
    ("branch_name_length", "ingest.branches", {"name": "n" * 201}),
    ("branch_state_is_known", "ingest.branches", {"state": "asleep"}),
    ("branch_priority_is_unique_in_its_source", "ingest.branches", {"priority": 0}),
    ("branches_source_id_fkey", "ingest.branches", {"source_id": 99}),
    ("activations_branch_id_fkey", "ingest.activations", {"branch_id": 99}),
    ("activation_kind_is_known", "ingest.activations", {"kind": "guess"}),
    ("activation_state_is_known", "ingest.activations", {"state": "lost", "closed_at": "now"}),
    ("planned_was_a_dry_run", "ingest.activations", ACCEPTED | {"state": "planned"}),
    ("pinned_says_what", "ingest.activations", PINNED | {"state": "pinned", "pin": None}),
    ("pinned_says_what", "ingest.activations", PINNED | {"state": "pinned", "spec": None}),
    ("snapshotted_was_pinned", "ingest.activations", {"state": "snapshotted", "snapshotted_at": "now"}),
    ("normalized_was_snapshotted", "ingest.activations", NORMALIZED | {"state": "normalized", "snapshotted_at": None}),
    ("accepted_was_normalized", "ingest.activations", SNAPSHOTTED | {"state": "accepted", "accepted_at": "now"}),
    ("committed_was_accepted", "ingest.activations", COMMITTED | {"state": "committed", "accepted_at": None}),
    ("done_was_committed", "ingest.activations", ACCEPTED | {"state": "done", "done_at": "now", "requests": 0}),
    ("state_has_its_time", "ingest.activations", {"state": "pinned"}),
    ("state_has_its_time", "ingest.activations", PINNED | {"state": "snapshotted"}),
    ("state_has_its_time", "ingest.activations", SNAPSHOTTED | {"state": "normalized"}),
    ("state_has_its_time", "ingest.activations", {"state": "blocked"}),
    ("state_has_its_time", "ingest.activations", NORMALIZED | {"state": "accepted"}),
    ("state_has_its_time", "ingest.activations", NORMALIZED | {"state": "planned", "plan_only": True}),
    ("state_has_its_time", "ingest.activations", ACCEPTED | {"state": "committed"}),
    ("state_has_its_time", "ingest.activations", COMMITTED | {"state": "done"}),
    ("state_has_its_time", "ingest.activations", {"state": "failed"}),
    ("state_has_its_time", "ingest.activations", {"state": "superseded"}),
    ("rows_read_are_rejects_or_valid", "ingest.activations", NORMALIZED | {"state": "normalized", "rows_read": 4}),
    ("rows_read_are_rejects_or_valid", "ingest.activations", NORMALIZED | {"state": "normalized", "rejected": None}),
    ("valid_rows_are_all_accounted_for", "ingest.activations", COMMITTED | {"state": "committed", "stale": 1}),
    ("valid_rows_are_all_accounted_for", "ingest.activations", COMMITTED | {"state": "committed", "touched": None}),
    ("rollback_says_what_it_undoes", "ingest.activations", {"kind": "rollback"}),
    ("rollback_says_what_it_undoes", "ingest.activations", {"undoes": 1}),
    ("tombstones_are_counted", "ingest.activations", {"tombstoned": -1}),
    ("done_counts_its_requests", "ingest.activations", COMMITTED | {"state": "done", "done_at": "now"}),
    ("gates_activation_id_fkey", "ingest.gates", {"activation_id": 99}),
    ("gate_is_measured", "ingest.gates", {"measured": float("nan")}),
    ("gate_is_measured", "ingest.gates", {"limit": float("nan")}),
    ("accepted_gate_says_who_and_why", "ingest.gates", {"accepted_by": "me", "accepted_at": "now"}),
    ("accepted_gate_says_who_and_why", "ingest.gates", {"accepted_by": "me", "why": "so"}),
    ("accepted_gate_says_who_and_why", "ingest.gates", {"accepted_at": "now", "why": "so"}),
    ("accepted_gate_has_a_reason", "ingest.gates", {"accepted_by": "me", "accepted_at": "now", "why": " "}),
    ("profiles_activation_id_fkey", "ingest.profiles", {"activation_id": 99}),
    ("profile_is_an_object", "ingest.profiles", {"profile": Jsonb([])}),
    ("pulse_is_of_something_known", "ingest.pulses", {"what": "else"}),
    ("part_asset_is_known", "ingest.parts", {"asset": "core_items"}),
    ("part_counts_are_not_negative", "ingest.parts", {"part": -1}),
    ("part_counts_are_not_negative", "ingest.parts", {"rows": -1}),
    ("part_counts_are_not_negative", "ingest.parts", {"bytes": -1}),
    ("batch_accounts_for_every_row", "ingest.batches", {"valid": 3}),
    ("batch_counts_are_not_negative", "ingest.batches", {"inserted": -1, "updated": 3}),
    ("batch_counts_are_not_negative", "ingest.batches", {"stale": -1, "unchanged": 1}),
    ("reject_says_why", "ingest.rejects", {"errors": Jsonb([])}),
    ("reject_says_why", "ingest.rejects", {"errors": EMPTY}),
    ("leases_branch_id_fkey", "ingest.leases", {"branch_id": 99}),
    ("held_lease_names_its_holder", "ingest.leases", {"holder": None}),
    ("held_lease_names_its_holder", "ingest.leases", {"run_id": None}),
    ("held_lease_names_its_holder", "ingest.leases", {"acquired_at": None}),
    ("held_lease_names_its_holder", "ingest.leases", {"expires_at": None}),
    ("item_key_length", "core.items", {"external_id": ""}),
    ("item_key_length", "core.items", {"external_id": "x" * 201}),
    ("item_name_length", "core.items", {"name": ""}),
    ("item_name_length", "core.items", {"name": "n" * 501}),
    ("item_coordinates_are_a_pair", "core.items", {"latitude": 1.0}),
    ("item_coordinates_are_a_pair", "core.items", {"longitude": 1.0}),
    ("item_latitude_range", "core.items", {"latitude": 90.1, "longitude": 0.0}),
    ("item_latitude_range", "core.items", {"latitude": float("nan"), "longitude": 0.0}),
    ("item_longitude_range", "core.items", {"latitude": 0.0, "longitude": -180.1}),
    ("item_price_is_an_amount", "core.items", {"price": -1, "currency": "EUR"}),
    ("item_price_is_an_amount", "core.items", {"price": float("nan"), "currency": "EUR"}),
    ("item_price_has_a_currency", "core.items", {"price": 1}),
    ("item_price_has_a_currency", "core.items", {"currency": "EUR"}),
    ("item_attributes_are_an_object", "core.items", {"attributes": Jsonb([])}),
    ("item_issues_are_a_list", "core.items", {"issues": EMPTY}),
    ("item_source_time_is_finite", "core.items", {"source_updated_at": "infinity"}),
    ("item_version_counts", "core.items", {"version": 0}),
    ("version_op_is_known", "core.item_versions", {"op": "x"}),
    ("version_keeps_the_old_image", "core.item_versions", {"op": "i"}),
    ("version_keeps_the_old_image", "core.item_versions", {"old": None}),
    ("embedding_model_state_is_known", "core.embedding_models", {"state": "asleep"}),
    ("embedding_model_dims", "core.embedding_models", {"dims": 0}),
    ("embedding_model_dims", "core.embedding_models", {"dims": 16_001}),
    ("embedding_template_is_not_empty", "core.embedding_models", {"template": []}),
    ("request_status_is_known", "core.embedding_requests", {"status": "?"}),
    ("request_error_length", "core.embedding_requests", {"error": "e" * 2001}),
    ("carried_rows_are_rows", "ingest.parts", {"carried": -1}),
    ("carried_rows_were_read", "ingest.activations", NORMALIZED | {"state": "normalized", "carried": 4}),
    ("pruning_is_of_something_known", "ingest.prunings", {"what": "everything"}),
    ("pruning_range", "ingest.prunings", {"last_activation": 0}),
    ("pruning_bytes", "ingest.prunings", {"bytes": -1}),
    ("alert_event_is_known", "ingest.alerts", {"event": "bored"}),
    ("alert_counts", "ingest.alerts", {"times": 0}),
    ("alerts_branch_id_fkey", "ingest.alerts", {"branch_id": 99}),
    ("provider_failures_count", "core.embedding_endpoints", {"failures": -1}),
    ("embedding_model_options_are_an_object", "core.embedding_models", {"options": Jsonb([])}),
    ("leased_request_has_its_lease", "core.embedding_requests", {"lease_id": NONE}),
    ("leased_request_has_its_lease", "core.embedding_requests", {"status": "l", "leased_until": "now"}),
    ("leased_request_has_its_deadline", "core.embedding_requests", {"leased_until": "now"}),
    ("leased_request_has_its_deadline", "core.embedding_requests", {"status": "l", "lease_id": NONE}),
    ("done_request_has_its_time", "core.embedding_requests", {"status": "d"}),
    ("done_request_has_its_time", "core.embedding_requests", {"completed_at": "now"}),
]
WRONG_TOGETHER: list[tuple[str, str, Row, Row]] = [
    ("one_open_activation_per_branch", "ingest.activations", {}, PINNED | {"state": "pinned"}),
    (
        "one_rollback_of_an_activation",
        "ingest.activations",
        {"kind": "rollback", "undoes": 1},
        {"kind": "rollback", "undoes": 1},
    ),
    ("one_active_embedding_model", "core.embedding_models", {}, {"state": "active"}),
    ("items_live", "core.items", {"item_id": 7}, {"item_id": 7, "external_id": "y"}),
    ("items_key", "core.items", {}, {}),
    ("embedding_models_are_unique", "core.embedding_models", {}, {"template": ["name", "category"]}),
    ("parts_000000_pkey", "ingest.parts", {}, {"epoch": 2}),
    ("batches_000000_pkey", "ingest.batches", {}, {"epoch": 2}),
    ("rejects_000000_pkey", "ingest.rejects", {}, {}),
    ("item_versions_000000_pkey", "core.item_versions", {}, {"op": "i", "old": None}),
    ("embedding_requests_pkey", "core.embedding_requests", {}, {"content_hash": UUID(int=1)}),
    ("leases_pkey", "ingest.leases", {}, {}),
]


@pytest.fixture
def registered(connection: Connection) -> Connection:
    """A session with a source and its branch, both of id OURS, and an activation of it that is closed, 900."""
    connection.execute("insert into ingest.sources (source_id, name) overriding system value values (1000000, 's')")
    connection.execute(
        """insert into ingest.branches (branch_id, name, source_id, spec, spec_digest, priority)
           overriding system value values (1000000, 'b', 1000000, '{}', 'd', 0)"""
    )
    connection.execute(
        """insert into ingest.activations (activation_id, branch_id, state, closed_at)
           overriding system value values (900, 1000000, 'failed', now())"""
    )
    return connection


def insert(connection: Connection, table: str, changed: Row) -> None:
    row = RIGHT[table] | changed
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )
    with connection.transaction():
        connection.execute(statement, row)


@pytest.mark.parametrize("table", RIGHT)
def test_what_is_right_is_taken(registered: Connection, table: str) -> None:
    insert(registered, table, {})


@pytest.mark.parametrize(
    "row",
    [
        PINNED | {"state": "pinned"},
        SNAPSHOTTED | {"state": "snapshotted"},
        NORMALIZED | {"state": "blocked"},
        PINNED | {"state": "blocked"},
        SNAPSHOTTED | {"state": "blocked"},
        ACCEPTED | {"state": "accepted"},
        ACCEPTED | {"state": "planned", "plan_only": True},
        COMMITTED | {"state": "committed"},
        COMMITTED | {"state": "done", "done_at": "now", "requests": 0},
        {"state": "failed", "closed_at": "now"},
    ],
    ids=lambda row: row["state"],
)
def test_each_state_of_an_activation_is_possible(registered: Connection, row: Row) -> None:
    insert(registered, "ingest.activations", row)


@pytest.mark.parametrize(("constraint", "table", "changed"), WRONG)
def test_what_is_wrong_is_refused_by_the_constraint_that_says_so(
    registered: Connection, constraint: str, table: str, changed: Row
) -> None:
    with pytest.raises(psycopg.errors.IntegrityError) as caught:
        insert(registered, table, changed)
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize(("index", "table", "first", "second"), WRONG_TOGETHER)
def test_what_may_be_once_is_refused_the_second_time(
    registered: Connection, index: str, table: str, first: Row, second: Row
) -> None:
    if index != "one_active_embedding_model":  # the schema comes with one
        insert(registered, table, first)
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        insert(registered, table, second)
    assert caught.value.diag.constraint_name == index


def test_no_constraint_goes_untested(connection: Connection) -> None:
    found = one(
        connection,
        """select array_agg(distinct conname::text) from pg_constraint c
             join pg_namespace n on n.oid = c.connamespace
            where nspname in ('ingest', 'core') and contype in ('c', 'u', 'f', 'x')
              and conname !~ '^item_embeddings_[0-9]+_dims$'""",
    )
    assert isinstance(found, list)
    assert set(found) <= {name for name, *_ in WRONG + WRONG_TOGETHER}


def test_vectors_have_the_dimensions_of_their_model(connection: Connection) -> None:
    if not one(connection, "select to_regclass('core.item_embeddings') is not null"):
        pytest.skip("this server has no pgvector")
    insert_vector = """insert into core.item_embeddings (model_id, item_id, content_hash, embedding)
                       values (1, 1, %s, %s)"""
    dims = one(connection, "select dims from core.embedding_models where model_id = 1")
    assert isinstance(dims, int)
    connection.execute(insert_vector, (NONE, str([0.5] * dims)))
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        connection.execute(insert_vector, (NONE, str([0.5] * (dims + 1))))
    assert caught.value.diag.constraint_name == "item_embeddings_1_dims"
