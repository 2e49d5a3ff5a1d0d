# Arrow ships no types: everything of it is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
