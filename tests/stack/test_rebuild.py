"""A wheel of the lock compiled from its sdist: built, audited, put in the stack's place, released."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.audit.baselines import find_baseline
from debtool.deb.reader import read_control
from debtool.model.errors import FindingsError, InputError
from debtool.stack.project import open_project
from debtool.stack.rebuild import carry_out, plan_rebuild
from tests.support.drafts import Notes
from tests.support.native import AVX2, PLAIN, add_gamma

if TYPE_CHECKING:
    from typing import Any

    from debtool.stack.rebuild import RebuildPlan, Rebuilt
    from tests.support.workshops import Workshop

pytestmark = pytest.mark.slow


PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# Compiles native.c as it is told by the environment and packs it; the setting "plain" leaves AVX2 out.
BACKEND = """
import base64, hashlib, os, subprocess, zipfile

METADATA = b"Metadata-Version: 2.1\\nName: gamma\\nVersion: 3.0\\n"

def prepare_metadata_for_build_wheel(folder, settings=None):
    os.mkdir(os.path.join(folder, "gamma-3.0.dist-info"))
    open(os.path.join(folder, "gamma-3.0.dist-info/METADATA"), "wb").write(METADATA)
    return "gamma-3.0.dist-info"

def build_wheel(folder, settings=None, metadata=None):
    flags = [*os.environ["CFLAGS"].split(), *(["-DPLAIN"] if (settings or {}).get("plain") == "yes" else [])]
    subprocess.run(["cc", *flags, "-nostdlib", "-shared", "-fPIC", "-o", "native.so", "native.c"], check=True)
    info = "gamma-3.0.dist-info"
    files = {
        "gamma/__init__.py": b"",
        f"{info}/METADATA": METADATA,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: py3-none-linux_x86_64\\n",
    }
    if not os.path.exists("pure"):
        files["gamma/native.so"] = open("native.so", "rb").read()
    record = ""
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\\n"
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\\n").encode()
    name = "gamma-3.0-py3-none-linux_x86_64.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return name
