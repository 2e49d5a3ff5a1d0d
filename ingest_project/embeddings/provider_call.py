"""One call to a provider for the texts of a claim: identical texts are sent once, refused ones are isolated.

A refused batch is bisected until the texts at fault stand alone. Before that a harmless text is sent: if that is
refused as well, the configuration is at fault, and no text is blamed for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ingest_project.embeddings.providers import (
    AuthFailed,
    BadRequest,
    Provider,
    ProviderError,
    RateLimited,
    Transient,
    Vectors,
    validated,
)

HARMLESS = "test"
# A batch that fails for the third time without being refused may hold a text that brings the provider down.
SUSPECT_AFTER = 2


@dataclass
class Answer:
    """Positions of the claim by outcome; those in `undecided` got none, because of `error`.

    `vectors` are those of `done`. `was_split`: the batch had to be bisected.
    """

    done: list[int] = field(default_factory=list[int])
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    failed: dict[int, ProviderError] = field(default_factory=dict[int, ProviderError])
    undecided: list[int] = field(default_factory=list[int])
    error: ProviderError | None = None
    was_split: bool = False


def call_provider(provider: Provider, texts: Sequence[str], attempts: int = 0) -> Answer:
    """Embed the texts of a claim that has had so many attempts. Never raises what the provider raises."""
    unique = list(dict.fromkeys(texts))
    batch = _Batch(provider, unique, bisect_all=attempts >= SUSPECT_AFTER)
    answer = Answer()
    try:
        batch.send(0, len(unique))
    except ProviderError as error:
        answer.error = error
    except Exception as error:
        answer.error = Transient(f"{type(error).__name__}: {error}", error_class="unexpected")
    index_of = {text: index for index, text in enumerate(unique)}
    for position, index in enumerate(index_of[text] for text in texts):
        if batch.done[index]:
            answer.done.append(position)
        elif index in batch.failed:
            answer.failed[position] = batch.failed[index]
        else:
            answer.undecided.append(position)
    answer.vectors = batch.vectors[[index_of[texts[position]] for position in answer.done]]
    answer.was_split = batch.was_split
    return answer


class _Batch:
    """The unique texts of a claim, and what became of each by its index."""

    def __init__(self, provider: Provider, texts: list[str], *, bisect_all: bool) -> None:
        self._provider = provider
        self._texts = texts
        self._bisect_all = bisect_all
        self.vectors = np.zeros((len(texts), provider.dims), np.float32)
        self.done = np.zeros(len(texts), bool)
        self.failed: dict[int, ProviderError] = {}
        self.was_split = False

    def send(self, first: int, end: int) -> None:
        try:
            texts = self._texts[first:end]
            self.vectors[first:end] = validated(self._provider.embed(texts), texts, self._provider.dims)
        except RateLimited:
            raise
        except (BadRequest, Transient) as error:
            if isinstance(error, Transient) and not self._bisect_all:
                raise
            self._bisect(first, end, error)
        else:
            self.done[first:end] = True

    def _bisect(self, first: int, end: int, error: ProviderError) -> None:
        if not self.was_split:
            self._check_configuration(error)
            self.was_split = True
        if end - first == 1:
            self.failed[first] = error
            return
        middle = (first + end) // 2
        self.send(first, middle)
        self.send(middle, end)

    def _check_configuration(self, error: ProviderError) -> None:
        """Raise AuthFailed where even a harmless text is refused."""
        try:
            self._provider.embed([HARMLESS])
        except BadRequest as refusal:
            raise AuthFailed(
                f"the provider refuses every text: {refusal}", "Mend the model's name or dimensions, or the endpoint."
            ) from error
