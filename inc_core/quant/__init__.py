"""Quantization mathematics in numpy: what a quantized tensor is, and how its numbers are chosen."""
