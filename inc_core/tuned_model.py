"""``TunedModel``: what the user gets, how it is saved, restored and verified.

A saved directory holds the native artefact and beside it ``inc.json`` (versions, measurements,
machine, checksums), ``recipe.json``, ``qparams.npz``, ``ledger.json`` and ``check.npz`` (inputs and
the outputs they gave).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inc_core.check_sample import as_outputs, load_sample, save_sample
from inc_core.errors import (
    ConfigError,
    UnsupportedModelError,
    VerificationError,
    WorkspaceError,
    did_you_mean,
)
from inc_core.hookspecs.adaptor import (
    Adaptor,
    AdaptorContext,
    Exports,
    IntegerWeights,
    Presents,
    RestoresInto,
)
from inc_core.machine import describe_machine
from inc_core.manifest import (
    MANIFEST,
    array_digest,
    check_files,
    file_digests,
    published,
    read_json,
    write_json,
)
from inc_core.plugin import get_plugins
from inc_core.quant.ledger import Decision
from inc_core.quant.qparams import QParams
from inc_core.quant.qparams_file import load_qparams, save_qparams
from inc_core.quant.recipe import Recipe
from inc_core.tuning.report import render_facts

if TYPE_CHECKING:
    from inc_core.plugin import Plugins
    from inc_core.tuning.trial import TuningResult

__all__ = ["TunedModel", "Verification", "load", "read_facts", "verify"]

FORMAT = 1  # of the saved directory; raised when an older inc could misread a newer one

# Another processor may round differently in float ops; below this the outputs are another model's.
MIN_SNR_DB = 40.0


@dataclass(frozen=True, repr=False)
class TunedModel:
    """A quantized model that met the goal, or the closest one, with everything known about it.

    Attributes:
        native: The model as its adaptor runs it; scripts want ``model``.
        recipe: How every op runs.
        adaptor: What runs it.
        qparams: The activation ranges in force, by tensor.
        ledger: Why every op is as it is.
        facts: Accuracy, latency, size and versions, as plain values (``inc.json`` when saved).
        sample: Some inputs, for verification; ``None`` if none were at hand.
        result: What the search found; ``None`` for a restored model.
    """

    native: Any
    recipe: Recipe
    adaptor: Adaptor
    qparams: Mapping[str, QParams] = field(default_factory=dict)
    ledger: tuple[Decision, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    sample: Any = None
    result: TuningResult | None = None
    plugins: Plugins | None = None

    def __repr__(self) -> str:
        ops = ", ".join(f"{n} ops {p}" for p, n in sorted(self.recipe.precisions().items()))
        met = "goal met" if self.goal_met else "goal not met"
        met = met if self.facts.get("evaluated", True) else "accuracy not evaluated"
        return f"<{type(self).__name__} of {self.adaptor.context.framework}: {ops}; {met}>"

    @property
    def model(self) -> Any:
        """The model as the framework's users know it, such as a module; what an ``eval_func`` gets."""
        adaptor = self.adaptor
        return adaptor.present(self.native) if isinstance(adaptor, Presents) else self.native

    @property
    def goal_met(self) -> bool:
        """Whether the accuracy goal was met; false also if accuracy was never evaluated."""
        return bool(self.facts.get("goal_met", False))

    def predict(self, inputs: Any) -> Any:
        """Run the model on one batch: arrays in, arrays out (see ``Adaptor.predict``)."""
        return self.adaptor.predict(self.native, inputs)

    def report(self) -> str:
        """Return the final report as text: accuracy, latency, size, and why each float op is float."""
        return render_facts(self.facts)

    def save(self, directory: str | Path) -> Path:
        """Write the model into ``directory``, all or nothing, and return its path.

        Raises:
            WorkspaceError: If the directory holds something else, or cannot be written.
        """
        target = Path(directory)
        with published(target) as staging:
            self._write(staging)
        (self.plugins or get_plugins()).emit("inc_model_saved", directory=target)
        return target

    def export(self, path: str | Path, format: str | None = None) -> Path:
        """Write the model alone, in a format of other tools, and return its path.

        Args:
            path: Of the file or directory, as the format has it.
            format: What the framework's plugin offers (see its README); the suffix of ``path`` by default.

        Raises:
            ConfigError: If the plugin has no such format; the message names those that it has.
            UnsupportedModelError: If something of the model has no place in the format.
            WorkspaceError: If it cannot be written there.
        """
        target = Path(path)
        adaptor = self.adaptor
        formats = adaptor.export_formats() if isinstance(adaptor, Exports) else {}
        name = format or target.suffix.lstrip(".").lower()
        if not isinstance(adaptor, Exports) or name not in formats:
            known = "; ".join(f"{one} ({text})" for one, text in formats.items())
            raise ConfigError(
                f"{target}: a model of {adaptor.context.framework} cannot be exported as {name!r}."
                f"{did_you_mean(name, formats)} "
                + (f"Name one of its formats: {known}." if known else "Its plugin has no formats.")
            )
        try:
            adaptor.export(self.native, target, name)
        except OSError as error:
            raise WorkspaceError(
                f"{target}: cannot be written ({error.strerror or error}). Name a path in an "
                "existing folder with free space"
            ) from error
        return target

    def _write(self, directory: Path) -> None:
        self.adaptor.save(self.native, directory)
        write_json(directory / "recipe.json", self.recipe.to_json())
        write_json(directory / "ledger.json", [decision.to_json() for decision in self.ledger])
        save_qparams(directory / "qparams.npz", self.qparams)
        if self.sample is not None:
            save_sample(directory / "check.npz", self.sample, self.predict(self.sample))
        manifest = {
            **self.facts,
            "format": FORMAT,
            "context": _context_to_json(self.adaptor.context),
            "versions": {"inc_core": _version(), **self.adaptor.versions()},
            "machine": describe_machine(),
            "integer_weights": _weight_digests(self.adaptor, self.native),
            "files": file_digests(directory),
        }
        write_json(directory / MANIFEST, manifest)


