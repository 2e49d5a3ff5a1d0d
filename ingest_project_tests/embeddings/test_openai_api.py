"""Whatever an endpoint answers: right vectors in the right place, or the right name for what went wrong."""

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest

from ingest_project.embeddings.models import ModelOptions
from ingest_project.embeddings.providers import AuthFailed, BadRequest, ProviderError, RateLimited, Transient
from ingest_project.embeddings.providers import openai_api as module
from ingest_project_tests.embeddings.serving import Endpoint, Reply, answer_to, ok, refusal, serving
from ingest_project_tests.embeddings.working import DIMS, Ledger, vector_of

pytest.importorskip("openai")

TEXTS = ["One", "Zwei", "三"]
KEY = "sk-very-secret"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with serving() as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield found


@pytest.fixture
def provider(endpoint: Endpoint) -> module.OpenAIApi:
    return module.OpenAIApi("scripted", DIMS)


def right() -> list[list[float]]:
    return [vector_of(text) for text in TEXTS]


def test_vectors_come_in_the_order_of_the_texts(endpoint: Endpoint, provider: module.OpenAIApi) -> None:
    assert provider.embed(TEXTS).tolist() == right()
    assert endpoint.requests == [{"model": "scripted", "input": TEXTS, "encoding_format": "base64"}]
    assert endpoint.keys == [f"Bearer {KEY}"]
    assert provider.tokens == 3


def shuffled(texts: list[str]) -> Reply:
    answer = answer_to(texts)
    answer["data"].reverse()
    return ok(answer)


def as_lists(texts: list[str]) -> Reply:
    return ok({"data": [{"index": at, "embedding": vector_of(text)} for at, text in enumerate(texts)]})


@pytest.mark.parametrize("reply", [shuffled, as_lists])
def test_other_right_answers(
    endpoint: Endpoint, provider: module.OpenAIApi, reply: Callable[[list[str]], Reply]
) -> None:
    endpoint.usual = reply
    assert provider.embed(TEXTS).tolist() == right()


def saying(answer: Any) -> Callable[[list[str]], Reply]:
    return lambda texts: ok(answer)


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[list[str]], Reply]:
    def reply(texts: list[str]) -> Reply:
        answer = answer_to(texts)
        change(answer)
        return ok(answer)

    return reply


