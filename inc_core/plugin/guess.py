"""Ask every plugin whose framework a model is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pluggy

from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import Guess
from inc_core.plugin.hints import how_to_get, package_of_model
from inc_core.plugin.kinds import GUESS_HOOK
from inc_core.plugin.loading import Loaded, call_one
from inc_core.plugin.record import PluginRecord, same_name

__all__ = ["guess_framework"]


class _Opinion(NamedTuple):
    plugin: PluginRecord
    guess: Guess | None
    reason: str


def guess_framework(manager: pluggy.PluginManager, loaded: Sequence[Loaded], source: Any) -> Guess:
    """Return the guess of highest confidence.

    Args:
        manager: Knows the working plugins.
        loaded: All plugins, broken ones for the message.
        source: What the user gave as the model: a path or a framework's object.

    Raises:
        UnsupportedModelError: If no plugin has an opinion, or the two best are equally sure.
    """
    opinions = [_ask(manager, entry, source) for entry in loaded if entry.plugin is not None]
    guesses = [opinion.guess for opinion in opinions if opinion.guess is not None]
    best = max((guess.confidence for guess in guesses), default=0.0)
    winners = [guess for guess in guesses if guess.confidence == best]
    if len(winners) == 1:
        return winners[0]
    raise UnsupportedModelError(_message(source, len(winners), opinions, loaded))


def _ask(manager: pluggy.PluginManager, entry: Loaded, source: Any) -> _Opinion:
    try:
        guess = call_one(manager, entry.plugin, GUESS_HOOK, source=source)
    except Exception as error:  # noqa: BLE001 - its failure is its opinion, and the others count
        return _Opinion(entry.record, None, f"failed: {type(error).__name__}: {error}")
    if guess is None:
        return _Opinion(entry.record, None, "")
    if not isinstance(guess, Guess) or not 0 <= guess.confidence <= 1:
        fault = f"broke the contract: returned {guess!r}, not a Guess with a confidence of 0 to 1"
        return _Opinion(entry.record, None, fault)
    reason = f"{guess.framework} with confidence {guess.confidence:g}: {guess.reason}"
    return _Opinion(entry.record, guess if guess.confidence > 0 else None, reason)


def _message(
    source: Any, winners: int, opinions: Sequence[_Opinion], loaded: Sequence[Loaded]
) -> str:
    received = repr(source) if isinstance(source, str) else _described(source)
    lines = [
        f"{received}: {winners} plugins are equally sure that this model is theirs"
        if winners
        else f"{received}: no installed plugin knows this model"
    ]
    lines += [f"  {entry.plugin.title}: {entry.reason}" for entry in opinions if entry.reason]
    lines += [f"  {entry.record.fault}" for entry in loaded if entry.record.is_broken]
    frameworks = sorted(
        {name for entry in loaded for name in entry.record.offers.get("adaptor", ())}
    )
    lines.append(
        f"Name it: model.framework is one of {', '.join(frameworks) or '(none installed)'}."
    )
    package = package_of_model(source)
    if package is not None and not winners:
        if any(same_name(package, entry.record.distribution) for entry in loaded):
            lines.append(f"{package} is installed, but takes models in other forms: see its README")
        else:
            lines.append(f"Models of this kind need {package}{how_to_get(package)}")
    return "\n".join(lines)


def _described(source: Any) -> str:
    if hasattr(source, "__fspath__"):
        return repr(str(source))
    return f"an object of {type(source).__module__}.{type(source).__qualname__}"
