"""Arrays of numpy arrive in Postgres as what they are."""

from uuid import UUID

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_project.postgres.arrays import binary_array
from ingest_project.postgres.connection import Connection

BIGINT, REAL, UUIDS = 20, 700, 2950
# Nothing is written: the session is as it was for every example.
_many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@_many
@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_numbers_arrive_in_their_order(connection: Connection, numbers: list[int]) -> None:
    sent = binary_array(np.array(numbers, ">i8"), BIGINT)
    assert connection.execute("select %s::bigint[]", (sent,)).fetchone() == (numbers,)


@_many
@given(ids=st.lists(st.uuids(), min_size=1, max_size=20))
def test_uuids_arrive(connection: Connection, ids: list[UUID]) -> None:
    sent = binary_array(np.frombuffer(b"".join(one.bytes for one in ids), "V16"), UUIDS)
    assert connection.execute("select %s::uuid[]", (sent,)).fetchone() == (ids,)


def test_an_array_of_another_type_than_the_cast_is_refused(connection: Connection) -> None:
    sent = binary_array(np.array([1.5], ">f4"), REAL)
    with pytest.raises(psycopg.errors.DatatypeMismatch), connection.transaction():
        connection.execute("select %s::bigint[]", (sent,))
    assert connection.execute("select %s::real[]", (sent,)).fetchone() == ([1.5],)
