"""The table of codes and the code that emits them agree, both ways."""

import ast
import re
from pathlib import Path

import pytest

from ingest_project import normalize
from ingest_project.codes import GATES, ISSUES, REJECTS, as_markdown
from ingest_project.item import item_schema
from ingest_project.postgres import statements
from ingest_project_tests.house.test_architecture import REPOSITORY
from ingest_project_tests.normalize.pages import rejected, row

FOLDER = Path(normalize.__path__[0])
PART = f"{normalize.__name__}.part"
REGISTERED = {**REJECTS, **ISSUES}
# Words in the code that look like a code and are none.
OTHERS = {
    *item_schema().names,
    *("temporarily_closed", "permanently_closed"),
    *("alpha_2", "alpha_3", "official_name", "common_name", "country_code"),
    *("max_length", "string_too_long", "memory_limit", "temp_directory", "preserve_insertion_order"),
    *("text_column", "normalized_items", "null_ratio"),
    *("normalized_part_listed", "duplicates_decided", "normalization_ended"),
    *("later_parts", "estimated_rows", "activation_id"),
    *("base_part", "base_parts", "base_row", "base_rows", "branch_id", "branch_snapshot", "normalizer_version"),
}


def _literals() -> set[str]:
    """Texts in the package that are shaped as a code; docstrings, statements and the table itself aside."""
    trees = [
        ast.parse(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.py")) if path.name != "codes.py"
    ]
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    shaped = {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", text)}
    return shaped - {name for path in FOLDER.glob("*.sql") for name in statements.load(PART, path.name)}


def test_every_code_in_the_package_is_registered() -> None:
    assert _literals() - OTHERS - set(REGISTERED) - set(GATES) == set()


@pytest.mark.parametrize("code", sorted(REGISTERED))
def test_every_registered_code_is_emitted_by_some_literal(code: str) -> None:
    assert code in _literals()


def test_no_code_is_both_a_reject_and_an_issue() -> None:
    assert set(REJECTS) & set(ISSUES) == set()


@pytest.mark.parametrize("code", sorted(REGISTERED))
def test_every_code_says_what_happened_and_what_to_do(code: str) -> None:
    said = REGISTERED[code]
    assert said.meaning.strip() and said.remedy.strip()
    assert not said.meaning.endswith(".") and not said.remedy.endswith(".")


def test_what_a_dirty_row_says_is_registered() -> None:
    dirt = {"category": " x ", "status": "?", "country_code": "?", "latitude": "x", "phone": "x", "website_url": "x"}
    assert {code.partition(": ")[2] for code in row(dirt).codes} <= set(ISSUES)
    assert {error["code"] for error in rejected({"name": "", "external_id": ""}).errors} <= set(REJECTS)


def test_the_page_of_codes_is_made_from_them() -> None:
    assert (REPOSITORY / ".docs" / "codes.md").read_text(encoding="utf-8") == as_markdown()
