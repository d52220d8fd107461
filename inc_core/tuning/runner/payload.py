"""A job as files: what the parent writes, and how a child makes the same job of it.

Pickle is used between our own processes only, in a folder that no other user can read; nothing of it
is stored.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

from inc_core.errors import ConfigError
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.tuning.evaluate import Evaluator
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.contract import Terms

__all__ = ["START", "read_job", "write_calibration", "write_job", "write_start"]

START = "start.json"
_JOB = "job.pickle"
_MODEL = "model"


@dataclass(frozen=True)
class _Content:
    """What a child needs beside adaptor and model."""

    space: TuningSpace
    evaluator: Evaluator | None
    calibrates: bool
    terms: Terms


def write_job(folder: Path, job: TuningJob, terms: Terms) -> None:
    """Write everything that a child needs to run trials of a job.

    Args:
        folder: Empty, and readable for this user only.
        job: What is searched.
        terms: What trials are held against.

    Raises:
        ConfigError: If the evaluation cannot be sent to another process.
    """
    (folder / _MODEL).mkdir()
    job.adaptor.save(job.model, folder / _MODEL)
    content = _Content(job.space, job.evaluator, job.calibrate is not None, terms)
    with (folder / _JOB).open("wb") as file:
        _dump((type(job.adaptor), job.adaptor.context), file, job)
        _dump(content, file, job)


def write_start(folder: Path, threads: int) -> None:
    """Write how a child of this process begins with the job in a folder.

    Args:
        folder: Where ``write_job`` wrote.
        threads: Of one inference in the child.

    Raises:
        ConfigError: If the evaluation was defined in an interactive session.
    """
    main = _main_module() if _mentions_main(folder / _JOB) else {}
    start = {"path": sys.path, "parent": os.getpid(), "main": main, "threads": threads}
    (folder / START).write_text(json.dumps(start), encoding="utf-8")


def _mentions_main(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"__main__") >= 0


def _main_module() -> dict[str, Any]:
    """Return how a child finds the classes of the script that runs.

    Raises:
        ConfigError: If they are in no file: they were typed into an interpreter or a notebook.
    """
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return {"init_main_from_name": name, "sys_argv": sys.argv}
    path = getattr(main, "__file__", None)
    if path is not None and Path(path).is_file():
        return {"init_main_from_path": str(Path(path).absolute()), "sys_argv": sys.argv}
    raise ConfigError(
        "tuning.runner: process needs what evaluates in an importable file; it was defined in an "
        "interactive session. Move metric, dataset, transforms or eval_func into a module, or set "
        "tuning.runner.name: inline."
    )


def write_calibration(folder: Path, recipe: Recipe, calibration: Calibration) -> None:
    """Write the ranges that a recipe is built from, unless they were written before.

    Raises:
        ConfigError: If a plugin's range rule cannot be sent.
    """
    path = folder / _calibration_name(recipe.options, recipe.calib_samples)
    if calibration.samples and not path.exists():
        with path.open("wb") as file:
            _dump(calibration, file, None)


def _calibration_name(options: tuple[str, ...], samples: int) -> str:
    digest = hashlib.sha256(" ".join(sorted(options)).encode()).hexdigest()[:16]
    return f"calibration-{digest}-{samples}.pickle"


def _dump(value: Any, file: IO[bytes], job: TuningJob | None) -> None:
    try:
        _Pickler(file, job).dump(value)
    except Exception as error:  # foreign objects refuse to be pickled in any way
        raise ConfigError(
            f"tuning.runner: process cannot send the evaluation to another process: {error}. Define "
            "metric, dataset, transforms and eval_func at the top level of a module, or set "
            "tuning.runner.name: inline."
        ) from error


class _Pickler(pickle.Pickler):
    """Refers to adaptor, float model and modules by name: the child has its own."""

    def __init__(self, file: IO[bytes], job: TuningJob | None) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._job = job

    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        if isinstance(value, ModuleType):
            return "module", value.__name__
        if self._job is not None and value is self._job.adaptor:
            return "adaptor", ""
        if self._job is not None and value is self._job.model:
            return "model", ""
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], known: Mapping[str, Any]) -> None:
        super().__init__(file)
        self._known = known

    def persistent_load(self, reference: tuple[str, str]) -> Any:
        kind, name = reference
        if kind == "module":
            __import__(name)
            return sys.modules[name]
        return self._known[kind]


def read_job(folder: Path) -> tuple[TuningJob, Terms]:
    """Return the job that ``write_job`` wrote, with adaptor, model and evaluator of this process."""
    start = json.loads((folder / START).read_text(encoding="utf-8"))
    if start["main"]:
        from multiprocessing import spawn  # its own way: the script runs, but not as __main__

        spawn.prepare(start["main"])
    with (folder / _JOB).open("rb") as file:
        adaptor_class, context = _Unpickler(file, {}).load()
        adaptor: Adaptor = adaptor_class(replace(context, threads=start["threads"]))
        model = adaptor.restore(folder / _MODEL)
        content: _Content = _Unpickler(file, {"adaptor": adaptor, "model": model}).load()
    job = TuningJob(
        adaptor=adaptor,
        model=model,
        space=content.space,
        strategy=_NoStrategy(),
        calibrate=_received(folder) if content.calibrates else None,
        evaluator=content.evaluator,
    )
    return job, content.terms


class _NoStrategy:
    """Children are told what to try."""

    def propose(self, space: TuningSpace, context: Any) -> Any:
        raise AssertionError("a child never proposes")


class _Received(NamedTuple):
    """Answers as a ``Calibrator`` from what the parent computed."""

    folder: Path
    options: tuple[str, ...]

    def calibration(self, samples: int) -> Calibration:
        path = self.folder / _calibration_name(self.options, samples)
        with path.open("rb") as file:
            calibration: Calibration = _Unpickler(file, {}).load()
        return calibration


def _received(folder: Path) -> Callable[[Any, tuple[str, ...]], Any]:
    return lambda model, options: _Received(folder, options)
