"""The patch engine: keeps one function-level patch of one distribution in every copy of it that a machine has.

Stdlib only, Python 3.10 to 3.14; it is copied into packages and runs there under the name ``patcher``, so it imports
itself relatively and nothing else of debtool. What it patches is data: a ``patch.json`` beside it (``recipe``).
``main.run`` is the program.
"""
