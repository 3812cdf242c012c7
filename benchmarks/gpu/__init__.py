"""`make gpu-check`: the GPU path, checked and measured on the GPU at hand.

The parts run one after the other, each in a process of its own, so that one that crashes or hangs
loses nothing of the others. `benchmarks/results/gpu_<name>.json` is written again after each.
"""
