"""The status of one branch as findings: what needs a person, what is at work, what waits, and the command for each."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Literal

from ingest_project.branches.activations import Activation
from ingest_project.branches.gates import Gate
from ingest_project.branches.overview import Overview, Progress
from ingest_project.branches.registry import Branch
from ingest_project.embeddings.status import EmbeddingStatus
from ingest_project.errors import VectorsMissing
from ingest_project.postgres import leases
from ingest_project.postgres.leases import Holder
from ingest_project.postgres.pulses import SENSORS, Pulses, Worker, is_alive

Heading = Literal["needs a hand", "at work", "waiting"]
_EVENTS = {"failed": "failed", "refused": "was refused", "recovered": "has recovered"}
HEADINGS: tuple[Heading, ...] = ("needs a hand", "at work", "waiting")


@dataclass(frozen=True)
class Finding:
    """One thing to know about a branch; `run` is the command for it, `do` what a person has to do before or instead."""

    heading: Heading
    state: str
    what: str
    run: str
    do: str | None = None


@dataclass(frozen=True)
class BranchStatus:
    """What is known of a branch. Activations are the newest first; gates and progress are those of `newest`."""

    branch: Branch
    overview: Overview
    activations: list[Activation]
    gates: list[Gate]
    progress: Progress | None
    holder: Holder | None
    embeddings: list[EmbeddingStatus]
    has_vectors: bool
    pulses: Pulses

    @property
    def is_held(self) -> bool:
        """Whether a run is at work, as far as this host can tell."""
        return self.holder is not None and not self.holder.expired and not leases.process_is_gone(self.holder)

    @property
    def newest(self) -> Activation | None:
        """The newest activation that is not a rollback."""
        return next((one for one in self.activations if one.kind != "rollback"), None)

    @property
    def open_rollback(self) -> Activation | None:
        """A rollback that has begun and not ended."""
        return next((one for one in self.activations if one.kind == "rollback" and one.is_open), None)

    @property
    def command(self) -> str:
        """The command that runs the branch."""
        return f"ingest run {shlex.quote(self.branch.name)}"

    @cached_property
    def findings(self) -> list[Finding]:
        """Everything that needs attention, the most urgent first."""
        findings = [*self._activation_findings(), *self._embedding_findings(), *self._alert_findings()]
        return sorted(findings, key=lambda finding: HEADINGS.index(finding.heading))

    def next(self) -> str:
        """The one command to run, or that there is nothing to do."""
        if self.findings:
            return self.findings[0].run
        if self.newest is None:
            return self.command
        return f"nothing to do; {self.command} ingests the branch again"

    # ── activations and who holds the branch ───────────────────────────────────────────────────────────────

    def _activation_findings(self) -> Iterator[Finding]:
        if self.is_held:
            yield self._at_work()
            return
        if rollback := self.open_rollback:
            what = f"the rollback of activation {rollback.undoes} stopped half way; nothing else goes on before it"
            yield Finding("needs a hand", "half undone", what, f"ingest rollback {rollback.undoes}")
            return
        if self.holder:
            yield self._stalled(self.holder)
        elif newest := self.newest:
            yield from self._at_rest(newest)

    def _at_work(self) -> Finding:
        assert self.holder is not None, "is_held"
        holder = (
            f"heartbeat {ago(self.overview.pulse_age)}, run {(self.holder.run_id or '-')[:8]} on {self.holder.host}"
        )
        state, progress = _progress(self.open_rollback or self.newest, self.progress)
        return Finding("at work", state, f"{progress}{holder}", f"ingest status {shlex.quote(self.branch.name)}")

    def _stalled(self, holder: Holder) -> Finding:
        why = "its process is gone" if leases.process_is_gone(holder) else "it is silent for longer than it may be"
        what = f"run {(holder.run_id or '-')[:8]} on {holder.host} holds the branch and {why}: last heard of "
        what += f"{ago(self.overview.pulse_age)}; the next run takes over and goes on where it stopped"
        return Finding("needs a hand", "stalled", what, self.command)

    def _at_rest(self, newest: Activation) -> Iterator[Finding]:
        number = f"activation {newest.activation_id}"
        if newest.state == "blocked":
            yield self._blocked(newest)
        elif newest.state in ("refused", "failed") or (newest.is_open and newest.error):
            yield self._failed(newest)
        elif newest.state == "requested":
            what = f"{number} was asked for by {newest.requested_by} and has no run yet"
            yield Finding("waiting", "requested", what, self.command, self._nobody_starts_it("daemon"))
        elif newest.state == "planned":
            saved = f"ingest run --plan {newest.activation_id}" if (newest.plan or {}).get("saved") else self.command
            yield Finding("waiting", "planned", f"{number} is a dry run's: nothing is written to core", saved)
        elif newest.is_open:
            what = f"{number} stands at {newest.state} and nobody works on it; the next run goes on with it"
            yield Finding("waiting", "open", what, self.command, self._nobody_starts_it("daemon"))

    def _nobody_starts_it(self, worker: Worker) -> str | None:
        if is_alive(self.pulses.get(worker)):
            return None
        age = min((self.pulses[sensor] for sensor in SENSORS if sensor in self.pulses), default=None)
        if is_alive(age):
            return f"the sensor {SENSORS[worker]} does not tick: is it on (Dagster's UI, Automation)? Or run it once"
        last = "the daemon was never heard of" if age is None else f"the daemon was last heard of {ago(age)}"
        return f"nobody is at work, {last}: `ingest dev` starts it; or run it once"

    def _blocked(self, newest: Activation) -> Finding:
        failed = [gate for gate in self.gates if gate.blocks]
        codes = " ".join(gate.code for gate in failed)
        return Finding(
            "needs a hand",
            "blocked",
            f"activation {newest.activation_id}: {'; '.join(gate.message for gate in failed)}",
            f"ingest accept {newest.activation_id} {codes} --why '...'",
            f"mend the source or its file, then `{self.command}`; or take it as it is, then `{self.command}`",
        )

    def _failed(self, newest: Activation) -> Finding:
        error = newest.error or {}
        state = "interrupted" if error.get("code") == "Interrupted" else newest.state if newest.closed_at else "failed"
        what = f"activation {newest.activation_id}: {error.get('code', '?')}: {error.get('what', 'no reason is kept')}"
        return Finding("needs a hand", state, what, self.command, error.get("todo"))

    # ── embeddings and alerts ──────────────────────────────────────────────────────────────────────────────

    def _embedding_findings(self) -> Iterator[Finding]:
        for status in self.embeddings:
            yield from self._model_findings(status)

    def _alert_findings(self) -> Iterator[Finding]:
        if self.overview.undelivered:
            what = (
                f"that the branch {_EVENTS[self.overview.undelivered]} has not reached the webhook; it is kept: told by"
            )
            do = "mend the receiver, or INGEST_WEBHOOK_URL"
            yield Finding("waiting", "untold", f"{what} the next run or the sensor", self.command, do)

    def _model_findings(self, status: EmbeddingStatus) -> Iterator[Finding]:
        name = shlex.quote(self.branch.name)
        if status.dead:
            why = ", ".join(f"{key} {count:,}" for key, count in sorted(status.dead.items()))
            what = f"{sum(status.dead.values()):,} embedding requests were given up by {status.model}: {why}"
            do = f"mend what `ingest embed status {name}` says"
            yield Finding("needs a hand", "dead", what, f"ingest embed retry {name}", do)
        if what := self._unreconciled(status):
            yield Finding("needs a hand", "unreconciled", what, f"ingest verify {name} --repair")
        working = status.leased - self.overview.claims_expired
        if working > 0:
            what = f"{status.model}: {status.done:,} of {status.items:,} items embedded, {status.rate:,.1f}/s"
            what += f", {status.pending:,} wait"
            yield Finding("at work", "embedding", what, f"ingest embed status {name}")
        elif status.pending or status.leased:
            yield self._backlog(status, name)

    def _backlog(self, status: EmbeddingStatus, name: str) -> Finding:
        waiting = f"{status.pending + status.leased:,} items wait for their vector by {status.model}"
        if not self.has_vectors:
            do = VectorsMissing.default_todo
            return Finding("waiting", "no pgvector", waiting, f"ingest embed run {name}", do)
        if status.paused_until:
            paused = (
                f"{waiting}; the endpoint is left alone until {status.paused_until:%H:%M:%S} UTC: {status.paused_for}"
            )
            return Finding("waiting", "paused", paused, f"ingest embed status {name}")
        expired = f"; {self.overview.claims_expired:,} were claimed by a worker that is gone" if status.leased else ""
        what = f"{waiting}{expired}"
        return Finding("waiting", "not embedded", what, f"ingest embed run {name}", self._nobody_starts_it("embedding"))

    def _unreconciled(self, status: EmbeddingStatus) -> str | None:
        newest = self.newest
        if self.is_held or self.open_rollback or (newest and newest.state in ("accepted", "committed")):
            return None  # a run derives the requests only after it has written the items
        requests = status.pending + status.leased + status.done + sum(status.dead.values())
        # What is done of a branch that is not embedded any more is left to the nightly repair.
        wanted = status.items if self.branch.spec.embed else status.done
        if requests < wanted:
            return f"{wanted - requests:,} items have no embedding request for {status.model}"
        return (
            f"{requests - wanted:,} embedding requests for {status.model} are of no item" if requests > wanted else None
        )


def _progress(activation: Activation | None, progress: Progress | None) -> tuple[str, str]:
    """What a run does now, and how far it is."""
    if activation is None or progress is None or not activation.is_open:
        return "beginning", ""
    if activation.kind == "rollback":
        return "rolling back", f"activation {activation.undoes}, {activation.valid or 0:,} changes; "
    number = f"activation {activation.activation_id}, "
    # A heartbeat says that the process lives; this, whether it gets on.
    since = f"last part {ago(progress.since_part)}; " if progress.since_part is not None else ""
    if activation.snapshotted_at is None:
        return "reading", f"{number}{progress.rows_read:,} rows so far; {since}"
    if activation.normalized_at is None:
        return "normalizing", f"{number}{progress.parts_normalized:,} of {progress.parts_read:,} parts; {since}"
    if activation.committed_at is None:
        return "upserting", f"{number}{progress.rows_upserted:,} of {activation.valid or 0:,} rows; {since}"
    return "requesting", f"{number}embedding requests of what changed; "


def ago(age: timedelta | None) -> str:
    """How long ago, in the largest unit of which it is at least two."""
    if age is None:
        return "never"
    seconds = max(int(age.total_seconds()), 0)
    for unit, size in (("days", 86_400), ("hours", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
