"""Static int8: an exported graph is lowered to fused, prepacked oneDNN ops."""
