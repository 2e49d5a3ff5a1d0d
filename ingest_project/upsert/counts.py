"""Counts of rows by what the upsert did with them."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Counts:
    """What happened to the rows of one part, or of several."""

    valid: int = 0
    inserted: int = 0
    updated: int = 0
    touched: int = 0
    unchanged: int = 0
    stale: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        added = asdict(other)
        return Counts(**{name: count + added[name] for name, count in asdict(self).items()})

    def outcomes(self) -> dict[str, int]:
        """The same without `valid`, which is their sum."""
        return {name: count for name, count in asdict(self).items() if name != "valid"}

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.touched
