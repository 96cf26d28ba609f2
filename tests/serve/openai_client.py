#!/usr/bin/env python3
"""The official openai client against `oneday serve`.

Needs the Python package openai (tried with 1.109.1 and 3.57.0); skips (exit code 77) without it. $ONEDAY_BINARY and
$ONEDAY_SOURCE say what is tested.
"""
import asyncio
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time

SKIP = 77
try:
    import openai
except ImportError:
    openai = None


def start(folder, *options):
    port_file = os.path.join(folder, "port" + "".join(options))
    keys = os.path.join(folder, "keys")
    with open(keys, "w", encoding="ascii") as file:
        file.write("secret\n")
    model = os.path.join(os.environ["ONEDAY_SOURCE"], "examples", "toyworld", "base")
    server = subprocess.Popen([os.environ["ONEDAY_BINARY"], "serve", model, "--port", "0", "--port-file", port_file,
                               "--chat-template", "chatml", "--threads", "1", "-q", "--api-keys", keys, *options])
    for _ in range(600):
        if os.path.exists(port_file) or server.poll() is not None:
            break
        time.sleep(0.05)
    with open(port_file, encoding="ascii") as file:
        return server, "http://127.0.0.1:%d/v1" % int(file.read())


def completions(client, model):
    whole = client.completions.create(model=model, prompt="Question:", max_tokens=8, temperature=0, logprobs=2)
    choice = whole.choices[0]
    assert choice.finish_reason == "length" and whole.usage.completion_tokens == 8
    assert "".join(choice.logprobs.tokens) == choice.text
    assert choice.logprobs.text_offset[0] == len("Question:")
    assert all(max(top.values()) == own for top, own in zip(choice.logprobs.top_logprobs, choice.logprobs.token_logprobs))
    pieces = client.completions.create(model=model, prompt="Question:", max_tokens=8, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == choice.text
    echo = client.completions.create(model=model, prompt="Question:", max_tokens=0, echo=True, logprobs=1).choices[0]
    assert echo.text == "Question:" and echo.logprobs.token_logprobs[0] is None
    assert all(number < 0 for number in echo.logprobs.token_logprobs[1:])
    settings = dict(model=model, prompt="Question:", max_tokens=4, temperature=0, echo=True, logprobs=1)
    whole = client.completions.create(**settings).choices[0]
    parts = [event.choices[0] for event in client.completions.create(**settings, stream=True)]
    assert parts[0].text == "Question:" and "".join(part.text for part in parts) == whole.text
    listed = [part.logprobs for part in parts if part.logprobs]
    assert sum((part.token_logprobs for part in listed), []) == whole.logprobs.token_logprobs
    assert sum((part.text_offset for part in listed), []) == whole.logprobs.text_offset
    twice = [client.completions.create(model=model, prompt=["Question:", "The"], n=2, max_tokens=9, seed=3, temperature=2)
             for _ in range(2)]
    assert [c.text for c in twice[0].choices] == [c.text for c in twice[1].choices]
    assert [c.index for c in twice[0].choices] == [0, 1, 2, 3]
    assert len({c.text for c in twice[0].choices}) == 4
    best = client.completions.create(model=model, prompt="Question:", best_of=6, n=3, max_tokens=9, seed=3, temperature=2,
                                     logprobs=0)
    means = [sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in best.choices]
    assert len(means) == 3 and means == sorted(means, reverse=True) and best.usage.completion_tokens > 27
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda _: client.completions.create(model=model, prompt="Question:", max_tokens=8,
                                                                  temperature=0).choices[0].text, range(64)))
    assert set(texts) == {choice.text}


def chat(client, model):
    messages = [{"role": "user", "content": "hello"}]
    whole = client.chat.completions.create(model=model, messages=messages, max_tokens=9, temperature=0, logprobs=True,
                                           top_logprobs=3)
    text = whole.choices[0].message.content
    assert whole.choices[0].message.role == "assistant"
    assert "".join(token.token for token in whole.choices[0].logprobs.content) == text
    assert all(len(token.top_logprobs) == 3 for token in whole.choices[0].logprobs.content)
    events = list(client.chat.completions.create(model=model, messages=messages, max_tokens=9, temperature=0, stream=True,
                                                 stream_options={"include_usage": True}))
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == text
    assert events[-1].usage == whole.usage and events[-2].choices[0].finish_reason == "length"


