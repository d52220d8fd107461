"""A trial's process: waits for recipes on its standard input, answers each with one line of JSON."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from inc_core.errors import CalibrationError, DataError
from inc_core.quant.recipe import Recipe
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.contract import Terms
from inc_core.tuning.runner.payload import START, read_job
from inc_core.tuning.runner.pieces import in_pieces
from inc_core.tuning.runner.preflight import RefusedError
from inc_core.tuning.runner.work import pack_parts
from inc_core.tuning.trial import Trial
from inc_core.tuning.trial_run import run_part, run_trial

__all__ = ["main"]

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(folder: str) -> None:
    """Load the job in ``folder``, then run trials until the parent is gone."""
    faulthandler.enable()
    _die_with(json.loads(Path(folder, START).read_text(encoding="utf-8"))["parent"])
    replies = _take_stdout()
    requests = _listen()
    try:
        job, terms = read_job(Path(folder))
    except RefusedError as error:
        _send(replies, {"event": "refused", "problems": error.problems})
        return
    _send(replies, {"event": "ready", "thread": threading.get_ident()})
    while True:
        request = requests.get()
        # the stacks are written before the parent kills: it reads where the trial hung
        faulthandler.dump_traceback_later(request["seconds"])
        _send(replies, {"event": "started"})  # from here on its end is the trial's
        _send(replies, _answer(job, terms, request))


def _answer(job: TuningJob, terms: Terms, request: Mapping[str, Any]) -> Mapping[str, Any]:
    recipe, number = Recipe.from_json(request["recipe"]), request["number"]
    try:
        job = in_pieces(job, request["pieces"])
        if request["span"] is not None:
            found = run_part(job, number, recipe, *request["span"])
        else:
            gate = terms.gate_of(request["gated"])
            found, _ = run_trial(job, number, recipe, terms.criterion, gate)
    except (CalibrationError, DataError) as error:  # of trial 1: the whole search ends
        return {"event": "raised", "type": type(error).__name__, "message": str(error)}
    finally:
        faulthandler.cancel_dump_traceback_later()
    if not isinstance(found, Trial):
        return {"event": "finished", "parts": pack_parts(found)}
    fields = {name: value for name, value in vars(found).items() if name != "recipe"}
    return {"event": "finished", "trial": {**fields, "objectives": dict(found.objectives)}}


def _take_stdout() -> TextIO:
    """Return the way to the parent; what others print goes where errors go."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _send(replies: TextIO, reply: Mapping[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _listen() -> SimpleQueue[Any]:
    """Return the queue of requests. When the parent closes the way, or dies, this process ends."""
    requests: SimpleQueue[Any] = SimpleQueue()
    # the trial's own code must not read from what is ours
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    def read() -> None:
        for line in source:
            requests.put(json.loads(line))
        os._exit(0)  # the main thread may be in native code

    threading.Thread(target=read, daemon=True).start()
    return requests


def _die_with(parent: int) -> None:
    """Have the system kill this process when the parent dies; elsewhere ``_listen`` sees it."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before
        os._exit(0)
