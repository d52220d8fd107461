"""inc beside its peers on ONNX models: ``python benchmarks/peers/compare.py``.

Peers: NNCF's accuracy control and neural-compressor 2.6 and 1.14, each in an environment of its own that
this script makes (a few hundred MB, needs a package index). Each contender runs in a process of its
own, on one core, within a limit of CPU time; the final models are then timed interleaved in one
process by one ONNX Runtime. What is in OUT already is not run again: delete a folder to repeat it.

Trained models and data come from the folder that INC_ASSETS names; the ResNet-50 has random weights, and its
score is how much of the float output's energy remains.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import itertools
import json
import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import timing  # noqa: E402 - lies one folder above, and installs nowhere
from environments import python_of  # noqa: E402
from rivals import CONTENDERS  # noqa: E402
from tasks import NAMES, TRAINED, prepare  # noqa: E402

OWN = "inc frontier"
SLOWEST = 10  # times the CPU limit: wall time of a contender that waits, or shares its core


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(NAMES), choices=NAMES)
    names = list(CONTENDERS)
    parser.add_argument("--contenders", nargs="+", default=names, choices=names)
    parser.add_argument("--limit", type=int, default=600, help="CPU seconds of each contender")
    parser.add_argument("--tolerance", type=float, help="relative loss of the score; usual: 0.01")
    parser.add_argument(
        "--jobs", type=int, default=1, help="contenders side by side, on other cores"
    )
    parser.add_argument(
        "--seconds", type=float, default=40, help="for timing all final models of one task"
    )
    parser.add_argument("--out", type=Path, default=Path("out/peers"))
    parser.add_argument("--table", action="store_true", help="only print what OUT holds")
    options = parser.parse_args()
    out = options.out.resolve()
    if not options.table:
        compare(options, out)
    timing.print_heading(
        "peers", "onnxruntime", "onnx", "inc-core", "inc-onnx", clock="1 core each, CPU seconds"
    )
    for model in options.models:
        print_results(model, out / model)
    print_shares(options.models, out)


def compare(options: argparse.Namespace, out: Path) -> None:
    """Run what OUT does not hold yet, then time all final models."""
    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    if set(options.models) - set(TRAINED):
        prepare(data)
    envs = {name: python_of(CONTENDERS[name][0], out / "envs") for name in options.contenders}
    _compile_own()
    cores: queue.Queue[int] = queue.Queue()
    for core in sorted(os.sched_getaffinity(0))[-options.jobs :]:
        cores.put(core)
    one = partial(run_one, data=data, out=out, options=options, cores=cores)
    pairs = itertools.product(options.contenders, options.models)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda pair: one(*pair, envs[pair[0]]), pairs))
    for model in options.models:
        timed = [sys.executable, str(HERE / "speed.py"), model, str(data), str(out)]
        timed.append(str(options.seconds))
        subprocess.run(timed, check=True, env=_environment())


def run_one(
    contender: str,
    model: str,
    python: str,
    *,
    data: Path,
    out: Path,
    options: argparse.Namespace,
    cores: Any,
) -> None:
    """Run one contender on one model, unless its result is there."""
    limit, tolerance = options.limit, options.tolerance
    folder = out / model / contender
    if (folder / "result.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        python,
        str(HERE / "run_one.py"),
        contender,
        model,
        str(data),
        str(folder),
        str(limit),
        "usual" if tolerance is None else str(tolerance),
    ]
    core = cores.get()
    with (folder / "log.txt").open("w") as log:
        try:
            code = subprocess.run(
                [*command, str(core)],
                stdout=log, stderr=log, cwd=folder, env=_environment(), timeout=SLOWEST * limit,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            cores.put(core)
    watch = folder / "watch.json"
    result = json.loads(watch.read_text()) if watch.exists() else {}
    done = (folder / "done").exists()
    result |= {"state": "ended" if done else ("failed" if code == 1 else "limit"), "limit": limit}
    (folder / "result.json").write_text(json.dumps(result, indent=1))
    print(f"  {model}, {contender}: {result['state']}", flush=True)


def _compile_own() -> None:
    """Compile our own packages once, as installing the peers has compiled theirs."""
    for name in ("inc_core", "inc_onnx"):
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            compileall.compile_dir(folder, quiet=1)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def print_results(model: str, folder: Path) -> None:
    """Print the table of one model."""
    speeds = json.loads((folder / "speed.json").read_text())
    rows = [
        row(name, json.loads((folder / name / "result.json").read_text()), speeds)
        for name in CONTENDERS
        if (folder / name / "result.json").exists()
    ]
    header = (
        "contender", "units", "accepted after", "ended after", "two evaluations", "final score",
        "times float",
    )  # fmt: skip
    print_goal = next(
        (r for r in (folder / n / "result.json" for n in CONTENDERS) if r.exists()), None
    )
    goal = json.loads(print_goal.read_text()).get("goal") if print_goal else None
    needed = "" if goal is None else f", {goal:.4f} needed"
    timing.print_table(f"{model}: float {speeds['float']['score']:.4f}{needed}", header, rows)


def print_shares(models: list[str], out: Path) -> None:
    """Print the CPU time of our default strategy as a share of each peer's, and the speeds' ratio."""
    rows = []
    for model in models:
        found = {
            name: json.loads(file.read_text())
            for name in CONTENDERS
            if (file := out / model / name / "result.json").exists()
        }
        own = found.get(OWN)
        if own is None or "cpu" not in own:
            continue
        speeds = json.loads((out / model / "speed.json").read_text())
        rows += [
            (model, name, *_share(own, other), _faster(speeds, name))
            for name, other in found.items()
            if not name.startswith("inc ") and other["state"] != "failed"
        ]
    header = ("model", "beside", "time to accept", "time to end", "final model's speed")
    timing.print_table(f"{OWN}, as a multiple of its peers", header, rows)


def _share(own: dict[str, Any], other: dict[str, Any]) -> tuple[str, str]:
    """Return both shares; of a peer that found nothing, or was stopped, they are bounds."""
    accepted, ended = other.get("accepted"), "cpu" in other
    spent = other["cpu"] if ended else other["last"]["cpu"]
    to_end = f"{'' if ended else '< '}{own['cpu'] / spent:.2f}"
    if accepted is None and ended:
        return "it found none", to_end
    until = spent if accepted is None else accepted["cpu"]
    return f"{'< ' if accepted is None else ''}{own['accepted']['cpu'] / until:.2f}", to_end


def _faster(speeds: dict[str, Any], name: str) -> str:
    return f"{speeds[OWN]['speedup'] / speeds[name]['speedup']:.2f}" if name in speeds else ""


def row(name: str, result: dict[str, Any], speeds: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one contender; seconds are CPU (wall).

    "Two evaluations" are one of the float model and one of its own final model, by the bare runtime:
    whoever accepts by the score on all samples needs as much.
    """
    speed = speeds.get(name)
    accepted, last = result.get("accepted"), result.get("last", {"cpu": 0.0, "seconds": 0.0})
    limit = (
        f"> {last['cpu']:.0f} ({last['seconds']:.0f})"  # its last evaluation before it was stopped
    )
    if result["state"] == "failed":
        return name, f"{result.get('units', 0):.1f}", "failed", "failed", "", "", ""
    ended = f"{result['cpu']:.1f} ({result['seconds']:.1f})" if "cpu" in result else limit
    return (
        name,
        f"{result.get('units', 0):.1f}",
        f"{accepted['cpu']:.1f} ({accepted['seconds']:.1f})" if accepted else "never",
        ended,
        "" if speed is None else f"{speeds['float']['evaluation'] + speed['evaluation']:.1f}",
        "no model" if speed is None else f"{speed['score']:.4f}",
        "" if speed is None else f"{speed['speedup']:.2f} [{speed['low']:.2f}-{speed['high']:.2f}]",
    )


if __name__ == "__main__":
    main()
