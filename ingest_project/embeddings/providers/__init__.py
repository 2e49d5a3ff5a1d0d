"""Who makes vectors from texts, behind one small protocol, and the ways in which they fail.

ProviderError
├── RateLimited      too fast: nothing was wrong with the texts; wait, then send the same again
├── Transient        no answer, or one that makes no sense: may pass by itself
├── BadRequest       refused for what it says: at least one of these texts will never pass
└── AuthFailed       key, quota, model name or dimensions are wrong: no text will pass until a person acts
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ingest_project.embeddings.models import Model
from ingest_project.errors import UsageError

Vectors = NDArray[np.float32]


class Provider(Protocol):
    """Makes vectors; called from several threads at once, never inside a transaction, and never retries by itself."""

    name: str
    model: str
    dims: int
    tokens: int  # that it has charged so far, as it counts; 0 where nothing is charged

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in their order: float32 of shape (len(texts), dims). Raises ProviderError."""
        ...


class ProviderError(Exception):
    """Base of all. `error_class` is what a request remembers of it and `ingest embed status` counts by."""

    error_class = "provider"

    def __init__(self, message: str, *, error_class: str | None = None) -> None:
        self.error_class = error_class or type(self).error_class
        super().__init__(message)


class RateLimited(ProviderError):
    """Too many requests. `retry_after` in seconds where the provider said it."""

    error_class = "rate_limited"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Transient(ProviderError):
    """It may pass by itself: no connection, a timeout, a 5xx, an answer that makes no sense."""

    error_class = "transient"


class BadRequest(ProviderError):
    """The provider read the texts and refused them."""

    error_class = "refused"


class AuthFailed(ProviderError):
    """Key, quota, model name or dimensions are wrong. `todo`: what a person does about it."""

    error_class = "configuration"

    def __init__(self, message: str, todo: str) -> None:
        self.todo = todo
        super().__init__(message)


def checked(vectors: Any, texts: Sequence[str], dims: int) -> Vectors:
    """What a provider answered, as a float32 array. Raises Transient, or AuthFailed for other dimensions."""
    try:
        found = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise Transient(
            "the vectors of one answer differ in length, or are no numbers", error_class="answer"
        ) from error
    if found.ndim != 2 or len(found) != len(texts):  # noqa: PLR2004 - rows and dimensions
        raise Transient(f"{len(texts)} texts were sent, {len(found)} vectors came back", error_class="answer")
    if found.shape[1] != dims:
        raise AuthFailed(
            f"the provider's vectors have {found.shape[1]} dimensions, the model is registered with {dims}",
            "Register the model with the dimensions that it has.",
        )
    if not np.isfinite(found).all():
        raise Transient("a vector has a NaN or an infinity in it", error_class="answer")
    if not np.abs(found).max(axis=1).all():
        raise Transient("a vector is zero in all dimensions", error_class="answer")
    return found


def provider_for(model: Model) -> Provider:
    """The provider of a registered model. Raises AuthFailed where it lacks a package or a key, UsageError."""
    # Loaded where they are used: an SDK or a runtime costs up to seconds that nobody else need pay.
    if model.provider == "builtin":
        from ingest_project.embeddings.providers.lexical import Lexical  # noqa: PLC0415

        return Lexical(model.model, model.dims)
    if model.provider == "openai":
        from ingest_project.embeddings.providers.openai_api import OpenAIApi  # noqa: PLC0415

        return OpenAIApi(model.model, model.dims, model.options)
    if model.provider == "fastembed":
        from ingest_project.embeddings.providers.fastembed_local import FastembedLocal  # noqa: PLC0415

        return FastembedLocal(model.model, model.dims, model.options.folder)
    raise UsageError(
        f"no provider {model.provider!r} is known",
        todo="Providers are: builtin, openai, fastembed (.docs/operation.md, Models).",
    )
