"""``sctd bench``: measures the program on this machine; results are checked before they are timed.

Every number is a row (:mod:`sctd.bench.report`) that carries its machine, versions, threads and raw repeats.
Figures of a CPU, of the emulated CUDA kernels (counts, never times) and of a GPU stay apart.
"""
