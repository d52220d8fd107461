"""Static int8: an exported graph is lowered to fused, prepacked oneDNN ops.

``prepare`` brings a graph into form, ``tensors_of`` says which of its tensors to calibrate, ``lower``
writes the integer graph, and ``StaticModule`` runs it.
"""

from inc_torch.static.config import StaticConfig
from inc_torch.static.lower import lower, tensors_of
from inc_torch.static.module import StaticModule
from inc_torch.static.prepare import prepare

__all__ = ["StaticConfig", "StaticModule", "lower", "prepare", "tensors_of"]
