"""ONNX Runtime for inc: static, dynamic and weight-only quantization of ONNX models."""

__version__ = "0.1.0"
