"""The ledger: why each op is as it is. Every narrowing of a choice leaves one ``Decision``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inc_core.quant.spec import OpConfig, OpKey

__all__ = ["Decision"]


@dataclass(frozen=True)
class Decision:
    """One reason why an op runs as it does.

    Attributes:
        op: Which op.
        config: The config that the decision left or chose; ``None`` if it only removed options.
        reason: In words for the user.
        by: Who decided: ``"adaptor"``, ``"user"``, ``"strategy"``, ``"runtime"``, ...
    """

    op: OpKey
    config: OpConfig | None
    reason: str
    by: str

    def to_json(self) -> dict[str, Any]:
        """Return the decision as plain values."""
        return {
            "op": list(self.op),
            "config": None if self.config is None else self.config.to_json(),
            "reason": self.reason,
            "by": self.by,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Decision:
        """Inverse of ``to_json``."""
        config = fields["config"]
        return cls(
            op=OpKey(*fields["op"]),
            config=None if config is None else OpConfig.from_json(config),
            reason=fields["reason"],
            by=fields["by"],
        )
