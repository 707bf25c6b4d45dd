"""Recipes, the plan of a release (what would be built and why) and its making.

Hands out `plan_release` and `make_release`.
"""