def truncated(texts: list[str]) -> Reply:
    status, headers, body = ok(answer_to(texts))
    return status, headers, body[: len(body) // 2]


def cut_off(texts: list[str]) -> Reply:
    status, _, body = ok(answer_to(texts))
    return status, {"Content-Length": str(len(body) + 9), "Connection": "close"}, body


def from_one(answer: dict[str, Any]) -> None:
    for one in answer["data"]:
        one["index"] += 1


NOT_ANSWERS: dict[str, tuple[Callable[[list[str]], Reply], str]] = {
    "truncated": (truncated, "answer"),
    "an error body": (saying({"error": {"message": "overloaded", "code": 503}}), "answer"),
    "no object": (saying([]), "answer"),
    "html": (lambda texts: (200, {"Content-Type": "text/html"}, b"<html>sorry</html>"), "answer"),
    "one too few": (changed(lambda answer: answer["data"].pop()), "answer"),
    "one twice": (changed(lambda answer: answer["data"].append(answer["data"][0])), "answer"),
    "indexes from one": (
        changed(lambda answer: [one.update(index=one["index"] + 1) for one in answer["data"]]),
        "answer",
    ),
    "no base64": (changed(lambda answer: answer["data"][-1].update(embedding="ä")), "answer"),
    "half a number": (changed(lambda answer: answer["data"][-1].update(embedding="AAAA")), "answer"),
    "other lengths": (changed(lambda answer: answer["data"][-1].update(embedding=[1.0])), "answer"),
    "words": (changed(lambda answer: answer["data"][-1].update(embedding=["a"] * DIMS)), "answer"),
    "NaN": (changed(lambda answer: answer["data"][-1].update(embedding=[float("nan")] * DIMS)), "answer"),
    "zero": (changed(lambda answer: answer["data"][-1].update(embedding=[0.0] * DIMS)), "answer"),
    "500": (lambda texts: refusal(500), "http_500"),
    "503": (lambda texts: refusal(503), "http_503"),
}


@pytest.mark.parametrize("name", NOT_ANSWERS)
def test_what_may_pass_by_itself(endpoint: Endpoint, provider: module.OpenAIApi, name: str) -> None:
    endpoint.usual, error_class = NOT_ANSWERS[name]
    with pytest.raises(Transient) as caught:
        provider.embed(TEXTS)
    assert caught.value.error_class == error_class
    assert len(endpoint.requests) == 1, "the SDK does not retry"


def test_an_answer_that_breaks_off(endpoint: Endpoint, provider: module.OpenAIApi) -> None:
    endpoint.usual = cut_off
    with pytest.raises(Transient):
        provider.embed(TEXTS)


def test_too_slow(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)

    def slow(texts: list[str]) -> Reply:
        time.sleep(1)
        return ok(answer_to(texts))

    endpoint.usual = slow
    with pytest.raises(Transient, match="ReadTimeout") as caught:
        module.OpenAIApi("scripted", DIMS).embed(TEXTS)
    assert caught.value.error_class == "unreachable"


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(Transient) as caught:
        module.OpenAIApi("scripted", DIMS).embed(TEXTS)
    assert caught.value.error_class == "unreachable"


@pytest.mark.parametrize(
    ("status", "headers", "least", "most"),
    [
        (429, {"Retry-After": "7"}, 7, 7),
        (429, {"Retry-After": "0.5"}, 0.5, 0.5),
        (429, {"retry-after-ms": "250", "Retry-After": "1"}, 0.25, 0.25),
        (429, {"Retry-After": "-3"}, 0, 0),
        (503, {"Retry-After": "7"}, 7, 7),
    ],
)
def test_too_fast(
    endpoint: Endpoint,
    provider: module.OpenAIApi,
    status: int,
    headers: dict[str, str],
    least: float,
    most: float,
) -> None:
    endpoint.usual = lambda texts: refusal(status, headers)
    with pytest.raises(RateLimited) as caught:
        provider.embed(TEXTS)
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


def test_too_fast_until_a_date(endpoint: Endpoint, provider: module.OpenAIApi) -> None:
    endpoint.usual = lambda texts: refusal(429, {"Retry-After": formatdate(time.time() + 60, usegmt=True)})
    with pytest.raises(RateLimited) as caught:
        provider.embed(TEXTS)
    assert caught.value.retry_after is not None
    assert 30 < caught.value.retry_after <= 60


@pytest.mark.parametrize("said", [{}, {"Retry-After": "soon"}])
def test_too_fast_without_a_time(endpoint: Endpoint, provider: module.OpenAIApi, said: dict[str, str]) -> None:
    endpoint.usual = lambda texts: refusal(429, said)
    with pytest.raises(RateLimited) as caught:
        provider.embed(TEXTS)
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(400), BadRequest),
        (refusal(413), BadRequest),
        (refusal(422), BadRequest),
        (refusal(401, words=f"Incorrect API key provided: {KEY}"), AuthFailed),
        (refusal(403), AuthFailed),
        (refusal(404), AuthFailed),
        (refusal(429, code="insufficient_quota"), AuthFailed),
        (ok(answer_to(TEXTS, lambda text: vector_of(text, 9))), AuthFailed),
    ],
)
def test_what_will_not_pass(
    endpoint: Endpoint, provider: module.OpenAIApi, reply: Reply, kind: type[ProviderError]
) -> None:
    endpoint.usual = lambda texts: reply
    with pytest.raises(kind) as caught:
        provider.embed(TEXTS)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "variable", "otherwise"),
    [
        ({}, "OPENAI_API_KEY", "for an endpoint without keys, OPENAI_BASE_URL"),
        ({"base_url_env": "THEIR_URL"}, "OPENAI_API_KEY", "for an endpoint without keys, THEIR_URL"),
        ({"key_env": "THEIR_KEY"}, "THEIR_KEY", "add the model again without --key-env"),
        ({"key_env": "THEIR_KEY", "base_url": "http://127.0.0.1:9/v1"}, "THEIR_KEY", "without --key-env"),
    ],
)
def test_without_a_key_it_says_what_to_set(
    options: dict[str, str], variable: str, otherwise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthFailed, match=f"{variable} is not set") as caught:
        module.OpenAIApi("text-embedding-3-small", DIMS, ModelOptions.model_validate(options))
    assert caught.value.todo.startswith(f"Set {variable}; ")
    assert otherwise in caught.value.todo


