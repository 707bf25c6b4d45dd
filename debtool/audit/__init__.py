"""What a binary may execute: every instruction held against a CPU baseline, by reading it and by running it.

Hands out `find_baseline`, `load_rules`, the static audit and the emulated gate.
"""
