"""Files to read, made in a folder of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_project.branches.spec import BranchSpec
from ingest_project.settings import settings

MakeSpec = Callable[..., BranchSpec]


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("INGEST_ROOTS", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def spec() -> MakeSpec:
    def make(location: Path | str, **more: Any) -> BranchSpec:
        given = {"name": "b", "source": "s", "key": "id", "mapping": {"name": "name"}, **more}
        return BranchSpec.model_validate({**given, "location": str(location)})

    return make
