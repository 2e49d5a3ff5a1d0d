"""One claim sent to a provider: identical texts once, and a text that is refused found and set apart.

A refused batch is bisected until the texts that are at fault stand alone. Before that, a harmless text is sent: where
that is refused as well, it is the configuration that is at fault, and no text is charged for it.
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
    checked,
)

HARMLESS = "test"
# A batch that fails for the third time without being refused may hold a text that brings the provider down.
SUSPECT_AFTER = 2


@dataclass
class Answer:
    """Positions of the claim by what came of them; `rest` was not decided, because of `error`."""

    done: list[int] = field(default_factory=list[int])
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    failed: dict[int, ProviderError] = field(default_factory=dict[int, ProviderError])
    rest: list[int] = field(default_factory=list[int])
    error: ProviderError | None = None
    split: bool = False


def ask(provider: Provider, texts: Sequence[str], attempts: int = 0) -> Answer:
    """Send the texts of a claim; `attempts` that it has behind it. Never raises what a provider did."""
    unique = list(dict.fromkeys(texts))
    asked = _Asked(provider, unique, bisect_all=attempts >= SUSPECT_AFTER)
    answer = Answer()
    try:
        asked.send(0, len(unique))
    except ProviderError as error:
        answer.error = error
    except Exception as error:
        answer.error = Transient(f"{type(error).__name__}: {error}", error_class="unexpected")
    places = {text: at for at, text in enumerate(unique)}
    of_position = [places[text] for text in texts]
    answer.done = [at for at, place in enumerate(of_position) if asked.done[place]]
    answer.vectors = asked.vectors[[of_position[at] for at in answer.done]]
    answer.failed = {at: asked.failed[place] for at, place in enumerate(of_position) if place in asked.failed}
    answer.rest = [at for at, place in enumerate(of_position) if not asked.done[place] and place not in asked.failed]
    answer.split = asked.split
    return answer


class _Asked:
    def __init__(self, provider: Provider, texts: list[str], *, bisect_all: bool) -> None:
        self._provider = provider
        self._texts = texts
        self._bisect_all = bisect_all
        self.vectors = np.zeros((len(texts), provider.dims), np.float32)
        self.done = np.zeros(len(texts), bool)
        self.failed: dict[int, ProviderError] = {}
        self.split = False

    def send(self, first: int, end: int) -> None:
        try:
            texts = self._texts[first:end]
            self.vectors[first:end] = checked(self._provider.embed(texts), texts, self._provider.dims)
        except RateLimited:
            raise
        except (BadRequest, Transient) as error:
            if isinstance(error, Transient) and not self._bisect_all:
                raise
            self._apart(first, end, error)
        else:
            self.done[first:end] = True

    def _apart(self, first: int, end: int, error: ProviderError) -> None:
        if not self.split:
            self._prove(error)
            self.split = True
        if end - first == 1:
            self.failed[first] = error
            return
        middle = (first + end) // 2
        self.send(first, middle)
        self.send(middle, end)

    def _prove(self, error: ProviderError) -> None:
        """Raise where a text that nobody can object to fares no better."""
        try:
            self._provider.embed([HARMLESS])
        except BadRequest as refusal:
            raise AuthFailed(
                f"the provider refuses every text: {refusal}", "Mend the model's name or dimensions, or the endpoint."
            ) from error
