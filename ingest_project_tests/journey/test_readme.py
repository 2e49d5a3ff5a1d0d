"""Documents cannot lie: every command of the README, and of the pages behind it, runs in its order, in a new home."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_project_tests.house.test_architecture import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [(REPOSITORY / ".docs" / name).read_text(encoding="utf-8") for name in ("branch-files.md", "operation.md")]
# What .ci/run runs, in a checkout of its own; what does not end by itself and has a test of its own (test_dev).
ELSEWHERE = re.compile(r"^(pip install|pytest|ruff|pyright|lint-imports|ingest dev|dagster dev)")
ROWS = """id,title,city,country,lat,lon,changed
1,Brandenburger Tor,Berlin,Deutschland,52.5163,13.3777,2024-01-01
2,Tour Eiffel,Paris,France,48.8584,2.2945,2024-01-01
"""


def commands() -> list[str]:
    """Every line of every console block, `&&` taken apart."""
    blocks = re.findall(r"```console\n(.*?)```", "".join([README, *PAGES]), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    return [part.strip() for line in lines for part in line.split(" && ")]


def branch_file() -> str:
    """The branch file that the README shows."""
    found = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's home and working directory: nothing set, nothing there but what the README shows."""
    home = Path(tempfile.mkdtemp(prefix="ingest-readme-"))  # not pytest's: a server of another user must get there
    for name in [name for name in os.environ if name.startswith(("INGEST_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    (home / "places.yaml").write_text(branch_file(), encoding="utf-8")
    (home / "places.csv").write_text(ROWS, encoding="utf-8")
    yield home
    shutil.rmtree(home, ignore_errors=True)


def test_every_command_of_the_readme_runs(user: Path) -> None:
    ran = [command for command in commands() if not ELSEWHERE.match(command)]
    assert len(ran) > 12
    said: dict[str, str] = {}
    for command in ran:
        if exported := re.fullmatch(r"export (\w+)=(\S+)", command):
            os.environ[exported[1]] = str(Path(exported[2]).expanduser())
            continue
        short = command.replace("--rows 100000", "--rows 500")
        done = subprocess.run(short, shell=True, cwd=user, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said[command] = done.stdout
    os.environ.pop("DAGSTER_HOME", None)
    check_what_they_said(said)


def check_what_they_said(said: dict[str, str]) -> None:
    assert "237 inserted, 0 updated" in said["ingest demo"]
    assert 'ingest search "museum near a river"' in said["ingest demo"]
    assert "ingest embed run" not in said["ingest demo"]
    assert "inserted   2  new keys" in said["ingest plan places"]
    assert "2 inserted, 0 updated" in said["ingest run places"]
    assert "places" in said["ingest branch list"]
    assert '"name": "Tour Eiffel"' in next(text for command, text in said.items() if "--near" in command)
    assert "model 2 (builtin/lexical-hashing) answers searches" in said["ingest model activate 2"]
    assert "nothing to do" in said["ingest verify"]
    assert "column: city" in said["ingest branch show places"]
    assert "floor: plain COPY" in next(text for command, text in said.items() if "benchmarks" in command)
    table = next(text for command, text in said.items() if "items_with_provenance" in command)
    assert "Brandenburger Tor" in table
    assert "DE" in table


def test_what_is_run_elsewhere_really_is() -> None:
    ci = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    for words in (
        'pip install --quiet ".[test]"',
        "pytest",
        "ruff check .",
        "ruff format --check .",
        "pyright",
        "lint-imports",
    ):
        assert words in ci


def test_the_branch_file_shown_is_explained_by_the_one_shipped() -> None:
    assert "(ingest_project/sample/places.yaml)" in README
    shipped = (REPOSITORY / "ingest_project" / "sample" / "places.yaml").read_text(encoding="utf-8")
    lines = [line for line in shipped.splitlines() if line.strip() and not line.startswith(("#", "  "))]
    assert [line for line in lines if "#" not in line and not line.rstrip().endswith(":")] == []
