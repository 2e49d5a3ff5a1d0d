"""The SQL that the documents give to applications does what it says."""

import re

import pytest

from ingest_project.embeddings.models import working_models
from ingest_project.embeddings.search import search
from ingest_project_tests.embeddings.modelling import alone, shared
from ingest_project_tests.embeddings.test_search import filled
from ingest_project_tests.house.test_schema import OPERATION
from ingest_project_tests.upsert.making import Source

pytestmark = pytest.mark.usefixtures("pgvector")

__all__ = ["alone", "shared"]


def test_the_sql_for_applications_finds_what_the_command_finds(alone: Source) -> None:
    filled(alone)
    (model,) = working_models(alone.connection)
    assert (model.model_id, model.dims) == (1, 384)
    text = OPERATION.read_text(encoding="utf-8")
    block = re.search(r"```sql\nbegin;\n(set local.*?;).*?\n(select .*?);\ncommit;\n```", text, re.DOTALL)
    assert block
    vector = alone.connection.execute(
        "select embedding::text from core.item_embeddings join core.items using (item_id) where external_id = 'kiel'"
    ).fetchone()
    assert vector
    with alone.connection.transaction():
        alone.connection.execute(block[1].encode())
        found = alone.connection.execute(block[2].replace("$1", "%(query)s").encode(), {"query": vector[0]}).fetchall()
    assert found[0][0] == "Café am Hafen"
    assert {name for name, *_ in found} == {"Café am Hafen", "Kreissparkasse"}
    assert abs(found[0][-1]) < 1e-6
    assert search(alone.connection, "Café am Hafen", limit=1)[1][0].external_id == "kiel"
