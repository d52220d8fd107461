"""Quantization-aware training, and access to weights for pruning."""
