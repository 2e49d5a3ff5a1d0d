"""Embedding providers: the protocol of what turns texts into vectors, and the ways in which it fails.

ProviderError
├── RateLimited      too many requests: wait, then send the same texts again
├── Transient        no answer, or an invalid one: may pass by itself
├── BadRequest       the texts were refused: at least one of them will never pass
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
    tokens: int  # charged so far, as the provider counts them; 0 where it charges nothing

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in their order: float32 of shape (len(texts), dims). Raises ProviderError."""
        ...


class ProviderError(Exception):
    """Base of all. `error_class` is stored with the request, and `ingest embed status` counts by it."""

    error_class = "provider"

    def __init__(self, message: str, *, error_class: str | None = None) -> None:
        self.error_class = error_class or type(self).error_class
        super().__init__(message)


class RateLimited(ProviderError):
    """Too many requests. `retry_after`: seconds, where the provider says so."""

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


def validated(vectors: Any, texts: Sequence[str], dims: int) -> Vectors:
    """The answer of a provider as a float32 array. Raises Transient, or AuthFailed for other dimensions."""
    try:
        array = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise Transient(
            "the vectors of one answer differ in length, or are no numbers", error_class="answer"
        ) from error
    if array.ndim != 2 or len(array) != len(texts):  # noqa: PLR2004 - rows and dimensions
        raise Transient(f"{len(texts)} texts were sent, {len(array)} vectors came back", error_class="answer")
    if array.shape[1] != dims:
        raise AuthFailed(
            f"the provider's vectors have {array.shape[1]} dimensions, the model is registered with {dims}",
            "Register the model with the dimensions that it has.",
        )
    if not np.isfinite(array).all():
        raise Transient("a vector has a NaN or an infinity in it", error_class="answer")
    if not np.abs(array).max(axis=1).all():
        raise Transient("a vector is zero in all dimensions", error_class="answer")
    return array


def provider_for(model: Model) -> Provider:
    """The provider of a registered model. Raises AuthFailed where it lacks a package or a key, UsageError."""
    # Imported only where they are used: an SDK or a runtime takes up to seconds to load.
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
