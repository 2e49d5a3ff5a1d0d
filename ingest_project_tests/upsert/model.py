"""What core.items, its history and the ledger must say, in plain Python: no cuts, no locks, no statements."""

from dataclasses import dataclass, field, replace

NO_TIME = -1  # ranks below every day
NO_RANK = -32_769


@dataclass(frozen=True)
class Carried:
    """A row of an activation; `day` is its source time."""

    key: str
    name: str
    phone: str | None
    day: int | None


@dataclass(frozen=True)
class Image:
    """An item as it is, or was."""

    name: str
    phone: str | None
    day: int | None
    priority: int
    branch: int
    activation: int
    deleted: bool = False

    @property
    def content(self) -> tuple[str, str | None]:
        return self.name, self.phone

    def rank(self, branch: int, priority: int) -> tuple[int, int]:
        """As a row of this branch sees it: within a branch only time decides."""
        same = self.branch == branch and self.priority != NO_RANK
        return NO_TIME if self.day is None else self.day, priority if same else self.priority


@dataclass(frozen=True)
class Version:
    """What an activation did to an item, and what it was before."""

    activation: int
    op: str
    old: Image | None


@dataclass
class Item:
    """An item with its history."""

    image: Image
    versions: list[Version]


@dataclass(frozen=True)
class Ours:
    """The branch and activation that a row comes by; `tombstones` where the branch says what there is."""

    branch: int
    priority: int
    activation: int
    tombstones: bool


@dataclass
class Model:
    """Items by key; requests by key with the name that they ask for; keys whose requests are due, by branch."""

    items: dict[str, Item] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    due: dict[int, set[str]] = field(default_factory=dict)

    def apply(self, ours: Ours, rows: list[Carried]) -> None:
        """A part: all of its rows."""
        for row in rows:
            self._apply(ours, row)

    def _apply(self, ours: Ours, row: Carried) -> None:
        now = Image(row.name, row.phone, row.day, ours.priority, ours.branch, ours.activation)
        live = self.items.get(row.key)
        kind = judged(live.image if live else None, now, ours)
        if kind == "t" and live:
            live.image = now
        elif kind in "iur":
            self._write(row.key, now, kind, ours)

    def tombstone(self, ours: Ours, carried: set[str]) -> None:
        """What the branch does not carry any more."""
        for key, item in self.items.items():
            if item.image.branch == ours.branch and not item.image.deleted and key not in carried:
                self._write(key, replace(item.image, deleted=True, activation=ours.activation), "d", ours)

    def undo(self, target: int, ours: Ours) -> None:
        """Everything that activation `target` did, as it was before its first change."""
        for key, item in self.items.items():
            own = [version for version in item.versions if version.activation == target]
            if not own:
                continue
            old = own[0].old
            if own[0].op == "i" or old is None:
                withdrawn = replace(item.image, deleted=True, day=None, priority=NO_RANK, activation=ours.activation)
                self._write(key, withdrawn, "d", ours)
            else:
                self._write(key, old, "d" if old.deleted else "r" if item.image.deleted else "u", ours)

    def derive(self, branch: int) -> None:
        """The requests of what the branch has changed since it did so last."""
        for key in self.due.pop(branch, set()):
            if self.items[key].image.deleted:
                self.requests.pop(key, None)
            else:
                self.requests[key] = self.items[key].image.name

    def touched_only_by(self, target: int) -> bool:
        """Whether what activation `target` changed is still what it made of it."""
        changed = [item for item in self.items.values() if any(one.activation == target for one in item.versions)]
        return bool(changed) and all(item.image.activation == target for item in changed)

    def _write(self, key: str, image: Image, op: str, ours: Ours) -> None:
        before = self.items.get(key)
        history = before.versions if before else []
        made = Version(ours.activation, op, before.image if before else None)
        self.items[key] = Item(image, [*history, made])
        self.due.setdefault(ours.branch, set()).add(key)


def judged(live: Image | None, row: Image, ours: Ours) -> str:
    """I new, u other content, r revived, t touched, s stale, n nothing."""
    if live is None:
        return "i"
    own, theirs = row.rank(ours.branch, ours.priority), live.rank(ours.branch, ours.priority)
    equal = own == theirs and live.activation <= ours.activation
    wins = own > theirs or equal
    if live.deleted:
        returned = ours.tombstones and live.branch == ours.branch and live.activation <= ours.activation
        return "r" if wins or returned else "s"
    if live.content == row.content:
        return "t" if own > theirs or (equal and live.priority != ours.priority) else "n"
    return "u" if wins else "s"
