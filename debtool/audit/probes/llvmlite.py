"""llvmlite: compiling a function and calling it."""

from __future__ import annotations

import ctypes
from typing import Any

from llvmlite import binding, ir


def compiled() -> Any:
    """A product of two doubles, optimised for the CPU that LLVM finds."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    double = ir.DoubleType()
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(double, [double, double]), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    a, b = function.args
    builder.ret(builder.fadd(builder.fmul(a, b), a))
    parsed = binding.parse_assembly(str(module))
    machine = binding.Target.from_default_triple().create_target_machine(cpu=binding.get_host_cpu_name(), opt=3)
    with binding.create_mcjit_compiler(parsed, machine) as engine:
        engine.finalize_object()
        f = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)(engine.get_function_address("f"))
        return [f(3.5, 2.0), f(-1.25, 4.0)]
