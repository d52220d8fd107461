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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

from inc_core.errors import ConfigError, MissingFrameworkError
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.tuning.evaluate import Evaluator
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.bundle import UNFINISHED
from inc_core.tuning.runner.contract import Terms
from inc_core.tuning.runner.portable import dump_portable
from inc_core.tuning.runner.preflight import RefusedError, mismatches, output_problem

__all__ = [
    "START",
    "read_job",
    "write_calibration",
    "write_job",
    "write_start",
    "write_start_elsewhere",
]

START = "start.json"
_JOB = "job.pickle"
_MODEL = "model"
_REFERENCE = "reference.pickle"


@dataclass(frozen=True)
class _Content:
    """What a child needs beside adaptor and model."""

    space: TuningSpace
    evaluator: Evaluator | None
    calibrates: bool
    terms: Terms


def write_job(
    folder: Path, job: TuningJob, terms: Terms, *, portable: bool = False
) -> frozenset[str]:
    """Write everything that a child needs to run trials of a job.

    Args:
        folder: Empty, and readable for this user only.
        job: What is searched.
        terms: What trials are held against.
        portable: For machines that cannot import the user's own modules: their code travels, and a
            reference sample with the float model's outputs.

    Returns:
        Names of the classes and functions whose code travels.

    Raises:
        ConfigError: If the evaluation cannot be sent to another process.
    """
    (folder / _MODEL).mkdir()
    job.adaptor.save(job.model, folder / _MODEL)
    content = _Content(job.space, job.evaluator, job.calibrate is not None, terms)
    with (folder / _JOB).open("wb") as file:
        sent = _dump((type(job.adaptor), job.adaptor.context), file, job, portable)
        sent |= _dump(content, file, job, portable)
    if portable and job.sample is not None:
        outputs = job.adaptor.predict(job.model, job.sample)
        with (folder / _REFERENCE).open("wb") as file:
            _dump((job.sample, outputs), file, job, portable)
    return frozenset(sent)


def write_start_elsewhere(folder: Path, threads: int, expects: Mapping[str, Any]) -> None:
    """Write how a child begins with a portable job on another machine than it was written on.

    Args:
        folder: Where the job's files lie.
        threads: Of one inference in the child.
        expects: What ``preflight.expectations`` says of the machine of the search.
    """
    start = {
        "path": sys.path, "parent": os.getpid(), "main": {}, "threads": threads, "expects": expects,
    }  # fmt: skip
    (folder / START).write_text(json.dumps(start), encoding="utf-8")


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
    """Write what a recipe is built from, unless it was written before.

    That is the ranges, and the calibration samples if some op's weight is chosen with a look at them.

    Raises:
        ConfigError: If a plugin's range rule, or a sample, cannot be sent.
    """
    if not calibration.samples:
        return
    _write_once(folder / _calibration_name(recipe.options, recipe.calib_samples), [calibration])
    if any(config.reads_inputs for config in recipe.ops.values()):
        _write_once(folder / _samples_name(recipe.calib_samples), calibration.inputs())


def _write_once(path: Path, values: Iterable[Any]) -> None:
    """Pickle one value after the other; the file is there when it is whole."""
    if path.exists():
        return
    part = path.with_name(f"{UNFINISHED}{path.name}")
    with part.open("wb") as file:
        for value in values:
            _dump(value, file, None)
    part.replace(path)


def _samples_name(samples: int) -> str:
    return f"samples-{samples}.pickle"


def _calibration_name(options: tuple[str, ...], samples: int) -> str:
    digest = hashlib.sha256(" ".join(sorted(options)).encode()).hexdigest()[:16]
    return f"calibration-{digest}-{samples}.pickle"


def _dump(value: Any, file: IO[bytes], job: TuningJob | None, portable: bool = False) -> set[str]:
    """Pickle, and return what travels as code."""
    try:
        if portable:
            return dump_portable(value, file, partial(_reference_to, job))
        _Pickler(file, job).dump(value)
    except MissingFrameworkError:
        raise
    except Exception as error:  # foreign objects refuse to be pickled in any way
        raise ConfigError(
            f"tuning.runner cannot send the evaluation to another process: {error}. Define metric, "
            "dataset, transforms and eval_func at the top level of a module, or set "
            "tuning.runner.name: inline."
        ) from error
    return set()


def _reference_to(job: TuningJob | None, value: Any) -> tuple[str, str] | None:
    """Return how adaptor, float model and modules are named: the child has its own."""
    if isinstance(value, ModuleType):
        return "module", value.__name__
    if job is not None and value is job.adaptor:
        return "adaptor", ""
    if job is not None and value is job.model:
        return "model", ""
    return None


class _Pickler(pickle.Pickler):
    def __init__(self, file: IO[bytes], job: TuningJob | None) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._job = job

    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        return _reference_to(self._job, value)


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
    """Return the job that ``write_job`` wrote, with adaptor, model and evaluator of this process.

    Raises:
        RefusedError: If this machine would not give the same accuracies as that of the search.
    """
    start = json.loads((folder / START).read_text(encoding="utf-8"))
    if start["main"]:
        from multiprocessing import spawn  # its own way: the script runs, but not as __main__

        spawn.prepare(start["main"])
    with (folder / _JOB).open("rb") as file:
        adaptor_class, context = _Unpickler(file, {}).load()
        adaptor: Adaptor = adaptor_class(replace(context, threads=start["threads"]))
        if "expects" in start:
            _refuse(mismatches(start["expects"], adaptor))
        model = adaptor.restore(folder / _MODEL)
        if "expects" in start and (folder / _REFERENCE).exists():
            _refuse(_reproduces(folder / _REFERENCE, adaptor, model))
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


def _refuse(problems: list[str]) -> None:
    if problems:
        raise RefusedError(problems)


def _reproduces(path: Path, adaptor: Adaptor, model: Any) -> list[str]:
    with path.open("rb") as file:
        inputs, outputs = _Unpickler(file, {"adaptor": adaptor, "model": model}).load()
    problem = output_problem(outputs, adaptor.predict(model, inputs))
    return [problem] if problem else []


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
        return calibration.with_inputs(partial(_batches_in, self.folder / _samples_name(samples)))


def _batches_in(path: Path) -> Iterator[Any]:
    with path.open("rb") as file, suppress(EOFError):
        while True:
            yield _Unpickler(file, {}).load()


def _received(folder: Path) -> Callable[[Any, tuple[str, ...]], Any]:
    return lambda model, options: _Received(folder, options)
