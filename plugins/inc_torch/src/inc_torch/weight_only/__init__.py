"""Weight-only quantization: RTN, GPTQ, AWQ, HQQ, layer by layer."""
