"""The command line, one module a noun: the only room that prints, and that reads argv or the environment."""
