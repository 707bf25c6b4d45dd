"""``dataclass`` for a program that must start at once.

The standard module takes about 11 ms to load, as long as Python itself takes to start. What it checks at run time the
type checker checks here, which sees the standard one.
"""

# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202
# The type checker does not read what stands here for the standard module.
from __future__ import annotations

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, slots, frozen=False):  # noqa: ARG001 -- every class has slots
        """Return a decorator that gives a class slots, ``__init__``, ``__eq__`` and, if frozen, ``__hash__``."""
        return lambda plain: _with_values(plain, frozen=frozen)

    def _with_values(plain, *, frozen):
        names = tuple(plain.__annotations__)
        defaults = {name: vars(plain)[name] for name in names if name in vars(plain)}

        def init(self, *values, **more) -> None:
            given = {**dict(zip(names, values, strict=False)), **more}
            if len(given) != len(values) + len(more) or defaults.keys() | given.keys() != set(names):
                raise TypeError(f"{plain.__name__} takes {', '.join(names)}")
            for name, value in {**defaults, **given}.items():
                setattr(self, name, value)

        def content(self):
            return tuple(getattr(self, name) for name in names)

        def equal(self, other):
            return content(self) == content(other) if type(self) is type(other) else NotImplemented

        body = {name: value for name, value in vars(plain).items() if name not in {*names, "__dict__", "__weakref__"}}
        body |= {"__slots__": names, "__init__": init, "__eq__": equal}
        body["__hash__"] = (lambda self: hash(content(self))) if frozen else None
        return type(plain.__name__, plain.__bases__, body)


__all__ = ["dataclass"]
