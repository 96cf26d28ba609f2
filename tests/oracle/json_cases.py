"""Records how Python prints JSON and floats, for tests/formats/json_test.c and base/text_test.c.

    python3 tests/oracle/json_cases.py tests/golden/oracle/python

json.json: values and what json.dumps makes of them in five layouts. doubles.txt: the bits of a
double in hex, a blank, its repr. strip.json: texts with what str.strip, str.rstrip and decoding
with errors="replace" make of them (bytes in hex). Recorded with Python 3.11.7.
"""

import json
import os
import platform
import random
import struct
import sys

COMMAND = "python3 tests/oracle/json_cases.py tests/golden/oracle/python"
VALUES = [
    None, True, False, 0, -1, 9223372036854775807, -9223372036854775808, 0.0, -0.0, 0.1, 1.0, 1e16,
    1e-5, 1.5e300, 5e-324, 123456789.125, "", "a", "\u00e9\u65e5\U0001f388", "\x00\x01\x1f\x7f\x80",
    "\"\\/\b\f\n\r\t", "\u2028\u2029\ufeff\uffff", [], {}, [[]], [{}], {"": []}, {"a": {}}, [1, [2, [3]]],
    {"a": 1, "b": [1, 2.5, None, {"c": "d"}], "\u00e9\n": {"x": [[], {}, [{}]]}},
]
TEXT = ["a", "b", " ", "\"", "\\", "\n", "\x00", "\x1b", "\x7f", "\u0080", "\u00e9", "\u2028", "\ud7ff", "\U0001f388"]


def random_text(rng):
    return "".join(rng.choice(TEXT) for _ in range(rng.randrange(0, 8)))


def random_double(rng):
    while True:
        value = struct.unpack("<d", struct.pack("<Q", rng.getrandbits(64)))[0]
        if value == value and abs(value) != float("inf"):
            return value


def random_value(rng, depth):
    kind = rng.randrange(0, 8 if depth > 0 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randrange(-(2**63), 2**63)
    if kind == 2:
        return random_double(rng)
    if kind == 3:
        return round(rng.random() * 10 ** rng.randrange(0, 17), rng.randrange(0, 6))
    if kind in (4, 5):
        return random_text(rng)
    if kind == 6:
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(0, 4))]
    return {random_text(rng).replace("\x00", ""): random_value(rng, depth - 1) for _ in range(rng.randrange(0, 4))}


def write_json(path, cases):
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"tool": "json of Python %s",\n"command": "%s",\n"cases": [\n' % (platform.python_version(), COMMAND))
        file.write(",\n".join(json.dumps(case) for case in cases))
        file.write("\n]}\n")


def main():
    out = sys.argv[1]
    rng = random.Random(20230930)
    values = VALUES + [random_value(rng, 4) for _ in range(60)]
    write_json(os.path.join(out, "json.json"), [{
        "value": value,
        "compact": json.dumps(value, separators=(",", ":")),
        "line": json.dumps(value),
        "line_utf8": json.dumps(value, ensure_ascii=False),
        "indent_2": json.dumps(value, indent=2),
        "indent_4_utf8": json.dumps(value, indent=4, ensure_ascii=False),
    } for value in values])
    bits = [(e << 52) | m for e in range(0, 2047, 3) for m in (0, (1 << 52) - 1)]
    bits += [rng.randrange(1, 1 << 52) for _ in range(40)]
    bits += [struct.unpack("<Q", struct.pack("<d", random_double(rng)))[0] for _ in range(500)]
    bits += [struct.unpack("<Q", struct.pack("<d", round(rng.random() * 10 ** rng.randrange(0, 18), rng.randrange(0, 8))))[0]
             for _ in range(500)]
    with open(os.path.join(out, "doubles.txt"), "w", encoding="utf-8") as file:
        for b in bits:
            file.write("%x %r\n" % (b, struct.unpack("<d", struct.pack("<Q", b))[0]))
    pieces = [b"a", b" ", b"\t", b"\n", b"\x1c", b"\x1f", b"\x85", b"\xc2\x85", b"\xc2\xa0", b"\xc2\xad", b"\xe2\x80\x8b",
              b"\xe2\x80\xaf", b"\xe3\x80\x80", b"\xe1\x9a\x80", b"\xef\xbb\xbf", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x8e",
              b"\xf0\x9f\x8e\x88", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\x80", b"\xe0\x80"]
    cases = []
    for _ in range(300):
        raw = b"".join(rng.choice(pieces) for _ in range(rng.randrange(0, 7)))
        text = raw.decode("utf-8", errors="replace")
        cases.append({"raw": raw.hex(), "text": text.encode().hex(), "count": len(text), "strip": text.strip().encode().hex(),
                      "rstrip": text.rstrip().encode().hex()})
    write_json(os.path.join(out, "strip.json"), cases)


if __name__ == "__main__":
    main()
