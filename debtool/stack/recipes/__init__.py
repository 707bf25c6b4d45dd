"""One module a recipe: how one kind of package of a stack is made.

`drafts` turns the packages of a stack file into drafts; a new recipe registers itself in `RECIPES`.
"""
