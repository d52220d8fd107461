"""A digest of a model that is equal only for equal graphs and weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

__all__ = ["model_digest"]

_BLOCK_BYTES = 1 << 20


def model_digest(proto: onnx.ModelProto, folder: Path | None) -> str:
    """Return a SHA-256 of a model, its external data files included.

    Tensors are hashed one by one, so that no message of more than 2 GB is ever written.
    """
    digest = hashlib.sha256()
    graph = proto.graph
    for part in (*proto.opset_import, *proto.functions, *graph.input, *graph.output, *graph.node):
        digest.update(part.SerializeToString(deterministic=True))
    locations: set[str] = set()
    for tensor in graph.initializer:
        digest.update(tensor.SerializeToString(deterministic=True))
        locations.update(e.value for e in tensor.external_data if e.key == "location")
    for location in sorted(locations):
        with ((folder or Path()) / location).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
