"""`ingest torture`: kill ingests on the user's own Postgres and compare what they leave."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ingest_project.cli.terminal import json_option
from ingest_project.errors import Unexpected

if TYPE_CHECKING:
    from ingest_project.torture.rounds import Tally


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True, help="States of the data.")
@click.option("--rows", type=click.IntRange(10), default=2_000, show_default=True, help="Rows of each state.")
@click.option("--kills", type=click.IntRange(1), default=4, show_default=True, help="At most so many a round.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another course of events.")
@click.option("--keep", is_flag=True, help="Leave both sources in the tables, to look at.")
@json_option
def torture(*, rounds: int, rows: int, kills: int, seed: int, keep: bool, as_json: bool) -> int:
    """Kill ingests of generated data again and again, and compare what they leave with ones that were left alone.

    What a state of the data lacks is kept and tombstoned in turn; at last the newest one is rolled back. Runs on the
    database in use, beside what is there: in two sources of its own, which it takes away at the end.

    Example: ingest torture --rounds 20 --rows 5000
    """
    from ingest_project.torture.rounds import Torture

    tally = Torture(rounds, rows, kills, seed).run((lambda _: None) if as_json else _print_round, keep=keep)
    if as_json:
        click.echo(json.dumps(asdict(tally)))
    elif tally.differences:
        raise Unexpected(
            f"{len(tally.differences)} tables differ: {tally.differences[0]}",
            where={"seed": seed, "rounds": rounds, "rows": rows},
            todo=f"Run it again with --keep --seed {seed}, look at both sources, and file an issue with what you see.",
        )
    else:
        click.echo(
            f"{tally.rounds} rounds, {tally.rows:,} rows, {tally.kills} kills ({tally.kills_at_points} at named "
            f"points, {tally.kills_at_random} at random): items, history, rejects, batches, requests and activations "
            "are those of ingests that were left alone"
        )
    return int(bool(tally.differences))


def _print_round(tally: "Tally") -> None:
    verdict = "DIFFERENT" if tally.differences else "equal"
    click.echo(f"round {tally.rounds}: {tally.kills} kills so far, {verdict}")
