"""One partition per branch; `ingest branch apply` adds it."""

import dagster as dg

BRANCH = "branch"
branch_partitions = dg.DynamicPartitionsDefinition(name=BRANCH)


def ensure_partition(instance: dg.DagsterInstance, branch: str) -> None:
    """Add the partition of a branch; nothing where it is there."""
    instance.add_dynamic_partitions(BRANCH, [branch])
