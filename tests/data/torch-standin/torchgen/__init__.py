"""The stand-in's code generator."""
