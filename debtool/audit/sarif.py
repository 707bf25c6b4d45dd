"""Audits as SARIF 2.1.0, the format of static analysis results (OASIS, "sarif-v2.1.0-os")."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from debtool import __version__
from debtool.audit.findings import SAFE
from debtool.audit.rules import explain
from debtool.audit.summary import KINDS, LEVELS, by_feature, groups, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from debtool.audit.findings import FileAudit, Finding, PackageAudit
    from debtool.audit.rules import Rules
    from debtool.audit.summary import Group, Tally

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_CONTAINERS = (".whl", ".deb")
_FINGERPRINT = "fileAndFunction/v1"


def sarif(audits: Sequence[PackageAudit], rules: Rules) -> dict[str, Any]:
    """Return ``audits``, all against one baseline, as a SARIF log of one run; the same audits give the same log.

    What may be executed on the baseline is an error for each function. What is safe is one note for each file and
    rule. Addresses are the ELF file's virtual ones, relative to where it is loaded.
    """
    run = _Run(rules)
    for audit in audits:
        run.add(audit)
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "debtool audit isa",
                        "version": __version__,
                        "rules": [_descriptor(group, rules) for group in run.groups.values()],
                    }
                },
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": run.notifications}],
                "artifacts": run.artifacts,
                "addresses": run.addresses,
                "results": run.results,
                "properties": {
                    "subjects": [
                        {
                            "name": audit.subject,
                            "baseline": audit.baseline,
                            "level": audit.level.value,
                            "promise": LEVELS[audit.level],
                            "rules": audit.rules,
                        }
                        for audit in audits
                    ]
                },
            }
        ],
    }


class _Run:
    """The lists of a run, which refer to each other by position."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.groups: dict[str, Group] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.addresses: list[dict[str, Any]] = []
        self.notifications: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []

    def add(self, audit: PackageAudit) -> None:
        parent = None
        if audit.subject.endswith(_CONTAINERS):
            parent = len(self.artifacts)
            artifact: dict[str, Any] = {"location": {"uri": _quoted(audit.subject)}}
            if audit.sha256:
                artifact["hashes"] = {"sha-256": audit.sha256}
            self.artifacts.append(artifact)
        for file in audit.files:
            self._add_file(file, audit, parent)

    def _add_file(self, file: FileAudit, audit: PackageAudit, parent: int | None) -> None:
        index = len(self.artifacts)
        location = {"uri": _uri(file.path, audit.subject, nested=parent is not None), "index": index}
        artifact: dict[str, Any] = {
            "location": location,
            "length": file.size,
            "hashes": {"sha-256": file.sha256},
            "properties": {"level": verdict(file), "codeBytes": file.code},
        }
        if parent is not None:
            artifact["parentIndex"] = parent
        self.artifacts.append(artifact)
        if file.note:
            self.notifications.append(
                {
                    "level": "error" if file.damaged else "note",
                    "message": {"text": _literal(f"not audited: {file.note}")},
                    "locations": [{"physicalLocation": {"artifactLocation": location}}],
                }
            )
        module = len(self.addresses)
        self.addresses.append({"kind": "module", "fullyQualifiedName": file.path})
        seen: Counter[str] = Counter()
        for group in groups(file.findings):
            rule = f"{group.kind.value}/{group.rule}"
            self.groups.setdefault(rule, group)
            common = {"ruleId": rule, "ruleIndex": list(self.groups).index(rule)}
            if group.kind in SAFE:
                self.results.append(common | self._note(group, file, location, audit.baseline))
                continue
            reason = explain(group.rule, self._rules).reason
            for finding in group.findings:
                result = common | _error(finding, location, module, audit.baseline, reason)
                identity = f"{file.path}\0{finding.unit}\0{finding.symbol or hex(finding.address)}\0{finding.kind}"
                seen[identity] += 1
                result["partialFingerprints"] = {_FINGERPRINT: _hash(f"{identity}\0{seen[identity]}")}
                self.results.append(result)

    def _note(self, group: Group, file: FileAudit, location: Mapping[str, Any], baseline: str) -> dict[str, Any]:
        reason = explain(group.rule, self._rules).reason
        text = f"{_amount(group.tally, group.features)} beyond {baseline}: {reason}"
        return {
            "level": "note",
            "message": {"text": _literal(text)},
            "locations": [{"physicalLocation": {"artifactLocation": location}}],
            "partialFingerprints": {_FINGERPRINT: _hash(f"{file.path}\0{group.kind}\0{group.rule}")},
            "properties": _counts(group.tally, group.features),
        }


