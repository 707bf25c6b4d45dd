"""What setup.py calls, and what CMake is called with."""
