"""The pieces of ``benchmarks/gpu.py``, one a module, and what runs them."""
