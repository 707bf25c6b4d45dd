"""PyTorch's own settings and checks, and those of what is compiled against it, on top of build/.

Hands out, from its modules: `settings` (what is set, and why), `reads` (what a source tree reads), `guide`.
"""
