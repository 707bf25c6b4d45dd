from __future__ import annotations

from debtool.deb.lintian import override_rules, overrides


def test_overrides_have_their_reasons() -> None:
    text = overrides("x-python3-y", {"elf", "bytecode"})
    assert "x-python3-y: unstripped-binary-or-object\n" in text
    assert "x-python3-y: package-installs-python-pycache-dir\n" in text
    for block in text.split("\n\n"):
        *reason, override = block.strip().splitlines()
        assert reason
        assert all(line.startswith("# ") for line in reason)
        assert override.startswith("x-python3-y: ")
    assert overrides("x-python3-y", ()) == ""


def test_no_tag_is_overridden_that_must_never_be() -> None:
    rules = override_rules()
    assert all(rules.may_override(tag.partition(" ")[0]) for tags in rules.tags.values() for tag in tags)
    for tag in (
        "binary-from-other-architecture",
        "no-copyright-file",
        "license-problem-json-evil",
        "dir-or-file-in-opt",
    ):
        assert not rules.may_override(tag)
