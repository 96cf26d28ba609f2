#!/usr/bin/env python3
"""The official openai client against `oneday serve`.

Needs the Python package openai (tried with 1.109.1); skips (exit code 77) without it. $ONEDAY_BINARY and
$ONEDAY_SOURCE say what is tested.
"""
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


def start(folder):
    port_file = os.path.join(folder, "port")
    keys = os.path.join(folder, "keys")
    with open(keys, "w", encoding="ascii") as file:
        file.write("secret\n")
    model = os.path.join(os.environ["ONEDAY_SOURCE"], "examples", "toyworld", "base")
    server = subprocess.Popen([os.environ["ONEDAY_BINARY"], "serve", model, "--port", "0", "--port-file", port_file,
                               "--chat-template", "chatml", "--threads", "1", "-q", "--api-keys", keys])
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
    twice = [client.completions.create(model=model, prompt=["Question:", "The"], n=2, max_tokens=9, seed=3, temperature=2)
             for _ in range(2)]
    assert [c.text for c in twice[0].choices] == [c.text for c in twice[1].choices]
    assert [c.index for c in twice[0].choices] == [0, 1, 2, 3]
    assert len({c.text for c in twice[0].choices}) == 4
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


def errors(client, url, model):
    bad_key = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
    for wrong, kind in ((lambda: client.completions.create(model="none", prompt="a"), openai.NotFoundError),
                        (lambda: client.completions.create(model=model, prompt="a", n=0), openai.BadRequestError),
                        (lambda: client.completions.create(model=model, prompt="a" * 5000), openai.BadRequestError),
                        (lambda: client.completions.create(model=model, prompt="a", suffix="b"), openai.BadRequestError),
                        (bad_key.models.list, openai.AuthenticationError)):
        try:
            wrong()
        except kind as error:
            assert error.body["message"], error
        else:
            raise AssertionError("no " + kind.__name__)


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
            errors(client, url, model)
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
