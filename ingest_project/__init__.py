"""Data from a branch, normalized, upserted into `core.items` exactly once, embeddings kept true to it."""
