"""What a run says on the terminal of `ingest dev` or `dagster job execute`; its event log in the UI has all of it."""

import dagster as dg

_LEVEL = dg.Field(
    str, default_value="INFO", description="Least level shown: DEBUG shows every event of Dagster, CRITICAL nothing."
)
terminal_logger = dg.colored_console_logger.configured(
    lambda config: config,
    {"log_level": _LEVEL},
    description="Lines on the terminal; the run's page shows every event whatever this says.",
)