def test_a_server_of_ones_own_needs_no_key(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    module.OpenAIApi("scripted", DIMS).embed(TEXTS)
    assert endpoint.keys == ["Bearer none"]


def test_a_declared_endpoint_gets_its_own_key_only(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("THEIR_KEY", "theirs")
    module.OpenAIApi("scripted", DIMS, ModelOptions(base_url=endpoint.url)).embed(TEXTS)
    module.OpenAIApi("scripted", DIMS, ModelOptions(base_url=endpoint.url, key_env="THEIR_KEY")).embed(TEXTS)
    assert endpoint.keys == ["Bearer none", "Bearer theirs"]


@pytest.mark.parametrize(
    ("status", "options", "todo"),
    [
        (401, {}, "--key-env VARIABLE"),
        (401, {"key_env": "THEIR_KEY"}, "Mend the key in THEIR_KEY"),
        (404, {"key_env": "THEIR_KEY"}, "the name of the model or the path"),
    ],
)
def test_what_to_do_is_of_the_key_that_was_sent(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, status: int, options: dict[str, str], todo: str
) -> None:
    monkeypatch.setenv("THEIR_KEY", "theirs")
    endpoint.usual = lambda texts: refusal(status)
    with pytest.raises(AuthFailed) as caught:
        module.OpenAIApi("scripted", DIMS, ModelOptions(base_url=endpoint.url, **options)).embed(TEXTS)
    assert todo in caught.value.todo
    assert "OPENAI_API_KEY" not in caught.value.todo


def test_without_a_key_for_the_usual_endpoint_its_variable_is_named(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    endpoint.usual = lambda texts: refusal(401)
    with pytest.raises(AuthFailed) as caught:
        module.OpenAIApi("scripted", DIMS).embed(TEXTS)
    assert "Set OPENAI_API_KEY" in caught.value.todo


def test_only_models_that_can_are_asked_for_dimensions(endpoint: Endpoint) -> None:
    module.OpenAIApi("text-embedding-3-small", DIMS).embed(TEXTS)
    assert endpoint.requests[0]["dimensions"] == DIMS


def test_a_worker_gets_through_all_of_it(ledger: Ledger, endpoint: Endpoint) -> None:
    ids = ledger.add(*(f"Item {n}" for n in range(40)))
    poison = "Item 17"
    bad = [reply for reply, _ in NOT_ANSWERS.values()]

    def usual(texts: list[str]) -> Reply:
        return refusal(400, words="not this") if poison in texts else ok(answer_to(texts))

    endpoint.usual = usual
    endpoint.script = [*bad[:5], lambda texts: refusal(429, {"Retry-After": "30"}), *bad[5:], lambda t: refusal(429)]
    provider = module.OpenAIApi("scripted", DIMS)
    for _ in range(60):
        ledger.due_now()
        ledger.work(provider, attempts=30)
        if set(ledger.states()) <= {"d", "x"}:
            break
    assert ledger.states() == {"d": 39, "x": 1}
    assert ledger.requests()[ids[17]]["error"] == "400: not this"
    assert np.array_equal(ledger.vectors()[ids[3]], vector_of("Item 3"))
    assert ledger.untrue() == []
