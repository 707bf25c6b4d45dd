"""What a stack says of a torch that is built from source, and of a torchvision that is compiled against it."""

# The beginning of [requirements], and the tables that follow it. The last one is the companion's: what is added after
# this is said of it. Its source is beside the stack's file (`torch_tree.make_vision_tree`).
REQUIREMENTS = """\
direct = ["torch", "torchvision"]

[[artefact]]
name = "torch"
version = "2.6.0+cpu.noavx"
kind = "build"
targets = ["bookworm"]

[[artefact]]
name = "torchvision"
version = "0.21.0"
kind = "companion"
against = "torch"
targets = ["bookworm"]
requires = ["torch"]
build_requires = ["setuptools", "wheel"]
source = { path = "vision" }
"""
