from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from debtool.audit.baselines import find_baseline
from debtool.audit.findings import Kind, PackageAudit
from debtool.audit.page import audit_page
from tests.support.audits import HOSTILE, RULES, file_audit, finding, package_audit

VOID = {"meta", "br"}


class Page(HTMLParser):
    """What a browser would make of a page: its elements, which must be closed in order, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def classes(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]


def page_of(*audits: PackageAudit) -> bytes:
    return audit_page(audits or (package_audit(),), find_baseline("westmere"), RULES)


def test_the_page_names_levels_rules_and_places() -> None:
    page = Page(page_of())
    for text in (
        "Intel Westmere",
        "x-1.0-py3-none-any.whl",
        "a dispatcher chooses by cpuinfo",
        "DispatchStub.cpp",
        "0x1010: c5fa1007",
        "a::entry() → a::f()",
        "1 more file is",
        "x/arm.so: for AArch64",
    ):
        assert text in " ".join(page.text.replace("\xa0", " ").split()), text
    # Of what is free there is one line; what was not audited has no level.
    files = [attributes for tag, attributes in page.elements if tag == "details" and attributes.get("class") == "file"]
    assert ["open" in attributes for attributes in files] == [True, False, False, False]


def test_of_several_the_worst_comes_first_and_what_has_no_code_last() -> None:
    free = package_audit(file_audit(), subject="w/free.whl")
    none = replace(free, subject="w/none.whl", files=())
    folder = replace(package_audit(), subject="/opt/rocm/lib", sha256="")
    page = Page(page_of(none, free, folder))
    assert re.findall(r"/opt/rocm/lib|free\.whl|none\.whl|w/", page.text) == ["/opt/rocm/lib", "free.whl", "none.whl"]
    assert "1 has no ELF file" in page.text
    assert "1 file is" in page.text


def test_of_a_damaged_file_nothing_is_promised() -> None:
    page = Page(page_of(package_audit(file_audit(), file_audit("y.so", note="damaged: it ends in its header"))))
    assert "y.so: damaged: it ends in its header" in page.text
    assert len(page.classes("unproven")) == 3  # in the legend, of the package, and of what was not audited
    assert "no verdict" not in page.text


def test_every_library_has_a_bar_with_a_share_for_each_class() -> None:
    page = Page(page_of())
    assert [bar["aria-label"] for bar in page.classes("bar")] == [
        "1 import-time, 1 silent, 1 shared-weak, 1 unguarded, 9 dispatched, 1 data of 40 functions",
        "9 dispatched, 1 data of 40 functions",
    ]
    shares = [(i["class"], i["style"]) for tag, i in page.elements if tag == "i"]
    assert shares[-3:] == [
        ("c-clean", "flex:30 1 0"),
        ("c-data some", "flex:1 1 0"),
        ("c-dispatched some", "flex:9 1 0"),
    ]


def test_symbols_are_text_and_nothing_is_loaded_or_run() -> None:
    hostile = finding(
        Kind.UNGUARDED, "builtin.reached", 0, symbol=HOSTILE, name=HOSTILE, unit=HOSTILE, path=(HOSTILE, "f")
    )
    safe = finding(Kind.DISPATCHED, "names", 1, symbol=HOSTILE, name=HOSTILE, unit=HOSTILE)
    data = page_of(package_audit(file_audit(HOSTILE, findings=(hostile, safe)), file_audit("\udcff" + HOSTILE)))
    page = Page(data)
    assert {tag for tag, _ in page.elements} & {"script", "img", "link", "iframe", "svg", "object", "base"} == set()
    loading = {"src", "href", "srcset", "onclick", "onload", "action"}
    assert not [attributes for _, attributes in page.elements if attributes.keys() & loading]
    assert b"url(" not in data
    assert b"@import" not in data
    assert "f<script>alert(1)</script>\"'&\\u202e\\x1b[31m\\n" in page.text
    assert "\u202e" not in page.text
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in page.elements)


def test_a_page_stays_small_whatever_was_found() -> None:
    many = tuple(finding(Kind.DISPATCHED, "units", number) for number in range(30_000))
    data = page_of(package_audit(file_audit(findings=many, functions=40_000)))
    assert len(data) < 100_000
    assert "and 29,950 more" in Page(data).text


def test_the_same_audit_gives_the_same_page() -> None:
    assert page_of() == page_of()
