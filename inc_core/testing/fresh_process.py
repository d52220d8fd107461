"""Restore a saved model in a new interpreter: nothing that the saving process knew can help.

Run as ``python -m inc_core.testing.fresh_process REQUEST ANSWER``, two pickle files.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from inc_core.hookspecs.adaptor import Adaptor

__all__ = ["predict_in_fresh_process"]


def predict_in_fresh_process(
    adaptor: Adaptor, directory: Path, inputs: Any, timeout: float = 120
) -> Any:
    """Return ``restore(directory)``'s prediction, made by an equal adaptor in a new process.

    Args:
        adaptor: Its class must be importable, its context picklable.
        directory: What ``adaptor.save`` wrote.
        inputs: One batch.
        timeout: Seconds.

    Raises:
        RuntimeError: If the process fails; its error output is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request.pickle"), Path(folder, "answer.pickle")
        request.write_bytes(pickle.dumps((type(adaptor), adaptor.context, directory, inputs)))
        outcome = subprocess.run(
            [sys.executable, "-m", "inc_core.testing.fresh_process", str(request), str(answer)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if outcome.returncode:
            raise RuntimeError(f"the fresh process failed:\n{outcome.stderr}")
        return pickle.loads(answer.read_bytes())


def _main(request: str, answer: str) -> None:
    adaptor_class, context, directory, inputs = pickle.loads(Path(request).read_bytes())
    adaptor = adaptor_class(context)
    outputs = adaptor.predict(adaptor.restore(directory), inputs)
    Path(answer).write_bytes(pickle.dumps(outputs))


if __name__ == "__main__":
    _main(*sys.argv[1:])
