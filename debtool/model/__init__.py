"""Value types without I/O: errors, names, versions, relations, targets and stacks.

Everything above is built from these; they import nothing of debtool.
"""
