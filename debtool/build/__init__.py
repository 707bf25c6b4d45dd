"""What needs a system of its own: isolated compilation of what the index has no wheel for, and throwaway roots.

Hands out `build_sdist` and `build_companion`; `RootImage`, and `Root` to run things in.
"""
