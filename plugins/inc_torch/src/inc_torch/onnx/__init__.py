"""Export to ONNX: static int8 as float ops between QuantizeLinear and DequantizeLinear, all else in float."""

from __future__ import annotations

from inc_torch.onnx.export import export_onnx

__all__ = ["export_onnx"]
