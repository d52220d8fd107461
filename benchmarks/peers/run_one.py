"""One contender on one model, in this process: ``run_one.py CONTENDER MODEL DATA OUT LIMIT TOLERANCE CORE``.

LIMIT is in CPU seconds; TOLERANCE is relative, or ``usual``; CORE is the only one that it may use.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from pathlib import Path

import onnxruntime  # noqa: F401 - as the peers' own packages, imported before the clock starts
from rivals import CONTENDERS
from tasks import Watch, load


def main() -> None:
    contender, model, data, out, limit, tolerance, core = sys.argv[1:]
    folder = Path(out)
    os.sched_setaffinity(0, {int(core)})
    task = load(model, Path(data), None if tolerance == "usual" else float(tolerance))
    watch = Watch(task, folder / "watch.json")
    # the system ends the process at the limit; what the watch wrote by then is what is known
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
    try:
        CONTENDERS[contender][1](task, watch, folder)
    except Exception:  # noqa: BLE001 - a contender that fails is a row of the table
        (folder / "error.txt").write_text(traceback.format_exc())
        sys.exit(1)
    seconds, cpu = watch.elapsed()
    done = {**watch.to_json(), "seconds": seconds, "cpu": cpu}
    (folder / "watch.json").write_text(json.dumps(done))
    (folder / "done").touch()


if __name__ == "__main__":
    main()
