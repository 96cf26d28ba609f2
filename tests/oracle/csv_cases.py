"""Records what Python's csv module makes of small texts, for tests/formats/csv_test.c.

    python3 tests/oracle/csv_cases.py tests/golden/oracle/csv ../shared/data

Each case is read as a text file with universal newlines (io.TextIOWrapper with newline=None), then
by csv.reader with the default dialect and the delimiter of the case. For the CSV files of the data folder, row counts and digests are recorded.
"""

import csv
import glob
import gzip
import hashlib
import io
import json
import os
import platform
import random
import sys

COMMAND = "python3 tests/oracle/csv_cases.py tests/golden/oracle/csv ../shared/data"

HAND_MADE = [
    "",
    "a",
    "a,b\n",
    "a,b\r\nc,d\r\n",
    "a\rb\r",
    "\n",
    "\n\n",
    "a\n\nb\n",
    "a\r\n\r\nb",
    ",",
    ",\n,",
    "a,",
    '""',
    '"',
    '"a',
    '"a\n',
    '"a\r\nb",c\n',
    '"a\rb"\r"c"',
    '"a""b"',
    '""""',
    '"""a"""',
    '"a"b,c',
    '"a"b"c,d"e',
    '"a" ,b',
    ' "a",b',
    'a"b"c,d',
    'a""b,"c"',
    '"a","b\nc","d"\ne,f\n',
    'a,"b,c",d\n',
    "  a , b  \n",
    "a\tb,c\td\n",
    "\ufeffa,b\n",
    "é,日本,🎈\n",
    '"x"\n"y"',
    '"x""\n"",y"\nz',
    "'a,b',c\n",
    "a\\,b\n",
    '"a\\"b",c\n',
    "a\x0bb\x0cc\x85d\u2028e\n",
    '"",""\n',
    '"\n"\n',
    ',"",\n',
    '"a","b"c"d",e',
]


def rows_of(text, delimiter):
    raw = io.BytesIO(text.encode("utf-8"))
    file = io.TextIOWrapper(raw, encoding="utf-8", newline=None)
    return list(csv.reader(file, delimiter=delimiter))


def digest_of(path):
    """Row count and SHA-256 of the rows: a field ends with U+001F, a row with U+001E."""
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")
    digest = hashlib.sha256()
    count = 0
    with opened as file:
        for row in csv.reader(file):
            count += 1
            digest.update(("".join(field + "\x1f" for field in row) + "\x1e").encode("utf-8"))
    return count, digest.hexdigest()


def write(path, key, items):
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"tool": "csv of Python %s",\n' % platform.python_version())
        file.write('"command": "%s",\n' % COMMAND)
        file.write('"%s": [\n' % key)
        file.write(",\n".join(json.dumps(item) for item in items))
        file.write("\n]}\n")


def main():
    texts = list(HAND_MADE)
    rng = random.Random(20231115)
    for _ in range(400):
        length = rng.randrange(1, 14)
        texts.append("".join(rng.choice(['"', '"', ",", "\t", "\n", "\r", "a", " "]) for _ in range(length)))
    cases = []
    for text in texts:
        for delimiter in ",\t":
            if delimiter == "\t" and "\t" not in text:
                continue
            cases.append({"text": text, "delimiter": delimiter, "rows": rows_of(text, delimiter)})
    out, data = sys.argv[1], sys.argv[2]
    write(os.path.join(out, "cases.json"), "cases", cases)
    files = []
    for path in sorted(glob.glob(os.path.join(data, "eval", "**", "*.csv*"), recursive=True)):
        rows, digest = digest_of(path)
        files.append({"file": os.path.relpath(path, data), "rows": rows, "sha256": digest})
    write(os.path.join(out, "files.json"), "files", files)


if __name__ == "__main__":
    main()
