"""Audit wheels, packages and files, and print the table of verdicts for docs/audit.md.

python benchmarks/verdicts.py [--cpu westmere] PATH…
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

from debtool.audit.baselines import find_baseline
from debtool.audit.findings import SAFE, Kind
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", default="westmere")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "debtool")
    parser.add_argument("paths", nargs="+", type=Path)
    options = parser.parse_args()
    audits = audit_paths(
        options.paths, find_baseline(options.cpu), load_rules(), cache=options.cache, jobs=os.cpu_count() or 1
    )
    print("| package | ELF files | instructions | verdict | not safe | dispatched, by rule |")
    print("|---|---:|---:|---|---|---|")
    for audit in sorted(audits, key=lambda one: Path(one.subject).name.lower()):
        findings = [finding for file in audit.files for finding in file.findings]
        if not any(file.instructions for file in audit.files):
            continue
        unsafe = Counter(one.kind.value for one in findings if one.kind not in SAFE)
        rules = Counter(one.rule for one in findings if one.kind is Kind.DISPATCHED)
        name, _, rest = Path(audit.subject).name.partition("-")
        print(
            f"| {name} {rest.partition('-')[0]}",
            len(audit.files),
            f"{sum(file.instructions for file in audit.files):,}",
            audit.level.value,
            ", ".join(f"{number} {kind}" for kind, number in unsafe.most_common()) or "none",
            ", ".join(f"{rule} {number:,}" for rule, number in rules.most_common()) or "none",
            sep=" | ",
            end=" |\n",
        )


if __name__ == "__main__":
    main()
