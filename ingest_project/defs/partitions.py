"""One partition per branch; `ingest branch apply` adds it."""

from collections.abc import Iterable

import dagster as dg

BRANCH = "branch"
branch_partitions = dg.DynamicPartitionsDefinition(name=BRANCH)


def ensure_partition(instance: dg.DagsterInstance, branch: str) -> None:
    """Add the partition of a branch, if it is missing."""
    instance.add_dynamic_partitions(BRANCH, [branch])


def missing_partitions(
    instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest]
) -> list[dg.AddDynamicPartitionsRequest]:
    """What a sensor returns with its run requests, to add those of their partitions that are missing."""
    wanted = {str(request.partition_key) for request in requests}
    missing = sorted(wanted - set(instance.get_dynamic_partitions(BRANCH)))
    return [branch_partitions.build_add_request(missing)] if missing else []
