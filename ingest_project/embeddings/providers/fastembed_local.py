"""Semantic embeddings on this machine by `fastembed` (ONNX, without torch).

The files of a model come from fastembed's hub or, for machines that do not reach it, from the model's `folder` or
INGEST_FASTEMBED_FOLDER.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ingest_project.embeddings.providers import AuthFailed, Vectors, validated
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
        supported = {entry["model"]: entry["dim"] for entry in TextEmbedding.list_supported_models()}
        if supported.get(model) != dims:
            raise AuthFailed(
                f"fastembed has no model {model!r} of {dims} dimensions",
                "See `fastembed.TextEmbedding.list_supported_models()`; BAAI/bge-small-en-v1.5 has 384.",
            )
        self._embedding = self._load(TextEmbedding, Path(folder) if folder else settings().fastembed_folder)

    def _load(self, text_embedding: Any, folder: Path | None) -> Any:
        options: dict[str, Any] = {"specific_model_path": str(folder.expanduser())} if folder else {}
        try:
            return text_embedding(self.model, **options)
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
        return validated(np.stack(list(self._embedding.embed(list(texts)))), texts, self.dims)
