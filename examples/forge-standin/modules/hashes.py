"""Checkpoint hashes, kept in cache/hashes.json: hashing gigabytes at every start would take minutes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from modules.paths import cache_path, write_text


def model_hash(checkpoint: Path) -> str:
    """The first ten digits of the file's SHA-256; read from the cache while size and mtime are unchanged."""
    file = cache_path / "hashes.json"
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    status = checkpoint.stat()
    key, stamp = checkpoint.name, [status.st_size, status.st_mtime_ns]
    if known.get(key, {}).get("stamp") != stamp:
        with checkpoint.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        known[key] = {"stamp": stamp, "sha256": digest}
        write_text(file, json.dumps(known, indent=4))
    return known[key]["sha256"][:10]
