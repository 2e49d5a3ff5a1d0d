"""Semantic embeddings on this machine by `fastembed` (ONNX, no torch), from its hub or from a folder.

The model's `folder`, or INGEST_FASTEMBED_FOLDER, is one with its files, for machines that do not reach the hub.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ingest_project.embeddings.providers import AuthFailed, Vectors, checked
from ingest_project.settings import settings


class FastembedLocal:
    """Provider `fastembed`. Raises AuthFailed where the package or the files of the model are missing."""

    name = "fastembed"
    tokens = 0

    def __init__(self, model: str, dims: int, folder: str | None = None) -> None:
        try:
            from fastembed import TextEmbedding  # pyright: ignore[reportMissingImports]  # noqa: PLC0415 - seconds, for its users
        except ModuleNotFoundError:
            raise AuthFailed(
                "the package `fastembed` is not installed", 'pip install "ingest-project[fastembed]"'
            ) from None
        self.model = model
        self.dims = dims
        known = {one["model"]: one["dim"] for one in TextEmbedding.list_supported_models()}
        if known.get(model) != dims:
            raise AuthFailed(
                f"fastembed has no model {model!r} of {dims} dimensions",
                "See `fastembed.TextEmbedding.list_supported_models()`; BAAI/bge-small-en-v1.5 has 384.",
            )
        self._made = self._loaded(TextEmbedding, Path(folder) if folder else settings().fastembed_folder)

    def _loaded(self, kind: Any, folder: Path | None) -> Any:
        given: dict[str, Any] = {"specific_model_path": str(folder.expanduser())} if folder else {}
        try:
            return kind(self.model, **given)
        except Exception as error:
            where = f"{folder} does not hold it" if folder else "its hub does not give it"
            raise AuthFailed(
                f"the model {self.model} cannot be loaded, {where}: {type(error).__name__}: {error}"[:500],
                "Declare the folder of the model (or set INGEST_FASTEMBED_FOLDER), one with model_optimized.onnx, "
                "tokenizer.json, config.json and so on; or let this machine reach the hub.",
            ) from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dims)."""
        if not texts:
            return np.zeros((0, self.dims), np.float32)
        return checked(np.stack(list(self._made.embed(list(texts)))), texts, self.dims)
