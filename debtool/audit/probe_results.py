"""What two runs of the same things say of the CPU: native replies against emulated ones."""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, Any

from debtool.audit.gate import ProbeResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from debtool.audit.emulate import Reply
    from debtool.audit.gate import Fault

_SHOWN = 60


def judge(
    task: str,
    native: Reply | None,
    emulated: Reply | None,
    *,
    tolerance: float,
    refusal: str | None,
    fault_of: Callable[[int], Fault | None],
) -> ProbeResult | str:
    """Return the result of one task, or the reason why it says nothing: it does not work natively.

    Args:
        task: What was to be done.
        native: What became of it natively, None if nothing did: what it needs had failed before.
        emulated: What became of it in emulation.
        tolerance: How far apart numbers may be.
        refusal: The exception by which the package says that this CPU cannot do it, if there is one.
        fault_of: Gives the fault that ended a process.
    """
    name = task.removeprefix("probe ")
    if emulated is not None and emulated.status == -signal.SIGILL:
        fault = fault_of(emulated.pid)
        if fault is not None:
            place = fault.name or fault.library or "generated code"
            return ProbeResult(name, "sigill", f"{fault.text} in {place}", fault)
        if native is not None and native.status != emulated.status:
            return ProbeResult(name, "sigill", "nothing is known of the place: is it a static program?")
    if native is None or not native.done:
        return "not tried" if native is None else f"natively: {_ended(native)}"
    if emulated is None:
        return "not reached in emulation: what it needs had failed before"
    return _compare(name, native, emulated, tolerance, refusal)


def _compare(name: str, native: Reply, emulated: Reply, tolerance: float, refusal: str | None) -> ProbeResult:
    """Return the result of what was done natively, and in emulation somehow."""
    if emulated.timeout:
        return ProbeResult(name, "timeout", "took too long; natively it did not")
    if emulated.error and emulated.error == refusal:
        return ProbeResult(name, "refused", f"{emulated.error}: {emulated.text}")
    if not emulated.done:
        return ProbeResult(name, "error", f"{_ended(emulated)}; natively it works")
    where = difference(native.value, emulated.value, tolerance)
    return ProbeResult(name, "differs", where) if where else ProbeResult(name, "same")


def difference(native: Any, emulated: Any, tolerance: float, place: str = "") -> str:
    """Return where and how two values differ by more than ``tolerance``, empty if they do not.

    Numbers may be apart by ``tolerance`` times the larger one, or by ``tolerance`` near zero; NaN is NaN.
    """
    if isinstance(native, dict) and isinstance(emulated, dict) and native.keys() == emulated.keys():
        return next(filter(None, (difference(native[k], emulated[k], tolerance, f"{place}.{k}") for k in native)), "")
    if isinstance(native, list) and isinstance(emulated, list) and len(native) == len(emulated):
        pairs = enumerate(zip(native, emulated, strict=True))
        return next(filter(None, (difference(a, b, tolerance, f"{place}[{i}]") for i, (a, b) in pairs)), "")
    if _are_numbers(native, emulated) and float in (type(native), type(emulated)):
        both_nan = math.isnan(native) and math.isnan(emulated)
        same = both_nan or math.isclose(native, emulated, rel_tol=tolerance, abs_tol=tolerance)
    else:
        same = type(native) is type(emulated) and native == emulated
    return "" if same else f"{place or 'value'}: natively {_short(native)}, here {_short(emulated)}"


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _ended(reply: Reply) -> str:
    """Return in words how something ended that did not end well."""
    if reply.timeout:
        return "took too long"
    if reply.error:
        return f"{reply.error}: {reply.text}" if reply.text else reply.error
    status = reply.status or 0
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
