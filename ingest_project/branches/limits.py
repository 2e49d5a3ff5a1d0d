"""The limits of the gates: those that a branch file declares, and the defaults."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Ratio = Annotated[float, Field(ge=0, le=1, strict=True)]
MIN_ROWS_TO_JUDGE = 100
_DEFAULTS = {
    **{"reject_ratio": 0.5, "duplicate_ratio": 0.5, "shrink_ratio": 0.5},
    **{"null_ratio": 0.95, "rekeyed_ratio": 0.9},
}


class Limits(BaseModel):
    """When to block a source, or what came out of it. 1 lets all pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_age: timedelta | None = Field(
        default=None,
        gt=timedelta(0),
        description="Block a source last written longer ago, for example P1DT12H or 36:00:00.",
    )
    max_reject_ratio: Ratio | None = Field(
        default=None, description="Share of rows that are rejected; left out, 0.5 from 100 rows on."
    )
    max_duplicate_ratio: Ratio | None = Field(
        default=None,
        description="Share of rows whose key another row of the activation has; left out, 0.5 from 100 rows on.",
    )
    max_null_ratio: dict[str, Ratio] = Field(
        default={},
        description="Item field (or source_updated_at) to the share of items in which it may be null; left out, 0.95 "
        "from 100 items on of one that at least half of them had the last time.",
    )
    max_shrink_ratio: Ratio | None = Field(
        default=None,
        description="By how much an activation may be smaller than the one before; left out, 0.5 from 100 rows on. "
        "1 for a branch that delivers what changed, not all of it.",
    )
    max_rekeyed_ratio: Ratio | None = Field(
        default=None,
        description="Share of keys that are new while as great a share of the old ones is missing; left out, 0.9 from "
        "100 rows on. 1 for a branch that delivers other items each time.",
    )
    max_change_ratio: Ratio | None = Field(
        default=None, description="Share of the items already there that would be updated; left out, all may be."
    )

    def of(self, code: str, rows: int) -> float:
        """The limit of a gate, such as `reject_ratio` or `null_ratio.FIELD`; with few `rows` no default applies."""
        ratio, _, field = code.partition(".")
        declared = getattr(self, f"max_{ratio}")
        limit: float | None = declared.get(field) if field else declared
        if limit is not None:
            return limit
        return _DEFAULTS.get(ratio, 1.0) if rows >= MIN_ROWS_TO_JUDGE else 1.0
