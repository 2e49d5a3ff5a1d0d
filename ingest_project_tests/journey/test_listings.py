"""Listings in several versions, ingested from the file alone: nothing lost, every changed value explained by a code."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ingest_project.branches import registry
from ingest_project.branches.activations import Activation
from ingest_project.branches.spec import BranchSpec
from ingest_project.cli.guessed import guess_branch
from ingest_project.postgres.connection import session
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.exports import EXPORTS
from ingest_project_tests.journey.listings import Listing, Rows, nested, unexplained
from ingest_project_tests.journey.states import rows

ITEMS = """
select i.* from core.items i join ingest.branches b using (branch_id) where b.name = '{name}' order by i.item_id"""
REJECTS = "select * from ingest.rejects where activation_id = {activation} order by row"


@pytest.fixture(params=EXPORTS)
def export(request: pytest.FixtureRequest) -> Listing:
    return EXPORTS[request.param]


def branch_of(export: Listing, folder: Path) -> BranchSpec:
    """The branch that `ingest run FILE` registers, with the export's first version in place."""
    path = folder / export.file
    path.write_bytes(export.encode(export.rows))
    name = f"listing-{uuid4().hex[:8]}"
    made = guess_branch(str(path), name=name, key=None, updated_at=None, maps=(), settings=export.settings)
    with session() as connection:
        registry.apply_branch(connection, made.spec)
    return made.spec


def arrived(spec: BranchSpec, export: Listing, version: Rows) -> Activation:
    """Ingest a version of the file, and audit it."""
    Path(spec.location).write_bytes(export.encode(version))
    done = ingest(spec.name, batch_size=3)
    audit(spec, export, version, done)
    return done


def audit(spec: BranchSpec, export: Listing, version: Rows, done: Activation) -> None:
    """Every row is an item or a reject, every item says what its row said or why not, every reject says all of it."""
    with session() as connection:
        items = {item["external_id"]: item for item in rows(connection, ITEMS.format(name=spec.name))}
        rejects = rows(connection, REJECTS.format(activation=done.activation_id))
    assert done.rows_read == len(version) == (done.valid or 0) + len(rejects)
    assert (done.rejected or 0) == len(rejects)
    assert done.valid == sum(getattr(done, kind) for kind in ("inserted", "updated", "touched", "unchanged", "stale"))
    columns = {field: mapped.column for field, mapped in spec.mapping.items()}
    spare = [name for name in leaf_names(version) if name not in spec.declared_columns()]
    for number, row in enumerate(version, start=1):
        if number in {reject["row"] for reject in rejects}:
            continue
        item = items[str(row[export.key])]
        assert unexplained(row, item, columns, spare, comma=spec.locale != "en") == []


def leaf_names(version: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in version for name, value in row.items() if not isinstance(value, dict)))


def counts(done: Activation) -> tuple[Any, ...]:
    return (done.inserted, done.updated, done.unchanged, done.stale, done.missing)


def test_what_its_columns_are_is_guessed(export: Listing, database: str, home: Path, tmp_path: Path) -> None:
    spec = branch_of(export, tmp_path)
    found = {field: mapped.column for field, mapped in spec.mapping.items()}
    assert (spec.key, spec.updated_at, found) == (export.key, export.updated_at, export.mapping)
    told = spec.model_dump(exclude_defaults=True)
    settings = ("delimiter", "encoding", "skip_lines", "format", "nested", "locale", "country")
    assert {what: told[what] for what in settings if what in told} == _as_stored(export.written)


def _as_stored(written: Any) -> dict[str, Any]:
    return {**written, **({"encoding": "cp1252"} if written.get("encoding") == "windows-1252" else {})}


def test_each_version_changes_what_was_edited_and_loses_nothing(
    export: Listing, database: str, home: Path, tmp_path: Path
) -> None:
    spec = branch_of(export, tmp_path)
    first, second, count = export.rows, export.edited(), len(export.rows)
    assert counts(arrived(spec, export, first)) == (count, 0, 0, 0, 0)
    assert counts(arrived(spec, export, first)) == (0, 0, count, 0, 0)
    assert counts(arrived(spec, export, second)) == (1, 1, count - 2, 0, 1)
    assert counts(arrived(spec, export, first)) == (0, 1, count - 1, 0, 1)
    assert counts(arrived(spec, export, second)) == (0, 1, count - 1, 0, 1)


def test_the_audit_sees_what_is_lost(database: str, home: Path, tmp_path: Path) -> None:
    export = EXPORTS["hotels"]
    spec = branch_of(export, tmp_path)
    done = arrived(spec, export, export.rows)
    for column, value in (("hotelName", "Ritz 2"), ("hotelStars", "4"), ("geoLat", "48.87"), ("phoneNumber", "+331")):
        other = [{**export.rows[0], column: value}, *export.rows[1:]]
        with pytest.raises(AssertionError):
            audit(spec, export, other, done)
    with pytest.raises(AssertionError):
        audit(spec, export, export.rows[1:], done)


def test_rows_nest_as_they_were_meant() -> None:
    assert nested({"a.b": 1, "a.c.d": 2, "e": [3]}) == {"a": {"b": 1, "c": {"d": 2}}, "e": [3]}
