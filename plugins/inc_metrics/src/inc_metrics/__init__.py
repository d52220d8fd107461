"""Metrics in numpy: right over uneven batches, the same for every framework.

One file per idea: ``topk``, ``accuracy``, ``f1``, ``regression``, ``loss`` hold the metrics; ``shapes``
and ``answers`` read what models and loaders give; ``running_mean`` adds up.
"""
