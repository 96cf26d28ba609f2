"""What SciPy's BCa bootstrap gives for sums of means: tests/golden/oracle/bootstrap.json.

    pip install scipy==1.14.1 numpy==2.1.3
    python tests/oracle/bootstrap.py
"""

import json
import pathlib

import numpy
import scipy
from scipy.stats import bootstrap

RESAMPLES = 199999
OUT = pathlib.Path(__file__).parent.parent / "golden" / "oracle" / "bootstrap.json"


def sum_of_means(*strata, axis=-1):
    return sum(numpy.mean(stratum, axis=axis) for stratum in strata)


def case(name, strata):
    found = bootstrap(strata, sum_of_means, n_resamples=RESAMPLES, batch=2000, method="BCa",
                      confidence_level=0.95, vectorized=True,
                      random_state=numpy.random.default_rng(7))
    return {"name": name, "strata": [list(map(float, s)) for s in strata],
            "low": float(found.confidence_interval.low),
            "high": float(found.confidence_interval.high)}


def main():
    draw = numpy.random.default_rng(3)
    cases = [
        case("3 of 20", ([1.0] * 3 + [0.0] * 17,)),
        case("90 of 120", ([1.0] * 90 + [0.0] * 30,)),
        case("skewed", (list(numpy.round(draw.exponential(size=40), 4)),)),
        case("two strata", (list(numpy.round(draw.random(25), 4)), [0.5, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5])),
        case("three strata, skewed", (list(numpy.round(draw.exponential(size=12) / 3, 4)),
                                      list(numpy.round(draw.exponential(size=50) / 3, 4)),
                                      [1.0 / 3] * 9 + [0.0])),
    ]
    record = {"tool": f"scipy {scipy.__version__}, numpy {numpy.__version__}",
              "command": "python tests/oracle/bootstrap.py", "resamples": RESAMPLES, "cases": cases}
    OUT.write_text(json.dumps(record, indent=1) + "\n")


main()
