"""Each revision is a file of plain SQL and what alembic needs to put it in its place."""

from importlib.resources import files

from alembic import op


def run_script(name: str) -> None:
    """Run a file of SQL beside this one, in the transaction of the migration.

    By psycopg itself: SQLAlchemy would take every % of it for a parameter.
    """
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(files(__name__).joinpath(name).read_text(encoding="utf-8"))