def samples_of_a_stream(client, model):
    """Several answers in one stream are those of the whole, with the same log-probabilities."""
    settings = {"model": model, "messages": [{"role": "user", "content": "hello"}], "n": 3, "seed": 4, "temperature": 1.5,
                "max_completion_tokens": 12, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**settings)
    assert len({choice.message.content for choice in whole.choices}) == 3
    assert whole.usage.completion_tokens <= 36
    texts, tokens = ["", "", ""], [[], [], []]
    for event in client.chat.completions.create(**settings, stream=True):
        for choice in event.choices:
            texts[choice.index] += choice.delta.content or ""
            tokens[choice.index] += choice.logprobs.content if choice.logprobs else []
    assert texts == [choice.message.content for choice in whole.choices]
    assert tokens == [choice.logprobs.content for choice in whole.choices]


def stops(client, model):
    """A list of stops: the answer ends before the first, and no part of it comes out of a stream."""
    settings = {"model": model, "prompt": "Question:", "max_tokens": 200, "temperature": 1, "seed": 11}
    free = client.completions.create(**settings).choices[0].text
    at = len(free) // 2
    stop = [free[at:at + 3], "never there"]
    wanted = free[:free.index(stop[0])]
    whole = client.completions.create(**settings, stop=stop).choices[0]
    assert (whole.text, whole.finish_reason) == (wanted, "stop"), (whole, free)
    events = list(client.completions.create(**settings, stop=stop, stream=True))
    assert "".join(event.choices[0].text for event in events) == wanted
    assert [event.choices[0].finish_reason for event in events[-2:]] == [None, "stop"]


def leaves(client, model):
    """A stream that its reader closes: the next request is answered as ever."""
    stream = client.completions.create(model=model, prompt="Question:", max_tokens=400, temperature=0, stream=True)
    next(iter(stream))
    stream.close()
    assert client.completions.create(model=model, prompt="The", max_tokens=1).usage.completion_tokens <= 1


async def many(url, model):
    """The client that waits for many answers at a time."""
    async with openai.AsyncOpenAI(base_url=url, api_key="secret", max_retries=0) as client:
        answers = await asyncio.gather(*(client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "number %d" % (i % 4)}], max_tokens=8, seed=i % 4)
            for i in range(32)))
    texts = [answer.choices[0].message.content for answer in answers]
    assert texts == texts[:4] * 8


def errors(client, url, model):
    bad_key = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
    hello = [{"role": "user", "content": "hello"}]
    for wrong, kind in ((lambda: client.completions.create(model="none", prompt="a"), openai.NotFoundError),
                        (lambda: client.completions.create(model=model, prompt="a", n=0), openai.BadRequestError),
                        (lambda: client.completions.create(model=model, prompt="a" * 5000), openai.BadRequestError),
                        (lambda: client.completions.create(model=model, prompt="a", suffix="b"), openai.BadRequestError),
                        (lambda: client.completions.create(model=model, prompt="a", best_of=1, n=2), openai.BadRequestError),
                        (lambda: client.completions.create(model=model, prompt="a" * 5000, stream=True),
                         openai.BadRequestError),
                        (lambda: client.chat.completions.create(model=model, messages=[]), openai.BadRequestError),
                        (lambda: client.chat.completions.create(model=model, messages=hello, top_logprobs=21),
                         openai.BadRequestError),
                        (lambda: client.chat.completions.create(model="none", messages=hello), openai.NotFoundError),
                        (lambda: client.models.retrieve("a/b c"), openai.NotFoundError),
                        (lambda: client.embeddings.create(model=model, input="a"), openai.NotFoundError),
                        (bad_key.models.list, openai.AuthenticationError)):
        try:
            wrong()
        except kind as error:
            assert error.body["message"], error
        else:
            raise AssertionError("no " + kind.__name__)


def full(folder):
    """More answers than there is room for is the client's RateLimitError, and says when to come again."""
    server, url = start(folder, "--workers", "1", "--max-queue", "1")
    try:
        client = openai.OpenAI(base_url=url, api_key="secret", max_retries=0)
        client.completions.create(model="base", prompt="a", n=2, max_tokens=1)
        try:
            client.completions.create(model="base", prompt="a", n=3, max_tokens=1)
        except openai.RateLimitError as error:
            assert error.response.headers["retry-after"] == "1" and error.body["type"] == "rate_limit_error"
        else:
            raise AssertionError("no RateLimitError")
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0


def main():
    if not openai:
        print("no openai client: skipped")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        server, url = start(folder)
        try:
            client = openai.OpenAI(base_url=url, api_key="secret", max_retries=0)
            model = client.models.list().data[0].id
            assert client.models.retrieve(model).id == model == "base"
            completions(client, model)
            chat(client, model)
            samples_of_a_stream(client, model)
            stops(client, model)
            leaves(client, model)
            asyncio.run(many(url, model))
            errors(client, url, model)
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0
        full(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
