"""The apt archive: pool, index, suites, Release and signatures.

Hands out `Archive`; how it keeps its state is its own business.
"""
