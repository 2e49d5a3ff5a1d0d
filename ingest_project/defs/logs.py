"""The logger of runs on the terminal of `ingest dev` and `dagster job execute`; the event log in the UI has more."""

import dagster as dg

_LEVEL = dg.Field(
    str,
    default_value="INFO",
    description="Lowest level that is shown: DEBUG shows every event of Dagster, CRITICAL nothing.",
)
terminal_logger = dg.colored_console_logger.configured(
    lambda config: config,
    {"log_level": _LEVEL},
    description="Log lines on the terminal; the page of the run shows every event, whatever the level.",
)
