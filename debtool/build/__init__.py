"""Isolated compilation of what the index has no wheel for: sdists and companions.

Hands out `build_sdist` and `build_companion`.
"""
