"""Gates in Postgres: what blocks, who accepts, and where the activation goes on."""

from dataclasses import replace

import pytest

from ingest_project.branches import activations, gates
from ingest_project.branches.activations import Activation
from ingest_project.branches.gates import Gate
from ingest_project.branches.registry import Branch
from ingest_project.errors import ActivationUnknown, GateBlocked, UsageError
from ingest_project.postgres.connection import Connection
from ingest_project_tests.branches.test_activations import claimed, pinned, snapshotted

GOOD = Gate("null_ratio.phone", 0.1, 0.2, "phone is null in 1 of 10 items")
SMALL = Gate("shrink_ratio", 0.75, 0.5, "50 valid rows where activation 1 had 200, a loss")
REJECTS = Gate("reject_ratio", 0.6, 0.5, "6 of 10 rows were rejected")


def snapshot_of(connection: Connection, branch: Branch) -> Activation:
    made = activations.create(connection, branch.branch_id, holder="run", plan_only=False)
    return snapshotted(connection, pinned(connection, claimed(connection, made)))


def blocked_by(connection: Connection, branch: Branch, *failed: Gate, normalized: bool = True) -> Activation:
    found = snapshot_of(connection, branch)
    gates.record(connection, found.activation_id, failed)
    why = GateBlocked("; ".join(gate.message for gate in failed))
    if not normalized:
        return activations.block(connection, found, why)
    counts = {"rows_read": 10, "rejected": 6, "valid": 4, "normalizer_version": "1"}
    return activations.end_normalization(connection, found, **counts, blocked=why)


def accepted(connection: Connection, found: Activation, *codes: str) -> Activation:
    return gates.accept(connection, found.activation_id, codes, why="it is so", who="me")


def test_only_what_passes_its_limit_blocks(connection: Connection, branch: Branch) -> None:
    found = snapshot_of(connection, branch)
    assert gates.record(connection, found.activation_id, [GOOD, SMALL]) == [SMALL]
    assert [gate.code for gate in gates.gates_of(connection, found.activation_id)] == [GOOD.code, SMALL.code]
    at_the_limit = Gate("shrink_ratio", 0.5, 0.5, "")
    assert gates.record(connection, found.activation_id, [at_the_limit]) == []


def test_an_accepted_one_goes_on_from_where_it_was(connection: Connection, branch: Branch) -> None:
    found = accepted(connection, blocked_by(connection, branch, SMALL), SMALL.code)
    assert (found.state, found.error, found.accepted_at is not None) == ("accepted", None, True)
    (gate,) = gates.gates_of(connection, found.activation_id)
    assert (gate.accepted_by, gate.why, gate.accepted_at is not None) == ("me", "it is so", True)


def test_one_that_was_stopped_early_is_normalized_on(connection: Connection, branch: Branch) -> None:
    found = accepted(connection, blocked_by(connection, branch, REJECTS, normalized=False), REJECTS.code)
    assert (found.state, found.accepted_at) == ("snapshotted", None)


def test_what_is_accepted_stays_so_when_it_is_measured_again(connection: Connection, branch: Branch) -> None:
    found = accepted(connection, blocked_by(connection, branch, REJECTS, normalized=False), REJECTS.code)
    assert gates.record(connection, found.activation_id, [Gate("reject_ratio", 0.9, 0.5, "9 of 10")]) == []


def test_columns_are_accepted_as_they_were_told(connection: Connection, branch: Branch) -> None:
    made = activations.create(connection, branch.branch_id, holder="run", plan_only=False)
    found = pinned(connection, claimed(connection, made))
    told = Gate("contract", 1, 0, "the columns:\n    renamed: 'a' → 'b'")
    gates.record(connection, found.activation_id, [told])
    assert activations.block(connection, found, GateBlocked(told.message)).state == "blocked"
    assert accepted(connection, found, "contract").state == "pinned"
    assert gates.record(connection, found.activation_id, [told]) == []
    (blocking,) = gates.record(connection, found.activation_id, [replace(told, what="the columns:\n    new: 'c'")])
    assert (blocking.accepted_by, blocking.accepted_at, blocking.why) == (None, None, None)


def test_every_gate_that_blocks_has_to_be_accepted(connection: Connection, branch: Branch) -> None:
    found = blocked_by(connection, branch, SMALL, REJECTS)
    assert accepted(connection, found, SMALL.code).state == "blocked"
    assert accepted(connection, found, REJECTS.code).state == "accepted"


@pytest.mark.parametrize("code", ["shrink_ration", GOOD.code])
def test_a_gate_that_does_not_block_is_not_accepted(connection: Connection, branch: Branch, code: str) -> None:
    found = blocked_by(connection, branch, SMALL, GOOD)
    with pytest.raises(UsageError, match=f"no gate {code} blocks") as caught:
        accepted(connection, found, SMALL.code, code)
    assert caught.value.todo == "These do: shrink_ratio."
    assert [gate.code for gate in gates.gates_of(connection, found.activation_id) if gate.blocks] == [SMALL.code]


def test_what_is_not_blocked_is_not_accepted(connection: Connection, branch: Branch) -> None:
    found = snapshot_of(connection, branch)
    with pytest.raises(UsageError, match="is snapshotted, not blocked"):
        accepted(connection, found, SMALL.code)
    with pytest.raises(ActivationUnknown, match="there is no activation 999999"):
        gates.accept(connection, 999_999, ["x"], why="y", who="z")


def test_beside_an_open_one_it_stays_blocked(connection: Connection, branch: Branch) -> None:
    found = blocked_by(connection, branch, SMALL)
    other = snapshot_of(connection, branch)
    with pytest.raises(UsageError, match=f"stays blocked: another one .* open, {other.activation_id}, snapshotted"):
        accepted(connection, found, SMALL.code)
    assert [gate.accepted_at for gate in gates.gates_of(connection, found.activation_id)] == [None]


def test_a_blocked_one_says_what_was_measured_and_both_ways_on(connection: Connection, branch: Branch) -> None:
    found = blocked_by(connection, branch, SMALL, GOOD)
    with pytest.raises(GateBlocked) as caught:
        gates.refuse_blocked(connection, "it's mine", found)
    assert caught.value.what == "50 valid rows where activation 1 had 200, a loss: 75.0% with a limit of 50.0%"
    assert "limits.max_shrink_ratio" in caught.value.todo
    assert f"`ingest accept {found.activation_id} shrink_ratio --why '...'`" in caught.value.todo
    assert """`ingest run 'it'"'"'s mine'`""" in caught.value.todo
