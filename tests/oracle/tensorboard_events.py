"""Writes tests/golden/oracle/tensorboard.json: event files as TensorBoard's own writer makes them.

    python3 -m venv venv && venv/bin/pip install tensorboard==2.20.0
    venv/bin/python tests/oracle/tensorboard_events.py tests/golden/oracle/tensorboard.json
    venv/bin/python tests/oracle/tensorboard_events.py --read FOLDER     # what TensorBoard sees there

"files": what each holds (version, restart, scalars) and its bytes in hexadecimal, which our writer
must write. "read": the curves that TensorBoard's event reader gives for a folder with the files in
the order of their names; the second one is of a run that went on from an earlier step, the third
ends in the middle of a record.
"""

import json
import os
import platform
import struct
import sys
import tempfile

import google.protobuf
import tensorboard
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

COMMAND = "python3 tests/oracle/tensorboard_events.py tests/golden/oracle/tensorboard.json"


def float32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def steps(first, last, wall):
    rows = []
    for step in range(first, last + 1):
        scalars = [["train/loss", float32(3.0 / step)], ["train/learning_rate", float32(2e-5 * step)],
                   ["train/epoch", float32(step / 7)]]
        rows.append({"wall_s": wall + step * 1.25, "step": step, "scalars": scalars})
        if step % 2 == 0:
            rows.append({"wall_s": wall + step * 1.25 + 0.5, "step": step,
                         "scalars": [["eval/loss", float32(4.0 / step)]]})
    return rows


FILES = [
    {"wall_s": 1764331200.0, "restart": 0, "rows": steps(1, 6, 1764331200.0)},
    {"wall_s": 1764331300.125, "restart": 5, "rows": steps(5, 9, 1764331300.0)},
    {"wall_s": 1764331400.5, "restart": 10, "rows": [
        {"wall_s": 1764331401.0, "step": 10, "scalars": [["train/loss", 0.0], ["größe/δ", -1.5]]},
        {"wall_s": 1764331402.0, "step": 300, "scalars": [["train/loss", float32(1e-30)]]},
        {"wall_s": 1764331403.0, "step": 2**40 + 5, "scalars": [["train/loss", float32(1e30)]]},
        {"wall_s": 1764331404.0, "step": 2**40 + 6, "scalars": []},
        {"wall_s": 1764331405.0, "step": 2**40 + 7,
         "scalars": [["a" * 128, 1.0]] + [["tag/%d" % i, float(i)] for i in range(31)]},
    ]},
]
CUT_BYTES = 9  # of the third file's last record


def events(file):
    yield event_pb2.Event(wall_time=file["wall_s"], file_version="brain.Event:2")
    if file["restart"]:
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        yield event_pb2.Event(wall_time=file["wall_s"], step=file["restart"], session_log=log)
    for row in file["rows"]:
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value)
                  for tag, value in row["scalars"]]
        yield event_pb2.Event(wall_time=row["wall_s"], step=row["step"],
                              summary=summary_pb2.Summary(value=values))


def read(folder):
    accumulator = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0})
    accumulator.Reload()
    return {tag: [[e.step, e.value] for e in accumulator.Scalars(tag)]
            for tag in accumulator.Tags()["scalars"]}


def record(path):
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for file in FILES:
            name = "events.out.tfevents.%010d.oneday" % int(file["wall_s"])
            place = os.path.join(folder, name)
            with open(place, "wb") as out:
                writer = RecordWriter(out)
                for event in events(file):
                    writer.write(event.SerializeToString(deterministic=True))
            files.append(dict(file, name=name, bytes=open(place, "rb").read().hex()))
        with open(place, "r+b") as out:
            out.truncate(os.path.getsize(place) - CUT_BYTES)
        curves = read(folder)
    document = {
        "made_by": "tensorboard %s, protobuf %s, Python %s; %s" % (
            tensorboard.__version__, google.protobuf.__version__, platform.python_version(), COMMAND),
        "files": files,
        "cut_bytes": CUT_BYTES,
        "read": curves,
    }
    with open(path, "w") as out:
        json.dump(document, out, indent=1, ensure_ascii=False)
        out.write("\n")


if sys.argv[1] == "--read":
    print(json.dumps(read(sys.argv[2]), indent=1))
else:
    record(sys.argv[1])