"""
# Built for whatever CPU the compiler is told of; `check` shows that it was told.
NATIVE_C = f"""\
#ifndef __SSE4_2__
#error "not compiled for Westmere"
#endif
#ifdef __AVX__
#error "compiled for more than Westmere"
#endif
{PLAIN}
"""


@pytest.fixture
def stack(workshop: Workshop) -> Workshop:
    """A stack with a baseline whose wheel of gamma executes AVX2; its sdist is in the index too."""
    add_gamma(workshop, AVX2)
    sdist(workshop)
    return workshop


def sdist(workshop: Workshop, native: str = NATIVE_C, **more: str) -> None:
    files = {"pyproject.toml": PYPROJECT, "backend.py": BACKEND, "native.c": native, **more}
    workshop.wheels.sdist("gamma", "3.0", files)


def plan(stack: Workshop, name: str = "gamma", cpu: str = "westmere", **options: Any) -> RebuildPlan:
    project = open_project(stack.folder / "stack.toml")
    cache = stack.folder / "cache"
    return plan_rebuild(project, project.target("here"), name, find_baseline(cpu), cache=cache, **options)


def rebuild(stack: Workshop, **options: Any) -> Rebuilt:
    return carry_out(plan(stack, **options), cache=stack.folder / "cache", jobs=1, watcher=Notes())


def written(stack: Workshop) -> tuple[bytes, bytes]:
    return (stack.folder / "stack.toml").read_bytes(), (stack.folder / "locks/acme.here.txt").read_bytes()


def lock_line(stack: Workshop) -> str:
    lines = (stack.folder / "locks/acme.here.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith("gamma=="))


def test_a_refused_wheel_is_rebuilt_and_released_in_its_place(stack: Workshop) -> None:
    with pytest.raises(FindingsError, match="wheel rebuild gamma --cpu westmere --target here"):
        stack.release()
    before, _ = written(stack)
    done = rebuild(stack)
    assert done.audit.level == "free"
    assert [path.name for path in done.written] == ["stack.toml", "acme.here.txt"]
    after, _ = written(stack)
    assert after.startswith(before)
    assert lock_line(stack).endswith("# sdist gamma-3.0.tar.gz cpu=westmere")
    released = stack.release()
    assert released.plan.refusals == ()
    control = read_control(stack.debs()["acme-python3-gamma"])
    assert control["Debtool-Isa-Audit"] == "westmere free"

    # Nothing is compiled again, nothing written again, and a lock that is made anew says the same.
    kept = written(stack)
    assert not stack.release().publication.switched
    assert stack.notes.stages == []
    again = rebuild(stack)
    assert (again.wheel.reused, again.written) == (True, ())
    stack.lock()
    assert written(stack) == kept


def test_what_still_executes_more_is_told_and_nothing_is_put_in_place(stack: Workshop) -> None:
    sdist(stack, f"#ifdef PLAIN\n{PLAIN}\n#else\n{AVX2}\n#endif\n")
    before = written(stack)
    with pytest.raises(FindingsError, match=r"still contains some .*: unguarded add_eight in gamma/native\.so"):
        rebuild(stack)
    assert written(stack) == before
    rebuild(stack, settings={"plain": "yes"}, reason='its setting "plain"')
    assert b'settings = { "plain" = "yes" }\nreason = "its setting \\"plain\\""\n' in written(stack)[0]
    assert stack.release().plan.refusals == ()


def test_a_build_that_leaves_out_what_is_compiled_is_no_rebuild(stack: Workshop) -> None:
    sdist(stack, pure="")
    before = written(stack)
    with pytest.raises(FindingsError, match=r"left out what the index's wheel has compiled; fix: read .*build\.log"):
        rebuild(stack)
    assert written(stack) == before


def test_a_plan_writes_nothing(stack: Workshop) -> None:
    before = written(stack)
    planned = plan(stack)
    assert set(planned.changes) == {stack.folder / "stack.toml", stack.folder / "locks/acme.here.txt"}
    assert planned.table.startswith('[[rebuild]]\nwheel = "gamma"\ncpu = "westmere"\ntargets = ["here"]\n')
    assert written(stack) == before
    assert not (stack.folder / "cache/built").exists()


@pytest.mark.parametrize(
    ("edit", "kept"),
    [
        (lambda text: text.removesuffix("\n"), True),
        (lambda text: text.replace("\n", "\r\n"), True),
        (lambda text: f"{text}# the end\n\n\n", True),
        (lambda text: text.replace("[requirements]", "rebuild = []\n[requirements]"), False),
    ],
)
def test_every_byte_of_the_stack_file_stays_or_it_is_refused(stack: Workshop, edit: Any, kept: bool) -> None:  # noqa: FBT001
    file = stack.folder / "stack.toml"
    file.write_bytes(edit(file.read_text()).encode())
    file.chmod(0o640)
    before, lock = written(stack)
    if kept:
        rebuild(stack)
        assert written(stack)[0].startswith(before)
        assert b"\r\n" not in before or b"\n" not in written(stack)[0].replace(b"\r\n", b"")
        assert file.stat().st_mode & 0o777 == 0o640
        open_project(file)
    else:
        with pytest.raises(InputError, match=r"cannot be added to without changing what it says; fix: write this"):
            rebuild(stack)
        assert written(stack) == (before, lock)


def test_killed_between_its_two_files_a_release_says_what_to_do(stack: Workshop) -> None:
    planned = plan(stack)
    (stack.folder / "stack.toml").write_bytes(planned.text)
    with pytest.raises(
        InputError, match=r"was made from other requirements than the stack has now; fix: debtool .* lock"
    ):
        stack.release()
    stack.lock()
    assert lock_line(stack) == str(planned.new)


def test_a_stack_that_was_changed_meanwhile_is_left_alone(stack: Workshop) -> None:
    planned = plan(stack)
    stack.change('title = "Acme\'s tools"', 'title = "Other"')
    before = written(stack)
    with pytest.raises(InputError, match="was changed meanwhile"):
        carry_out(planned, cache=stack.folder / "cache", jobs=1, watcher=Notes())
    assert written(stack) == before


def test_what_cannot_be_rebuilt_is_told(stack: Workshop) -> None:
    with pytest.raises(InputError, match=r"acme\.here\.txt: delta: is no distribution of the lock"):
        plan(stack, "delta")
    with pytest.raises(InputError, match=r"offers no sdist of beta 0\.5"):
        plan(stack, "beta")
    with pytest.raises(InputError, match="sandybridge has what the stack's baseline westmere lacks: AVX"):
        plan(stack, cpu="sandybridge")
    rebuild(stack)
    with pytest.raises(InputError, match="gamma is rebuilt in another way already"):
        plan(stack, cpu="nehalem")


def test_a_rebuild_of_what_nothing_requires_any_more_is_told(stack: Workshop) -> None:
    rebuild(stack)
    stack.change('"gamma"]', "]")
    with pytest.raises(InputError, match="rebuild gamma: nothing requires gamma for here; fix: take this"):
        stack.lock()


def test_the_baseline_of_a_rebuild_is_checked(stack: Workshop) -> None:
    rebuild(stack)
    text = (stack.folder / "stack.toml").read_text()
    (stack.folder / "stack.toml").write_text(text.replace('cpu = "westmere"', 'cpu = "westmeer"'))
    stack.lock()
    with pytest.raises(InputError, match=r"stack\.toml:[0-9]+: cpu: there is no CPU baseline called 'westmeer'"):
        stack.release()