def load(directory: str | Path, *, model: Any = None, plugins: Plugins | None = None) -> TunedModel:
    """Restore what ``TunedModel.save`` wrote.

    Args:
        directory: Where it was saved.
        model: The float model, for a model whose code is not in its files; the error that is raised
            without it says so.
        plugins: Where the adaptor is found.

    Raises:
        UnsupportedModelError: If the directory is no saved model, or a file was changed or cut.
        ComponentNotFoundError: If no installed plugin offers the model's framework.
    """
    folder = Path(directory)
    manifest = read_facts(folder)
    source = plugins or get_plugins()
    context = _context_from_json(manifest["context"])
    adaptor = source.component("adaptor", context.framework)(context)
    sample = folder / "check.npz"
    return TunedModel(
        native=_restored(adaptor, folder, model),
        recipe=Recipe.from_json(read_json(folder / "recipe.json")),
        adaptor=adaptor,
        qparams=load_qparams(folder / "qparams.npz"),
        ledger=tuple(Decision.from_json(row) for row in read_json(folder / "ledger.json")),
        facts=manifest,
        sample=load_sample(sample)[0] if sample.exists() else None,
        plugins=plugins,
    )


def read_facts(directory: str | Path) -> dict[str, Any]:
    """Return what is known of a saved model, without loading it: no framework is needed.

    Raises:
        UnsupportedModelError: If the directory is no saved model, or a file was changed or cut.
    """
    folder = Path(directory)
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise UnsupportedModelError(
            f"{folder}: its format is {manifest.get('format')!r}, this inc reads {FORMAT}. "
            "Save the model again, or install the version of inc_core named in "
            f"{MANIFEST}: {manifest.get('versions', {}).get('inc_core')}."
        )
    check_files(folder, manifest["files"])
    return manifest


def _restored(adaptor: Adaptor, folder: Path, model: Any) -> Any:
    if model is not None and isinstance(adaptor, RestoresInto):
        return adaptor.restore_into(folder, model)
    return adaptor.restore(folder)


@dataclass(frozen=True)
class Verification:
    """What ``verify`` compared.

    Attributes:
        files: How many files had the stored digest.
        integer_weights: How many integer weights had the stored digest.
        samples: How many stored samples were run; 0 if none are stored.
        bit_equal: Whether every output was the same to the last bit.
        snr_db: Signal-to-noise ratio of the outputs, ``inf`` if bit-equal.
    """

    files: int
    integer_weights: int
    samples: int
    bit_equal: bool
    snr_db: float


def verify(directory: str | Path, *, plugins: Plugins | None = None) -> Verification:
    """Restore a saved model and compare files, integer weights and outputs with what was stored.

    Raises:
        VerificationError: If an integer weight or an output is not what was stored.
        UnsupportedModelError: If the model cannot be restored.
    """
    folder = Path(directory)
    tuned = load(folder, plugins=plugins)
    stored = tuned.facts["integer_weights"]
    found = _weight_digests(tuned.adaptor, tuned.native)
    for name in sorted(set(stored) | set(found)):
        if stored.get(name) != found.get(name):
            raise VerificationError(
                f"{folder}: the integer weight {name!r} differs from the one that was saved"
            )
    samples, bit_equal, snr_db = 0, True, float("inf")
    if (folder / "check.npz").exists():
        inputs, expected = load_sample(folder / "check.npz")
        outputs = as_outputs(tuned.predict(inputs))
        samples = len(expected[0])
        bit_equal, snr_db = _compare(outputs, expected)
    if snr_db < MIN_SNR_DB:
        raise VerificationError(
            f"{folder}: the outputs differ from the stored ones (SNR {snr_db:.1f} dB, "
            f"at least {MIN_SNR_DB:.0f} dB expected). Made with {tuned.facts['versions']} on "
            f"{tuned.facts['machine']['processor']}."
        )
    return Verification(len(tuned.facts["files"]), len(found), samples, bit_equal, snr_db)


def _compare(
    outputs: tuple[np.ndarray[Any, Any], ...], expected: tuple[np.ndarray[Any, Any], ...]
) -> tuple[bool, float]:
    """Return whether all outputs are bit-equal, and the worst SNR in dB."""
    if [output.shape for output in outputs] != [array.shape for array in expected]:
        return False, float("-inf")
    worst = float("inf")
    for output, array in zip(outputs, expected, strict=True):
        if np.array_equal(output, array, equal_nan=array.dtype.kind == "f"):
            continue
        noise = np.square(output.astype(np.float64) - array.astype(np.float64)).sum()
        signal = np.square(array.astype(np.float64)).sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            worst = min(worst, float(10 * np.log10(signal / noise)))
    return worst == float("inf"), worst


def _weight_digests(adaptor: Adaptor, model: Any) -> dict[str, str]:
    if not isinstance(adaptor, IntegerWeights):
        return {}
    return {name: array_digest(array) for name, array in adaptor.integer_weights(model).items()}


def _context_to_json(context: AdaptorContext) -> dict[str, Any]:
    fields = dict(vars(context))
    return {
        **fields,
        "inputs": list(context.inputs),
        "outputs": list(context.outputs),
        "recipes": dict(context.recipes),
    }


def _context_from_json(fields: Mapping[str, Any]) -> AdaptorContext:
    lists = {name: tuple(fields[name]) for name in ("inputs", "outputs")}
    return AdaptorContext(**{**fields, **lists})


def _version() -> str:
    from inc_core import __version__

    return __version__
