"""Any OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, TEI, …) by the `openai` SDK.

The key comes only from the environment: from OPENAI_API_KEY, or from the variable that the model names. The endpoint
comes from OPENAI_BASE_URL, unless the model declares one. Retries of the SDK are switched off: the ledger retries, so
that all workers wait together and attempts are counted once.
"""

import base64
import binascii
import json
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np

from ingest_project.embeddings.models import ModelOptions
from ingest_project.embeddings.providers import (
    AuthFailed,
    BadRequest,
    ProviderError,
    RateLimited,
    Transient,
    Vectors,
    validated,
)

TIMEOUT_SECONDS = 60.0
KEY_VARIABLE, URL_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_MAX_MESSAGE = 500
# Only these models can shorten their vectors; others refuse the parameter `dimensions`.
_SHORTENABLE = "text-embedding-3"
_REFUSALS = frozenset({400, 413, 422})
_CONFIGURATION = frozenset({401, 403, 404})
_NOT_FOUND, _TOO_MANY_REQUESTS, _UNAVAILABLE = 404, 429, 503
_QUOTA_EXCEEDED = "insufficient_quota"


class OpenAIApi:
    """Provider `openai`. Raises AuthFailed where the package or the key is missing."""

    name = "openai"

    def __init__(self, model: str, dims: int, options: ModelOptions | None = None) -> None:
        try:
            import openai  # pyright: ignore[reportMissingImports]  # noqa: PLC0415 - half a second, for those who use it
        except ModuleNotFoundError:
            raise AuthFailed("the package `openai` is not installed", 'pip install "ingest-project[openai]"') from None
        self.model = model
        self.dims = dims
        self.tokens = 0
        self._tokens_lock = threading.Lock()
        self._sdk = openai
        options = options or ModelOptions()
        self._key_variable = options.key_env or KEY_VARIABLE
        # An endpoint that the model declares gets only the key declared with it, never the one meant for OpenAI.
        self._has_declared_url = options.base_url is not None
        is_keyless = self._has_declared_url and not options.key_env
        self._key = "" if is_keyless else os.environ.get(self._key_variable, "")
        endpoint = options.base_url or os.environ.get(options.base_url_env or URL_VARIABLE)
        if not self._key and (not endpoint or options.key_env):
            raise AuthFailed(
                f"{self._key_variable} is not set, and so there is no key",
                f"Set {self._key_variable}; for an endpoint without keys, add the model again without --key-env."
                if options.key_env
                else f"Set {self._key_variable}; for an endpoint without keys, {options.base_url_env or URL_VARIABLE} "
                "(such as http://localhost:11434/v1).",
            )
        # One's own server often wants no key, but the SDK insists on one.
        self._client = openai.OpenAI(
            api_key=self._key or "none", base_url=endpoint or None, max_retries=0, timeout=TIMEOUT_SECONDS
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dims), in the order of the texts."""
        options: dict[str, Any] = {"dimensions": self.dims} if self.model.startswith(_SHORTENABLE) else {}
        try:
            answer = self._client.embeddings.with_raw_response.create(
                model=self.model, input=list(texts), encoding_format="base64", **options
            )
            body = answer.http_response.content
        except self._sdk.APIStatusError as error:
            raise self._translate(error) from None
        except self._sdk.APIConnectionError as error:  # a timeout is one of these
            cause = error.__cause__ or error
            raise Transient(self._safe(f"{type(cause).__name__}: {cause}"), error_class="unreachable") from None
        return validated(self._vectors(body, len(texts)), texts, self.dims)

    def _vectors(self, body: bytes, count: int) -> list[Any]:
        """The vectors of an answer, by their index. Raises Transient for any other answer."""
        try:
            answer = json.loads(body)
            by_index = {int(entry["index"]): _decode(entry["embedding"]) for entry in answer["data"]}
        except (ValueError, KeyError, TypeError, binascii.Error):
            beginning = body[:200].decode("utf-8", "replace")
            raise Transient(self._safe(f"the answer is none: {beginning}"), error_class="answer") from None
        if sorted(by_index) != list(range(count)) or len(answer["data"]) != count:
            raise Transient(f"{count} texts were sent, {len(answer['data'])} vectors came back", error_class="answer")
        self._count((answer.get("usage") or {}).get("total_tokens"))
        return [by_index[at] for at in range(count)]

    def _count(self, tokens: object) -> None:
        if isinstance(tokens, int):
            with self._tokens_lock:
                self.tokens += tokens

    def _translate(self, error: Any) -> ProviderError:
        body = error.body if isinstance(error.body, dict) else {}
        status, message = error.status_code, self._safe(f"{error.status_code}: {body.get('message') or error.message}")
        retry_after = _retry_after(error.response.headers)
        if status == _TOO_MANY_REQUESTS and error.code == _QUOTA_EXCEEDED:
            return AuthFailed(message, "Raise the quota of this key with its provider, then run again.")
        if status == _TOO_MANY_REQUESTS or (status == _UNAVAILABLE and retry_after is not None):
            return RateLimited(message, retry_after)
        if status in _CONFIGURATION:
            return AuthFailed(message, self._todo(status))
        if status in _REFUSALS:
            return BadRequest(message)
        return Transient(message, error_class=f"http_{status}")

    def _todo(self, status: int) -> str:
        if status == _NOT_FOUND:
            return "Mend the name of the model or the path of the endpoint (`ingest model list`), then run again."
        if self._key:
            return f"Mend the key in {self._key_variable} or what it may do, then run again."
        return (
            "It was asked without a key. Add the model again with --key-env VARIABLE, the variable that holds its key."
            if self._has_declared_url
            else f"It was asked without a key. Set {self._key_variable}, then run again."
        )

    def _safe(self, message: str) -> str:
        """The message without the key."""
        message = message.replace(self._key, "***") if self._key else message
        return message[:_MAX_MESSAGE]


def _decode(embedding: Any) -> Any:
    """From base64, which is requested as it is a fifth of the size, or from the list that some servers send instead."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    return embedding


def _retry_after(headers: Any) -> float | None:
    """Seconds to wait, from any of the forms of the header."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        with suppress(TypeError, ValueError):
            return max(float(headers.get(name)) / unit, 0.0)
    with suppress(TypeError, ValueError):
        return max(parsedate_to_datetime(str(headers.get("retry-after"))).timestamp() - time.time(), 0.0)
    return None
