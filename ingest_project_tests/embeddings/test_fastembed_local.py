"""A model in ONNX, loaded from its folder without a network: one of our own, since real ones are large.

It has the names and the shape of bge-small (384 numbers, the first token's), and gives every word a direction.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest_project.embeddings.models import ModelOptions, ModelSpec, activate_model, add_model
from ingest_project.embeddings.providers import AuthFailed
from ingest_project.embeddings.providers import fastembed_local as module
from ingest_project.embeddings.providers.fastembed_local import FastembedLocal
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.embeddings.search import search
from ingest_project.embeddings.worker import run_worker
from ingest_project.settings import settings
from ingest_project_tests.embeddings.asking import derived
from ingest_project_tests.embeddings.modelling import alone, shared
from ingest_project_tests.embeddings.test_models import url_of
from ingest_project_tests.upsert.making import Source, item

__all__ = ["alone", "shared"]

MODEL, DIMS = "BAAI/bge-small-en-v1.5", 384
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "harbour", "café", "museum", "tower", "old")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fastembed finds in a model's folder."""
    pytest.importorskip("fastembed")
    onnx, tokenizers = pytest.importorskip("onnx"), pytest.importorskip("tokenizers")
    place = tmp_path_factory.mktemp("model")
    _write_model(onnx, place / "model_optimized.onnx")
    ids = {word: at for at, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(place / "tokenizer.json"))
    said: dict[str, dict[str, Any]] = {
        "config.json": {"pad_token_id": 0},
        "tokenizer_config.json": {"model_max_length": 16, "pad_token": "[PAD]"},
        "special_tokens_map.json": {"pad_token": "[PAD]", "unk_token": "[UNK]"},
    }
    for name, content in said.items():
        (place / name).write_text(json.dumps(content), encoding="utf-8")
    return place


def _write_model(onnx: Any, path: Path) -> None:
    """Hidden states are running sums of the words' directions, from the last one back: the first token has them all."""
    helper, kinds = onnx.helper, onnx.TensorProto
    table = np.random.default_rng(7).normal(size=(len(WORDS), DIMS)).astype(np.float32)
    table[0] = 0.0  # padding adds nothing
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, kinds.INT64, ["batch", "tokens"]) for name in names]
    output = helper.make_tensor_value_info("last_hidden_state", kinds.FLOAT, ["batch", "tokens", DIMS])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("CumSum", ["words", "axis"], ["last_hidden_state"], reverse=1),
    ]
    constants = [onnx.numpy_helper.from_array(table, "table"), onnx.numpy_helper.from_array(np.int64(1), "axis")]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def provider(folder: Path) -> FastembedLocal:
    return FastembedLocal(MODEL, DIMS, str(folder))


def test_a_text_has_a_unit_vector_of_the_model_s_dimensions(provider: FastembedLocal) -> None:
    found = provider.embed(["old harbour", "café"])
    assert (found.shape, found.dtype) == ((2, DIMS), np.float32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert provider.embed([]).shape == (0, DIMS)


def test_texts_that_share_words_are_nearer_than_others(provider: FastembedLocal) -> None:
    asked, alike, other = provider.embed(["harbour café", "old harbour café", "museum tower"])
    assert asked @ alike > 0.6
    assert asked @ other < 0.3


def test_vectors_do_not_depend_on_who_else_is_in_the_batch(provider: FastembedLocal, folder: Path) -> None:
    words = WORDS[4:]
    texts = [" ".join(words[at % len(words)] for at in range(first, first + 1 + first % 5)) for first in range(300)]
    whole = provider.embed(texts)
    assert whole.shape == (300, DIMS)
    alone = np.concatenate([provider.embed([text]) for text in texts[:20]])
    assert np.allclose(whole[:20], alone, atol=1e-5)
    assert np.allclose(FastembedLocal(MODEL, DIMS, str(folder)).embed(texts), whole, atol=1e-6), "nor on the process"


def test_the_folder_may_come_from_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_FASTEMBED_FOLDER", str(folder))
    settings.cache_clear()
    try:
        assert FastembedLocal(MODEL, DIMS).embed(["tower"]).shape == (1, DIMS)
    finally:
        monkeypatch.undo()
        settings.cache_clear()


@pytest.mark.usefixtures("pgvector")
def test_a_worker_embeds_by_it_and_a_search_finds_by_it(alone: Source, folder: Path) -> None:
    connection = alone.connection
    derived(alone.line(), [item("kiel", "old harbour café"), item("paris", "tower"), item("rome", "old museum")])
    declared = ModelSpec("fastembed", MODEL, DIMS, template=("name",), options=ModelOptions(folder=str(folder)))
    model, _ = add_model(connection, declared)
    reconcile(connection, model=model)
    assert run_worker(url_of(connection), model_id=model.model_id).done == 3
    activate_model(connection, model)
    answered, hits = search(connection, "harbour café", limit=1)
    assert (answered.model_id, [hit.external_id for hit in hits]) == (model.model_id, ["kiel"])


@pytest.mark.parametrize("broken", ["no folder", "no model", "no tokenizer", "no onnx"])
def test_a_folder_that_is_none_says_what_it_should_hold(folder: Path, tmp_path: Path, broken: str) -> None:
    place = tmp_path / "copy"
    if broken != "no folder":
        shutil.copytree(folder, place)
    if broken in ("no model", "no tokenizer"):
        (place / {"no model": "model_optimized.onnx", "no tokenizer": "tokenizer.json"}[broken]).unlink()
    if broken == "no onnx":
        (place / "model_optimized.onnx").write_bytes(b"none")
    with pytest.raises(AuthFailed, match="does not hold it") as caught:
        FastembedLocal(MODEL, DIMS, str(place))
    assert "model_optimized.onnx, tokenizer.json" in caught.value.todo


@pytest.mark.parametrize(("model", "dims"), [(MODEL, 383), ("nobody/nothing", 384)])
def test_a_model_that_fastembed_does_not_know_is_refused(folder: Path, model: str, dims: int) -> None:
    with pytest.raises(AuthFailed, match=f"no model '{model}' of {dims} dimensions") as caught:
        FastembedLocal(model, dims, str(folder))
    assert "list_supported_models" in caught.value.todo


def test_an_answer_of_other_dimensions_is_a_matter_of_configuration(
    provider: FastembedLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrow(texts: Sequence[str]) -> list[Any]:
        return [np.ones(7, np.float32) for _ in texts]

    monkeypatch.setattr(provider._embedding, "embed", narrow)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(AuthFailed, match="7 dimensions, the model is registered with 384"):
        provider.embed(["tower"])


def test_without_the_package_the_command_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastembed", None)
    with pytest.raises(AuthFailed, match="`fastembed` is not installed") as caught:
        module.FastembedLocal(MODEL, DIMS)
    assert 'pip install "ingest-project[fastembed]"' in caught.value.todo