def _error(finding: Finding, location: Mapping[str, Any], module: int, baseline: str, reason: str) -> dict[str, Any]:
    first = finding.features[0]
    name = finding.name or f"the code at {finding.address:#x}"
    text = f"{name}: {finding.count} instructions beyond {baseline}, at {first.address:#x} {first.text}: {reason}"
    address = {
        "parentIndex": module,
        "kind": "instruction",
        "name": first.text,
        "relativeAddress": first.address,
        "offsetFromParent": first.address,
    }
    where: dict[str, Any] = {"physicalLocation": {"artifactLocation": location, "address": address}}
    if finding.symbol:
        where["logicalLocations"] = [
            {"kind": "function", "fullyQualifiedName": finding.name, "decoratedName": finding.symbol}
        ]
    result = {
        "level": "error",
        "message": {"text": _literal(text)},
        "locations": [where],
        "properties": {
            **_counts(None, by_feature([finding])),
            "unit": finding.unit,
            "section": finding.section,
            "binding": finding.binding,
            "exported": finding.exported,
            "code": first.code,
        },
    }
    if finding.path:
        steps = [{"location": {"logicalLocations": [{"fullyQualifiedName": step}]}} for step in finding.path]
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return result


def _descriptor(group: Group, rules: Rules) -> dict[str, Any]:
    why = explain(group.rule, rules)
    text = f"{KINDS[group.kind]}. {why.reason} (source: {why.source})"
    return {
        "id": f"{group.kind.value}/{group.rule}",
        "shortDescription": {"text": _literal(f"{group.kind.value}: {KINDS[group.kind]}")},
        "fullDescription": {"text": _literal(why.reason)},
        "help": {"text": _literal(text)},
        "defaultConfiguration": {"level": "note" if group.kind in SAFE else "error"},
    }


def _uri(path: str, subject: str, *, nested: bool) -> str:
    """Return a file's URI: in a container it is absolute (SARIF 3.24.3), else it leads there from where the user was.

    >>> _uri("torch/lib/a b.so", "torch.whl", nested=True), _uri("a.so", "/opt/rocm/lib", nested=False)
    ('/torch/lib/a%20b.so', '/opt/rocm/lib/a.so')
    """
    if nested:
        return _quoted("/" + path.lstrip("/"))
    return _quoted(subject if PurePath(subject).name == path else str(PurePath(subject, path)))


def _quoted(path: str) -> str:
    # A file's name may be no UTF-8; Python keeps such bytes as surrogates.
    return quote(path, errors="surrogateescape")


def _literal(text: str) -> str:
    r"""Return ``text`` as a message that means itself: without placeholders (SARIF 3.11.5) and links (3.11.6).

    >>> _literal("operator[](int)::{lambda()#1}")
    'operator\\[\\](int)::{{lambda()#1}}'
    """
    return text.translate({ord("{"): "{{", ord("}"): "}}", ord("["): "\\[", ord("]"): "\\]"})


def _amount(tally: Tally, features: Mapping[str, Tally]) -> str:
    return f"{tally.functions} functions with {tally.instructions} instructions ({', '.join(features)})"


def _counts(tally: Tally | None, features: Mapping[str, Tally]) -> dict[str, Any]:
    counts: dict[str, Any] = {"features": {name: one.instructions for name, one in features.items()}}
    return counts if tally is None else {**counts, "functions": tally.functions, "instructions": tally.instructions}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
