"""The opt-in backend: inc's own operators in ONNX Runtime, switched on by the recipe ``native_kernels``.

Without it the output is a standard ONNX model. With it, products whose weight is constant become
``ai.inc`` operators: faster decoding with 4-bit weights, and dynamic int8 with a scale per row. Such a model
runs only in sessions that have registered the library (``library.register``).
"""
