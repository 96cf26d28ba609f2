#!/usr/bin/env python3
"""What FastAPI with pydantic 1 makes of the bodies of the challenge's API: values that it takes, and its words about
those that it does not (without their "ctx").

Usage: python tests/oracle/fastapi_bodies.py tests/golden/oracle/fastapi_bodies.json

The models are those of the published API description, with /decode as the sample server has it. Needs Python 3.8.
"""
import asyncio
import json
import sys
from typing import List, Optional

import fastapi
import pydantic


class ProcessRequest(pydantic.BaseModel):
    prompt: str
    num_samples: int = 1
    max_new_tokens: int = 50
    top_k: int = 200
    temperature: float = 0.8
    seed: Optional[int] = None
    echo_prompt: Optional[bool]


class TokenizeRequest(pydantic.BaseModel):
    text: str
    truncation: bool = True
    max_length: int = 2048


class DecodeRequest(pydantic.BaseModel):
    tokens: List[int]


APP = fastapi.FastAPI()


@APP.post("/process")
async def process(request: ProcessRequest):
    return request.dict()


@APP.post("/tokenize")
async def tokenize(request: TokenizeRequest):
    return request.dict()


@APP.post("/decode")
async def decode(request: DecodeRequest):
    return request.dict()


VALUES = ["null", "true", "false", "0", "1", "2", "5", "-1", "5.0", "5.9", "-0.5", "0.25", "1e2", "1e-07", "1e15", "123456789012",
          '"5"', '" 5 "', '"\\t5\\n"', '"+5"', '"-5"', '"5.0"', '"5."', '".5"', '"1e2"', '"1_0"', '"1__0"', '"_1"', '"1_"', '"0x5"', '"05"',
          '"five"', '""', '" "', '"5 5"', '"on"', '"OFF"', '"yes"', '"No"', '"y"', '"n"', '"t"', '"f"', '"TRUE"', '"False"',
          '"maybe"', '"1"', '"0"', '" true"', "[]", "[5]", '["5"]', "{}", '{"a": 1}']
BODIES = ["", " ", "null", "true", "5", '"x"', "[]", '[{"prompt": "x"}]', "{}", '{"unknown": 1}', "nope", '{"prompt": }',
          '{"prompt": "x"} x', '{"prompt": "x"', "{'prompt': 'x'}", '{"prompt": "x",}']
TOKENS = ["[]", "[1, 2, 3]", '[1, "2", 3.0, 4.9, true]', '[1, "x", null, [2], {}]', '["five", "six"]', "[null]", "5", '"5"', "null", "{}",
          '{"1": 2}', "true"]
WORDS = ['"x"', '"a\\u00e9\\ud83d\\ude00"', "5", "-5", "5.0", "0.1", "1e22", "1e-07", "123456789012", "true", "false", "null", "[]", '["x"]', "{}"]


def cases():
    for path in ["/process", "/tokenize", "/decode"]:
        for body in BODIES:
            yield path, body
    for field in ["num_samples", "max_new_tokens", "top_k", "temperature", "seed", "echo_prompt"]:
        for value in VALUES:
            yield "/process", '{"prompt": "x", "%s": %s}' % (field, value)
    for field in ["truncation", "max_length"]:
        for value in VALUES:
            yield "/tokenize", '{"text": "x", "%s": %s}' % (field, value)
    for word in WORDS:
        yield "/process", '{"prompt": %s}' % word
        yield "/tokenize", '{"text": %s}' % word
    for tokens in TOKENS:
        yield "/decode", '{"tokens": %s}' % tokens
    yield "/process", '{"max_new_tokens": "x", "temperature": [], "echo_prompt": 7, "seed": "y", "top_k": null, "num_samples": {}}'
    yield "/tokenize", '{"max_length": null, "truncation": null}'


async def ask(path, body):
    messages = []

    async def receive():
        return {"type": "http.request", "body": body.encode("utf-8"), "more_body": False}

    async def send(message):
        messages.append(message)

    await APP({"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
               "raw_path": path.encode("ascii"), "query_string": b"", "scheme": "http", "root_path": "",
               "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)},
              receive, send)
    answer = b"".join(message.get("body", b"") for message in messages)
    return messages[0]["status"], json.loads(answer)


def main():
    record = []
    for path, body in cases():
        code, answer = asyncio.run(ask(path, body))
        case = {"path": path, "body": body, "code": code}
        if code == 200:
            case["values"] = answer
        else:
            case["detail"] = answer["detail"]
            for error in case["detail"]:
                error.pop("ctx", None)
        record.append(case)
    about = {"tool": "fastapi %s, pydantic %s" % (fastapi.__version__, pydantic.VERSION),
             "command": "python tests/oracle/fastapi_bodies.py tests/golden/oracle/fastapi_bodies.json"}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write('{"about": %s, "cases": [\n' % json.dumps(about))
        file.write(",\n".join(json.dumps(case) for case in record))
        file.write("\n]}\n")


if __name__ == "__main__":
    main()
