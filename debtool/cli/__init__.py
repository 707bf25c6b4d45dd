"""The command line: one module a noun. The only room that prints, and the only one that reads argv or the environment."""
