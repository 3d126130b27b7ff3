"""``sctd bench``: what the program costs on this machine, checked before it is timed.

Every number is a row (:mod:`sctd.bench.report`) that carries its machine, versions, threads and raw repeats.
Figures of a CPU, of the emulated CUDA kernels (counts, never times) and of a GPU stay apart.
"""
