"""A process in which one contender is measured: ``python -m benchmarks.station NAME OPTIONS [ADDRESS]``.

Law: it reads one request a line from its standard input and answers each with one line on what was its
standard output; what the contender itself prints goes to standard error. At the end of the input it stops.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from benchmarks.contender import Contender, contender_class
from benchmarks.measure import Probe, warm_up


def main() -> None:
    """Start the contender, answer until there are no more requests, stop it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, options, *address = sys.argv[1:]
    contender = contender_class(name)(**json.loads(options))
    try:
        contender.attach(address[0]) if address else contender.start()
        serve(contender, answers)
    finally:
        contender.stop()


def serve(contender: Contender, answers: Any) -> None:
    """One answer per request."""
    probes: dict[str, Probe | None] = {}
    _say(answers, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _say(answers, answer(contender, probes, request))
        except Exception as error:
            _say(answers, {"error": f"{type(error).__name__}: {error}"})


def answer(contender: Contender, probes: dict[str, Probe | None], request: dict[str, Any]) -> dict[str, Any]:
    """The samples of one block, and its seconds; the first one of a probe comes after a warm-up."""
    method, args = request["probe"], request["args"]
    count, seconds = request["count"], request["seconds"]
    key = json.dumps([method, args])
    if key not in probes:
        make = getattr(contender, method, None)
        probes[key] = None if make is None else make(*args)
        if (made := probes[key]) is not None:
            warm_up(made, count, seconds)
    if (probe := probes[key]) is None:
        return {"absent": True}
    start = time.perf_counter()
    samples = probe(count, seconds)
    return {"samples": samples, "seconds": time.perf_counter() - start}


def _say(answers: Any, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
