"""An ingest killed again and again, and compared with one that was left alone: on the user's own Postgres."""
