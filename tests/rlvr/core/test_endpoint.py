"""The client of OpenAI-compatible servers, against a server that is slow, broken, busy or not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stand_in_server import MODEL, Answer, free_port, stand_in

from rlvr.core.endpoint import CHAT, Client, Endpoint, EndpointError, Failed

FINE = Answer("fine")
FAULTS = {
    "server error": Answer(status=500, body="out of memory"),
    "overload": Answer(status=429, headers={"Retry-After": "0.01"}),
    "a date to come back": Answer(status=503, headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}),
    "cut": Answer("half of this", cut=True),
    "slow": Answer("late", seconds=0.6),
    "not JSON": Answer(body="<html>gateway</html>"),
    "no choices": Answer(body='{"choices": []}'),
    "another shape": Answer(body="[1]"),
}


def endpoint(url: str, **changed: Any) -> Endpoint:
    return Endpoint(url, MODEL, **{"timeout": 0.3, "retries": 2, "backoff": 0.01, **changed})


def body(text: str = "?") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def said(answer: dict[str, Any] | Failed) -> str:
    assert isinstance(answer, dict), answer
    return answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_may_pass_is_tried_again(fault: str) -> None:
    with stand_in(lambda _, before: FAULTS[fault] if before < 2 else FINE) as server:
        (answer,) = Client(endpoint(server.url)).ask(CHAT, [body()])
    assert said(answer) == "fine" and len(server.asked) == 3
    assert server.paths[0] == "/v1/chat/completions" and server.asked[0]["model"] == MODEL


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_pass_is_one_failure_among_answers(fault: str) -> None:
    def answers(asked: dict[str, Any], _: int) -> Answer:
        return FAULTS[fault] if asked["messages"][0]["content"] == "bad" else FINE

    with stand_in(answers) as server:
        client = Client(endpoint(server.url + "/v1/", retries=1))
        first, bad, last = client.ask(CHAT, [body("a"), body("bad"), body("b")])
    assert said(first) == said(last) == "fine"
    assert isinstance(bad, Failed) and not bad.refused and "2 times" in bad.text


def test_a_request_that_is_refused_is_not_asked_again() -> None:
    with stand_in(lambda *_: Answer(status=400, body="longer than the context")) as server:
        (answer,) = Client(endpoint(server.url)).ask(CHAT, [body()])
    assert isinstance(answer, Failed) and answer.refused and "longer than the context" in answer.text
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "message"), [(401, "does not take the API key"), (404, "Does it serve that model there?")]
)
def test_what_no_request_can_pass_ends_it(status: int, message: str) -> None:
    with stand_in(lambda *_: Answer(status=status)) as server, pytest.raises(EndpointError, match=message):
        Client(endpoint(server.url)).ask(CHAT, [body(str(i)) for i in range(5)])


def test_a_server_that_answers_nothing_is_given_up() -> None:
    """Long before each of so many requests has been tried often enough."""
    questions = [body(str(i)) for i in range(500)]
    message = r"answers none of 8 requests, each tried 2 times: it answered 500"
    with stand_in(lambda *_: Answer(status=500)) as server, pytest.raises(EndpointError, match=message):
        Client(endpoint(server.url, retries=1, concurrency=4)).ask(CHAT, questions)
    assert len(server.asked) < 100


def test_no_server() -> None:
    client = Client(endpoint(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(EndpointError, match=r"no server answers at http.*start it, or give another url"):
        client.check()
    with pytest.raises(EndpointError, match="no server answers"):
        client.ask(CHAT, [body(str(i)) for i in range(100)])
    with pytest.raises(EndpointError, match="no server answers at nowhere"):
        Client(endpoint("nowhere")).check()


def test_another_model() -> None:
    with stand_in(lambda *_: FINE) as server:
        Client(endpoint(server.url)).check()
        with pytest.raises(EndpointError, match=f"has no model qwen; it has {MODEL}"):
            Client(Endpoint(server.url, "qwen")).check()


def test_requests_overlap_up_to_the_limit_and_keep_their_order() -> None:
    def answers(asked: dict[str, Any], _: int) -> Answer:
        return Answer(asked["messages"][0]["content"], seconds=0.03)

    with stand_in(answers) as server:
        found = Client(endpoint(server.url, concurrency=6)).ask(CHAT, [body(str(i)) for i in range(30)])
    assert [said(answer) for answer in found] == [str(i) for i in range(30)]
    assert 2 <= server.most <= 6


def test_the_key_is_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    with stand_in(lambda *_: FINE) as server:
        Client(endpoint(server.url, key="JUDGE_KEY")).ask(CHAT, [body()])
        assert server.keys == ["Bearer secret"]
        monkeypatch.delenv("JUDGE_KEY")
        with pytest.raises(EndpointError, match="JUDGE_KEY, which is not set"):
            Client(endpoint(server.url, key="JUDGE_KEY")).ask(CHAT, [body()])


def test_within_a_running_loop_and_with_any_text() -> None:
    async def notebook() -> str:
        return said(Client(endpoint(server.url)).ask(CHAT, [body("\ud800 \u2028 \0")])[0])

    with stand_in(lambda asked, _: Answer(asked["messages"][0]["content"])) as server:
        assert asyncio.run(notebook()) == "\ud800 \u2028 \0"
