"""Data from a branch, normalized, upserted into core.items exactly once, embeddings kept true to it."""

import ctypes
import os
import sys
from contextlib import suppress

# Arrow's own pools keep what is freed: a quarter more at the peak. It is read once, when Arrow is loaded.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
# glibc gives threads heaps of their own, up to eight a core, and keeps what they have freed: with two, two threads that
# make parts take a fifth less memory in all. It is told before the first of them begins; others have no such heaps.
if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX
