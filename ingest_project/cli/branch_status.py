"""The status of one branch as findings: what needs a hand, what is at work, what waits, and the command for each."""

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
_HAPPENED = {"failed": "failed", "refused": "was refused", "recovered": "has recovered"}
HEADINGS: tuple[Heading, ...] = ("needs a hand", "at work", "waiting")


@dataclass(frozen=True)
class Finding:
    """One thing to know of a branch; `run` is the command for it, `do` what a person does before or instead."""

    heading: Heading
    state: str
    what: str
    run: str
    do: str | None = None


@dataclass(frozen=True)
class BranchStatus:
    """What is known of a branch. `activations` newest first; `gates` and `progress` of the first of its own line."""

    branch: Branch
    overview: Overview
    activations: list[Activation]
    gates: list[Gate]
    progress: Progress | None
    holder: Holder | None
    embeddings: list[EmbeddingStatus]
    has_vectors: bool
    heard: Pulses

    @property
    def is_held(self) -> bool:
        """Whether a run is at work, as far as can be told from here."""
        return self.holder is not None and not self.holder.expired and not leases.process_is_gone(self.holder)

    @property
    def newest(self) -> Activation | None:
        """The newest activation that is not a rollback."""
        return next((one for one in self.activations if one.kind != "rollback"), None)

    @property
    def undoing(self) -> Activation | None:
        """A rollback that has begun and has not ended."""
        return next((one for one in self.activations if one.kind == "rollback" and one.is_open), None)

    @property
    def command(self) -> str:
        return f"ingest run {shlex.quote(self.branch.name)}"

    @cached_property
    def findings(self) -> list[Finding]:
        """Whatever is not quiet, the most urgent first."""
        found = [*self._of_the_line(), *self._of_embeddings(), *self._of_alerts()]
        return sorted(found, key=lambda one: HEADINGS.index(one.heading))

    def next(self) -> str:
        """The one command to run, or that there is nothing to do."""
        if self.findings:
            return self.findings[0].run
        if self.newest is None:
            return self.command
        return f"nothing to do; {self.command} ingests the branch again"

    # ── activations and who holds the branch ───────────────────────────────────────────────────────────────

    def _of_the_line(self) -> Iterator[Finding]:
        if self.is_held:
            yield self._at_work()
            return
        if undoing := self.undoing:
            what = f"the rollback of activation {undoing.undoes} stopped half way; nothing else goes on before it"
            yield Finding("needs a hand", "half undone", what, f"ingest rollback {undoing.undoes}")
            return
        if self.holder:
            yield self._stalled(self.holder)
        elif newest := self.newest:
            yield from self._at_rest(newest)

    def _at_work(self) -> Finding:
        assert self.holder is not None, "asked before"
        pulse = f"heartbeat {ago(self.overview.pulse_age)}, run {(self.holder.run_id or '-')[:8]} on {self.holder.host}"
        state, far = _far(self.undoing or self.newest, self.progress)
        watch = f"ingest status {shlex.quote(self.branch.name)}"
        return Finding("at work", state, f"{far}{pulse}", watch)

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
        if is_alive(self.heard.get(worker)):
            return None
        age = min((self.heard[one] for one in SENSORS if one in self.heard), default=None)
        if is_alive(age):
            return f"the sensor {SENSORS[worker]} does not tick: is it on (Dagster's UI, Automation)? Or run it once"
        heard = "the daemon was never heard of" if age is None else f"the daemon was last heard of {ago(age)}"
        return f"nobody is at work, {heard}: `ingest dev` starts it; or run it once"

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

    # ── embeddings ─────────────────────────────────────────────────────────────────────────────────────────

    def _of_embeddings(self) -> Iterator[Finding]:
        for one in self.embeddings:
            yield from self._of_model(one)

    def _of_alerts(self) -> Iterator[Finding]:
        if self.overview.untold:
            what = f"that the branch {_HAPPENED[self.overview.untold]} has not reached the webhook; it is kept: told by"
            do = "mend the receiver, or INGEST_WEBHOOK_URL"
            yield Finding("waiting", "untold", f"{what} the next run or the sensor", self.command, do)

    def _of_model(self, one: EmbeddingStatus) -> Iterator[Finding]:
        name = shlex.quote(self.branch.name)
        if one.dead:
            why = ", ".join(f"{key} {count:,}" for key, count in sorted(one.dead.items()))
            what = f"{sum(one.dead.values()):,} embedding requests were given up by {one.model}: {why}"
            mend = f"mend what `ingest embed status {name}` says"
            yield Finding("needs a hand", "dead", what, f"ingest embed retry {name}", mend)
        if what := self._unreconciled(one):
            yield Finding("needs a hand", "unreconciled", what, f"ingest verify {name} --repair")
        working = one.leased - self.overview.claims_expired
        if working > 0:
            what = f"{one.model}: {one.done:,} of {one.items:,} items embedded, {one.rate:,.1f}/s, {one.pending:,} wait"
            yield Finding("at work", "embedding", what, f"ingest embed status {name}")
        elif one.pending or one.leased:
            yield self._backlog(one, name)

    def _backlog(self, one: EmbeddingStatus, name: str) -> Finding:
        waiting = f"{one.pending + one.leased:,} items wait for their vector by {one.model}"
        if not self.has_vectors:
            do = VectorsMissing.default_todo
            return Finding("waiting", "no pgvector", waiting, f"ingest embed run {name}", do)
        if one.paused_until:
            paused = f"{waiting}; the endpoint is left alone until {one.paused_until:%H:%M:%S} UTC: {one.paused_for}"
            return Finding("waiting", "paused", paused, f"ingest embed status {name}")
        gone = f"; {self.overview.claims_expired:,} were claimed by a worker that is gone" if one.leased else ""
        what = f"{waiting}{gone}"
        return Finding("waiting", "not embedded", what, f"ingest embed run {name}", self._nobody_starts_it("embedding"))

    def _unreconciled(self, one: EmbeddingStatus) -> str | None:
        newest = self.newest
        if self.is_held or self.undoing or (newest and newest.state in ("accepted", "committed")):
            return None  # what is being written has its requests a moment later
        asked = one.pending + one.leased + one.done + sum(one.dead.values())
        wanted = one.items if self.branch.spec.embed else 0
        if asked < wanted:
            return f"{wanted - asked:,} items have no embedding request for {one.model}"
        return f"{asked - wanted:,} embedding requests for {one.model} are of no item" if asked > wanted else None


def _far(activation: Activation | None, progress: Progress | None) -> tuple[str, str]:
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
    """How long ago, in the unit that says it shortest."""
    if age is None:
        return "never"
    seconds = max(int(age.total_seconds()), 0)
    for unit, size in (("days", 86_400), ("hours", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
