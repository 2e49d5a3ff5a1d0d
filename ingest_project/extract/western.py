"""Whether what windows-1252 makes of bytes are words: it has a letter for nearly every byte, whatever wrote it."""

import re
from collections.abc import Iterable

from ingest_project.errors import SourceUnreadable

WESTERN = "windows-1252"
_OTHERS = (
    *("windows-1251", "windows-1253", "windows-1254", "windows-1255", "windows-1256"),
    *("gb18030", "big5", "shift_jis", "euc_kr"),
)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_MOST_IN_A_ROW = 3
_SHOWN = 20


def refuse_other_alphabets(texts: Iterable[str], error: SourceUnreadable) -> None:
    """Raise SourceUnreadable where most letters beyond ASCII stand in long rows, as in no language of the west."""
    known = list(texts)
    rows = [row for text in known for row in _BEYOND_ASCII.findall(text)]
    if 2 * sum(len(row) for row in rows if len(row) > _MOST_IN_A_ROW) <= sum(map(len, rows)):
        return
    longest = max(known, key=lambda text: max(map(len, _BEYOND_ASCII.findall(text)), default=0))[:_SHOWN]
    raise SourceUnreadable(
        f"{error.what}\n    nor is it {WESTERN}: that would make {longest!r} of its words",
        where=error.where,
        todo=f"Say it: --set encoding=NAME. The same words are {_readings(longest)}.",
    )


def _readings(text: str) -> str:
    found: list[str] = []
    for encoding in _OTHERS:
        read = text.encode(WESTERN).decode(encoding, "ignore")  # they are cut, perhaps within a letter
        if read.isprintable() and len(read) * 2 >= len(text):
            found.append(f"{read!r} in {encoding}")
    return ", ".join(found)
