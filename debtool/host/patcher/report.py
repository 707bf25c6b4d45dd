"""What the program prints: a line a copy, or one JSON object."""

from __future__ import annotations

import json
import sys
import time

from .findings import OURS
from .recipe import SCHEMA

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .findings import Finding
    from .recipe import Recipe


def as_json(recipe: Recipe, command: str, findings: Sequence[Finding], failures: Sequence[dict[str, Any]]) -> None:
    """Print one JSON object."""
    copies = [finding.content() for finding in findings]
    content = {"schema": SCHEMA, "package": recipe.package, "command": command, "copies": copies}
    print(json.dumps({**content, "failures": list(failures)}, indent=2))


def as_text(recipe: Recipe, command: str, findings: Sequence[Finding], failures: Sequence[dict[str, Any]]) -> None:
    """Print a line a copy, what is not well to standard error; ``status`` and ``verify`` go into details."""
    for finding in findings:
        stream = sys.stdout if finding.good else sys.stderr
        version = f" ({recipe.distribution} {finding.version})" if finding.version else ""
        print(f"{finding.state}: {finding.path}{version}: {finding.reason}", file=stream)
        if command in {"status", "verify", "list"}:
            for line in _details(finding):
                print(f"    {line}", file=stream)
        elif finding.fix:
            print(f"    fix: {finding.fix}", file=stream)
    for failure in failures:
        print(f"earlier failure: {failure['path']}: {failure['reason']} (record: {failure['record']})", file=sys.stderr)
    if not findings and not failures:
        print("no copy is recorded or configured")


def _details(finding: Finding) -> list[str]:
    lines = []
    if finding.affected is not None:
        lines.append("affected: yes" if finding.affected else "affected: no")
    if finding.affected is not False and finding.needed_why:
        lines.append(finding.needed_why)
    if finding.by:
        lines.append(f"made to behave by {finding.by}" + (f", level {finding.level}" if finding.level else ""))
    if finding.verified:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(finding.verified_time))
        lines.append(f"verified: {finding.verified}, {when}")
    if finding.unverified:
        lines.append(f"not verified {finding.unverified}")
    if finding.by == OURS and finding.pristine_sha256 is None:
        lines.append("not recorded: apply records it")
    if finding.prevention:
        lines.append(f"prevention {finding.prevention}")
    if finding.origin:
        lines.append(f"known from {finding.origin}")
    if finding.fix:
        lines.append(f"fix: {finding.fix}")
    return lines
