"""Cheese Grater: huge Python wheels and an application tree as Debian packages in a signed apt archive."""

from __future__ import annotations

__version__ = "0.1.0"
