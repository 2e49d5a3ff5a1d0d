"""`ingest dev`: Dagster's UI and daemon on this project's home."""

import os
import signal
import subprocess
import sys

import click

from ingest_project.defs.home import dagster_home
from ingest_project.postgres.connection import database_url
from ingest_project.postgres.migrations import ensure_migrated

STOP_SECONDS = 30


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The UI has no login: think before you open it up."
)
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Where it listens.")
def dev(host: str, port: int) -> int:
    """Open Dagster's UI with the assets, sensors and runs of this home. Ctrl-C ends all of it.

    Example: ingest dev --port 3001
    """
    # A script's `ingest dev &` starts with SIGINT ignored, Dagster's processes would inherit that and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    database_url()
    ensure_migrated()
    home = dagster_home()
    command = [
        *(sys.executable, "-m", "dagster", "dev", "-m", "ingest_project.definitions"),
        *("-h", host, "-p", str(port), "--log-level", "error"),
    ]
    click.echo(f"Dagster's UI: http://{host}:{port}/assets   (starting takes some seconds; Ctrl-C ends it)")
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    environment.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")  # of no use to a user
    # A group of its own: Ctrl-C reaches it through us, once.
    child = subprocess.Popen(command, env=environment, cwd=home, start_new_session=True)  # noqa: S603 - our own interpreter
    return _until_ended(child)


def _until_ended(child: "subprocess.Popen[bytes]") -> int:
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
    return 0
