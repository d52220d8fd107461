"""Checkpoints of weight-only models as other tools read them: GPTQ and compressed-tensors."""

from __future__ import annotations

from inc_torch.formats.export import export_checkpoint
from inc_torch.formats.layer import StoredLayer
from inc_torch.formats.write import FORMATS, write_checkpoint

__all__ = ["FORMATS", "StoredLayer", "export_checkpoint", "write_checkpoint"]
