"""`ingest dev`: Dagster's UI and daemon, with the DAGSTER_HOME of this project."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import click
import psutil

from ingest_project.defs.home import dagster_home
from ingest_project.errors import IngestError, UsageError
from ingest_project.postgres.connection import database_url
from ingest_project.postgres.migrations import ensure_migrated

START_SECONDS = 120.0
STOP_SECONDS = 30
_GRACE_SECONDS = 3  # for what Dagster has started, to end by itself
_POLL_SECONDS = 0.3
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where the UI answers if it listens everywhere


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
    _refuse_taken(host, port)
    database_url()
    ensure_migrated()
    home = dagster_home()
    command = [
        *(sys.executable, "-m", "dagster", "dev", "-m", "ingest_project.definitions"),
        *("-h", host, "-p", str(port), "--log-level", "error"),
    ]
    click.echo("starting Dagster's UI and daemon; Ctrl-C ends them")
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    # A deprecation inside Dagster, of no use to the user.
    environment.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")
    # In a session of its own: Ctrl-C reaches it through this process, once.
    child = subprocess.Popen(command, env=environment, cwd=home, start_new_session=True)  # noqa: S603 - our own interpreter
    return _wait_for_end(child, f"http://{_LOOPBACK.get(host, host)}:{port}")


def _refuse_taken(host: str, port: int) -> None:
    """Raise UsageError where the UI could not listen: Dagster says so late, in a page of its own."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise UsageError(
            f"nothing can listen at {host}:{port}: {error.strerror}",
            todo=f"Is another `ingest dev` there already? Then open it; else `ingest dev --port {port % 65535 + 1}`.",
        ) from error


def _wait_for_end(child: "subprocess.Popen[bytes]", url: str) -> int:
    try:
        if wait_for_ui(child, url):
            click.echo(f"ready at {url}/assets   (Ctrl-C ends all)")
        else:
            click.echo(
                f"the UI has not answered at {url} within {START_SECONDS:.0f} s; it is left running.\n"
                "  do:    look at what Dagster says above; `ingest db url` shows whether Postgres answers; or Ctrl-C",
                err=True,
            )
        return child.wait()
    except KeyboardInterrupt:
        end(child)
    return 0


def end(dagster: "subprocess.Popen[bytes]") -> None:
    """End Dagster and all processes that it started: by itself it leaves runs, and code servers that wait for them."""
    processes = list[psutil.Process]()
    with suppress(psutil.NoSuchProcess):
        processes = psutil.Process(dagster.pid).children(recursive=True)
    dagster.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        dagster.wait(STOP_SECONDS)
    if dagster.poll() is None:
        dagster.kill()
    _, alive = psutil.wait_procs(processes, _GRACE_SECONDS)
    for stop in (psutil.Process.terminate, psutil.Process.kill):
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                stop(process)
        _, alive = psutil.wait_procs(alive, STOP_SECONDS)


def wait_for_ui(child: "subprocess.Popen[bytes]", url: str) -> bool:
    """Wait until the UI answers; False if it does not within START_SECONDS. Raises IngestError if Dagster ends."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise IngestError(
                f"Dagster ended by itself, with {child.returncode}, before its UI answered",
                where={"url": url},
                todo="What it said is above. `ingest db url` shows whether Postgres answers.",
            )
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):  # noqa: S310 - our own server
                return True
        except OSError:
            time.sleep(_POLL_SECONDS)
    return False
