"""The fixtures of `extract`: a guess looks at files as a branch reads them."""

from ingest_project_tests.extract.conftest import fresh_settings, spec

__all__ = ["fresh_settings", "spec"]
