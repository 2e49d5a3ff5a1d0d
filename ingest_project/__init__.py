"""Data from a branch, normalized, upserted into core.items exactly once, embeddings kept true to it."""

import os

# Arrow's own pools keep what is freed: a quarter more at the peak. It is read once, when Arrow is loaded.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
