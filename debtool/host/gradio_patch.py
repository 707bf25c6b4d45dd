#!/usr/bin/python3
"""Keep gradio_client working where JSON schemas are booleans.

pydantic 2.11 and later write ``"additionalProperties": true`` for models that allow extra fields. gradio_client
0.7.0 up to (not including) 1.8.0 expects every schema to be a mapping, so the start page of an application with an
image or a file answers 500. This program inserts guards into ``gradio_client/utils.py``.

What it promises: the functions are located by their syntax tree and the guards spliced in as whole lines, so every
other byte of the file stays (line ends, BOM, encoding); it is all or nothing; a second run changes nothing; a file is
replaced by rename(2) after fsync(2), keeping owner and mode; the result is verified by behaviour in an unprivileged
process before it is put in place. It does not promise that every JSON schema works: recursive references and lists of
types fail as before.

Two kinds of copies: a *plain* one is patched in place. A *diverted* one belongs to a dpkg package whose file is
diverted to another name (dpkg-divert(1)): the patched file is written beside it from that pristine file.

Exit status: 0 nothing to do or done, 1 findings, 2 usage, 3 the system stood in the way. ``apply --trigger`` records
what went wrong and exits 0, because a failing trigger leaves the package half-configured.
"""

# ruff: noqa: PLC0415 -- what only some commands need is imported there: this program runs in every dpkg trigger
from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import stat
import sys
import time
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 1
"""Version of the JSON that this program prints and records."""

MARKER = "cheesegrater-gradio-patch"
FIRST_AFFECTED, FIRST_UNAFFECTED = (0, 7, 0), (1, 8, 0)
LEVELS = ("guide", "full")
OURS = "this program"
FUNCTIONS = GET_TYPE, CONVERT, CONVERT_TOP = "get_type", "_json_schema_to_python_type", "json_schema_to_python_type"

# (name, function, schema, the results that count as right, in lower case: 1.7 writes "dict" where 1.2 wrote "Dict")
GUIDE_CASES = (
    ("additionalProperties: true", CONVERT_TOP, {"type": "object", "additionalProperties": True}, "dict(str, any)"),
    ("additionalProperties: false", CONVERT_TOP, {"type": "object", "additionalProperties": False}, "dict(str, any)"),
    ("anyOf with true", CONVERT_TOP, {"anyOf": [True, {"type": "null"}]}, "any | none"),
    ("array without items", CONVERT_TOP, {"type": "array"}, "list[any]"),
)
FULL_CASES = (
    *GUIDE_CASES,
    ("boolean property", CONVERT_TOP, {"type": "object", "properties": {"x": True}}, "dict(x: any)"),
    ("items: true", CONVERT_TOP, {"type": "array", "items": True}, "list[any]"),
    ("top-level true", CONVERT_TOP, True, "any"),
    ("top-level false", CONVERT_TOP, False, "any"),
    ("top-level null", CONVERT_TOP, None, "any"),
)
# Schemas whose result must be the same before and after.
KEPT_CASES = tuple(
    ("kept", CONVERT_TOP, schema, None)
    for schema in (
        {},
        {"type": "string"},
        {"description": "any valid json"},
        {"const": "a"},
        {"enum": ["a", "b"]},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
        {"type": "array", "items": {"prefixItems": [{"type": "string"}, {"type": "boolean"}]}},
        {"type": "object", "properties": {"n": {"type": "integer", "description": "how many"}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"allOf": [{"type": "string"}]},
        {"$ref": "#/$defs/M", "$defs": {"M": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        {"type": ["string", "null"]},
    )
)

# Runs in a process of its own: reads {"sources", "cases"}, writes one list of [ok, text] a source.
ISOLATED = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
request = json.load(sys.stdin)
answers = []
for source in request["sources"]:
    scope = {"__name__": "isolated"}
    exec(compile(source, "utils.py", "exec", dont_inherit=True), scope)
    answer = []
    for function, schema in request["cases"]:
        try:
            answer.append([True, scope[function](schema)])
        except Exception as error:
            answer.append([False, type(error).__name__])
    answers.append(answer)
json.dump(answers, sys.stdout)
"""

# The same question to the copy that an interpreter really imports, bytecode included.
IMPORTED = """
import json, sys
try:
    from gradio_client import utils
except BaseException as error:
    json.dump({"imported": False, "why": f"{type(error).__name__}: {error}"}, sys.stdout)
    sys.exit()
answer = []
for function, schema in json.load(sys.stdin):
    try:
        answer.append([True, getattr(utils, function)(schema)])
    except Exception as error:
        answer.append([False, type(error).__name__])
json.dump({"imported": True, "file": utils.__file__, "answer": answer}, sys.stdout)
"""


class PatchError(Exception):
    """This file cannot be patched, or the patched file does not behave; nothing was written."""


class OutsideError(Exception):
    """The system stood in the way: no permission, no space, no interpreter."""


# --- The text -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guard:
    """Lines to insert before a statement: for a value that is no mapping, ``action`` runs."""

    before: ast.stmt
    name: str
    action: str


def parse(source: bytes) -> ast.Module:
    """Parse a module's bytes, encoding cookie and BOM included (PEP 263). Raises PatchError."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise PatchError(f"not valid Python: {error}") from error


def functions_of(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Return the top-level functions this program is about. Raises PatchError if one is defined twice."""
    found: dict[str, ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS:
            if node.name in found:
                raise PatchError(f"{node.name} is defined twice")
            found[node.name] = node
    return found


def missing_guards(tree: ast.Module, level: str) -> list[Guard]:
    """Return the guards that ``level`` needs and the file has not got, whoever wrote those that it has.

    Raises PatchError where a function or statement that needs one is not there.
    """
    functions = functions_of(tree)
    wanted = []
    for name in (GET_TYPE, CONVERT) if level == "guide" else FUNCTIONS:
        if name not in functions:
            raise PatchError(f"there is no function {name}")
        wanted.append(_at_start(functions[name], 'return "Any"'))
    if level == "full":
        wanted.extend(_inside(functions[CONVERT]))
    return [guard for guard in wanted if guard is not None]


def _at_start(function: ast.FunctionDef, action: str) -> Guard | None:
    if not function.args.args:
        raise PatchError(f"{function.name} takes no argument")
    name = function.args.args[0].arg
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        raise PatchError(f"{function.name} has no body")
    # A guard written by hand may follow the test for the empty schema.
    if any(_is_guard(statement, name) for statement in body[:2]):
        return None
    return Guard(body[0], name, action)


def _inside(function: ast.FunctionDef) -> Iterator[Guard | None]:
    describe = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node.name == "get_desc"]
    if len(describe) != 1:
        raise PatchError(f"{function.name} has {len(describe)} functions get_desc instead of one")
    yield _at_start(describe[0], 'return ""')
    places: list[tuple[ast.stmt, ast.stmt]] = []
    for node in ast.walk(function):
        for statements in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(statements, list):
                pairs = itertools.pairwise(statements)
                places.extend((first, second) for first, second in pairs if _is_items(first))
    if len(places) != 1:
        raise PatchError(f"{function.name} reads a schema's items in {len(places)} places instead of one")
    following = places[0][1]
    yield None if _is_guard(following, "items") else Guard(following, "items", "items = {}")


def _is_items(statement: ast.stmt) -> bool:
    """Is it ``items = schema.get("items", …)``?"""
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and statement.targets[0].id == "items"
        and isinstance(statement.value, ast.Call)
        and bool(statement.value.args)
        and isinstance(statement.value.args[0], ast.Constant)
        and statement.value.args[0].value == "items"
    )


def _is_guard(statement: ast.stmt, name: str) -> bool:
    """Is it an ``if`` that asks isinstance() about ``name`` in its own test?"""
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        and bool(node.args)
        and isinstance(node.args[0], ast.Name)
        and node.args[0].id == name
        for node in ast.walk(statement.test)
    )


def splice(source: bytes, guards: list[Guard]) -> bytes:
    """Insert the guards as lines of their own; every byte that was there stays.

    Raises PatchError where a statement shares its line with another one.
    """
    lines = source.splitlines(keepends=True)  # bytes split at \n, \r and \r\n only, as Python's tokenizer does
    for guard in sorted(guards, key=lambda guard: guard.before.lineno, reverse=True):
        index = guard.before.lineno - 1
        indent = lines[index][: guard.before.col_offset]
        if not indent or indent.strip(b" \t\f"):
            raise PatchError(f"line {index + 1}: the statement does not start its line")
        newline = lines[index][len(lines[index].rstrip(b"\r\n")) :] or b"\n"
        inner = indent + (b"\t" if indent.endswith(b"\t") else b"    ")
        test = f"if not isinstance({guard.name}, dict):  # {MARKER}: a schema may be a boolean"
        lines[index:index] = [indent + test.encode() + newline, inner + guard.action.encode() + newline]
    return b"".join(lines)


def patched_text(source: bytes, level: str) -> bytes:
    """Return the patched module. Raises PatchError."""
    result = splice(source, missing_guards(parse(source), level))
    if missing_guards(parse(result), level):
        raise PatchError("the guards that were inserted are not found again")
    return result


# --- The behaviour --------------------------------------------------------------------------------------------------


def isolated_source(source: bytes) -> str:
    """Return the functions and what they name at top level, as a module without imports. Raises PatchError."""
    tree = parse(source)
    top: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            top[node.name] = node
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            top[node.targets[0].id] = node
    wanted, queue = set(), [name for name in FUNCTIONS if name in top]
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue.extend(n.id for n in ast.walk(top[name]) if isinstance(n, ast.Name) and n.id in top)
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    lines = source.splitlines(keepends=True)
    picked = [node for node in tree.body if any(top.get(name) is node for name in wanted)]
    text = b"".join(b"".join(lines[node.lineno - 1 : node.end_lineno]) + b"\n" for node in picked)
    return "from __future__ import annotations\n" + text.decode(encoding).lstrip("\ufeff")


def unprivileged() -> dict[str, Any]:
    """Return subprocess arguments for a process that may do nothing: nobody's, where root is there to give away."""
    harmless: dict[str, Any] = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, "timeout": 60}
    if os.geteuid() == 0:
        harmless.update(user=65534, group=65534, extra_groups=[])
    return harmless


def run_python(interpreter: str, arguments: list[str], question: Any, **how: Any) -> Any:
    """Put a JSON question to an interpreter and return its JSON answer. Raises PatchError, OutsideError."""
    import subprocess

    try:
        done = subprocess.run(  # noqa: PLW1510 -- the exit status is judged below
            [interpreter, *arguments], input=json.dumps(question), capture_output=True, text=True, **how
        )
    except subprocess.TimeoutExpired as error:
        raise PatchError(f"{interpreter}: no answer within {error.timeout:g} s") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise OutsideError(f"{interpreter}: {error}") from error
    if done.returncode != 0:
        tail = (done.stderr.strip().splitlines() or [""])[-1]
        raise PatchError(f"the functions do not run by themselves: exit status {done.returncode}, {tail}")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise PatchError("the functions do not run by themselves: no answer") from error


def answers_of(sources: list[str], cases: tuple[Any, ...]) -> list[list[tuple[bool, str]]]:
    """Run the cases against each isolated source, in one unprivileged process."""
    question = {"sources": sources, "cases": [(function, schema) for _, function, schema, _ in cases]}
    answers = run_python(interpreter(), ["-I", "-S", "-c", ISOLATED], question, **unprivileged())
    return [[(bool(ok), str(text)) for ok, text in answer] for answer in answers]


def interpreter() -> str:
    """Return the interpreter for isolated runs: the system's, which every user may run, else the one running this."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def wrong_answers(cases: tuple[Any, ...], answer: list[tuple[bool, str]]) -> list[str]:
    """Return what is wrong, a line a case; empty when the copy behaves."""
    return [
        f"{name}: {text}"
        for (name, _, _, expected), (ok, text) in zip(cases, answer, strict=True)
        if not ok or text.casefold() != expected
    ]


def check_behaviour(pristine: bytes, patched: bytes, level: str) -> None:
    """Raise PatchError unless the patched functions do what ``level`` says and everything else as before."""
    cases = FULL_CASES if level == "full" else GUIDE_CASES
    before, after = answers_of([isolated_source(pristine), isolated_source(patched)], (*cases, *KEPT_CASES))
    wrong = wrong_answers(cases, after[: len(cases)])
    wrong += [
        f"{case[2]}: {new[1]}, was {old[1]}"
        for case, old, new in zip(KEPT_CASES, before[len(cases) :], after[len(cases) :], strict=True)
        if old != new
    ]
    if wrong:
        raise PatchError("the patched functions do not behave: " + "; ".join(wrong))


def level_of(source: bytes) -> str | None:
    """Return the level that the file behaves to ("full", "guide"), or None. Raises PatchError, OutsideError."""
    if not {CONVERT_TOP, CONVERT} <= functions_of(parse(source)).keys():
        raise PatchError(f"there is no function {CONVERT}")
    answer = answers_of([isolated_source(source)], FULL_CASES)[0]
    if not wrong_answers(FULL_CASES, answer):
        return "full"
    return None if wrong_answers(GUIDE_CASES, answer[: len(GUIDE_CASES)]) else "guide"


# --- The version ----------------------------------------------------------------------------------------------------


def version_of(target: Path) -> str | None:
    """Return the installed version: the package's own package.json or its single .dist-info; None where unknown."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        version = json.loads((target.parent / "package.json").read_text(encoding="utf-8")).get("version")
        if isinstance(version, str):
            return version
    found = list(target.parent.parent.glob("gradio_client-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").partition("-")[2] if len(found) == 1 else None


def affected(version: str) -> bool:
    """Say whether a gradio_client version fails on boolean schemas. A pre-release counts as its release."""
    release = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if release is None:
        return True
    return FIRST_AFFECTED <= tuple(int(part or 0) for part in release.groups()) < FIRST_UNAFFECTED


# --- Files ----------------------------------------------------------------------------------------------------------


def read_regular(path: Path) -> bytes:
    """Read a regular file; a symbolic link in its place is refused.

    Raises FileNotFoundError, PatchError, OutsideError.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if path.is_symlink():
            raise PatchError("a symbolic link: name the file itself") from error
        raise OutsideError(f"{path}: {error.strerror}") from error
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise PatchError("not a regular file")
        return stream.read()


def replace_file(path: Path, content: bytes, *, mode: int = 0o644, like: Path | None = None) -> None:
    """Put a new file at ``path`` in one step, with ``mode``, or with owner and mode of ``like`` (setuid bits dropped).

    Never writes into the old file: uv hard-links files of several environments to one cache. Raises OutsideError.
    """
    temporary = f".{path.name}.{MARKER}"
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OutsideError(f"{path.parent}: {error.strerror}") from error
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)  # left by a run that was killed
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            if like is None:
                os.fchmod(handle, mode)
            else:
                old = like.lstat()
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(handle, old.st_uid, old.st_gid)
                os.fchmod(handle, stat.S_IMODE(old.st_mode) & 0o777)
            os.fsync(handle)
        os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise OutsideError(f"{path}: {error.strerror}") from error
    finally:
        os.close(folder)


def refresh_bytecode(target: Path, shown: str, *, diverted_suffix: str | None) -> None:
    """Leave no bytecode that hides the new source; never touches a .pyc that a dpkg package owns.

    A timestamp .pyc of the old source is ignored by Python, but an unchecked-hash one (PEP 552) is believed. For a
    plain copy every .pyc goes, and Python writes a new one. For a diverted copy the .pyc beside a diverted one is
    ours: it is compiled anew where this interpreter can, so that a service without write permission starts fast.
    ``shown`` is the path that tracebacks name.
    """
    for bytecode in sorted((target.parent / "__pycache__").glob(f"{target.stem}.*.pyc")):
        ours = diverted_suffix is None or bytecode.with_name(bytecode.name + diverted_suffix).exists()
        if ours or unchecked(bytecode):
            with contextlib.suppress(OSError):
                bytecode.unlink()
    if diverted_suffix is None or not target.exists():
        return
    own = Path("__pycache__") / f"{target.stem}.{sys.implementation.cache_tag}.pyc"
    if (target.parent / (str(own) + diverted_suffix)).exists():
        import py_compile

        with contextlib.suppress(OSError, py_compile.PyCompileError):
            py_compile.compile(
                str(target),
                cfile=str(target.parent / own),
                dfile=shown,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
            )


def unchecked(bytecode: Path) -> bool:
    """Is it a .pyc that Python believes without looking at the source (PEP 552: flags 0b01)?"""
    with contextlib.suppress(OSError), bytecode.open("rb") as stream:
        return int.from_bytes(stream.read(8)[4:8], "little") == 1
    return False


def remove_leftovers(target: Path, top: Path) -> None:
    """Remove the patched file, its bytecode and then the folders below ``top`` that are empty and no package's."""
    import subprocess

    target.unlink(missing_ok=True)
    cache = target.parent / "__pycache__"
    for bytecode in cache.glob(f"{target.stem}.*.pyc"):
        bytecode.unlink(missing_ok=True)
    for folder in (cache, *target.parents):
        if folder == cache and not folder.is_dir():
            continue
        if folder == top or any(folder.iterdir()):
            return
        owned = subprocess.run(  # noqa: PLW1510 -- 0: owned, 1: not
            ["dpkg-query", "--search", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if owned.returncode == 0:
            return
        folder.rmdir()


# --- The state ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """One utils.py: where it is, and where its pristine file is if dpkg diverts it. Paths as the machine names them."""

    path: str
    diverted: str | None = None


@dataclass
class Finding:
    """What there is to say of one copy; printed by every command and recorded by ``apply``."""

    path: str
    state: str
    reason: str
    version: str | None = None
    affected: bool | None = None
    level: str | None = None
    by: str | None = None
    diverted: str | None = None
    changed: bool = False
    pristine_sha256: str | None = None
    patched_sha256: str | None = None
    verified: str | None = None
    time: int = field(default_factory=lambda: int(time.time()))

    @property
    def good(self) -> bool:
        """Nothing is left to do."""
        return self.state in {"patched", "unaffected", "missing", "restored"}

    @property
    def status(self) -> int:
        """The exit status that this finding alone deserves."""
        return 0 if self.good else 3 if self.state == "error" else 1


class Host:
    """This machine's configuration and records, below ``root``."""

    def __init__(self, root: Path, state: Path | None) -> None:
        self.root = root
        self.configuration = self.at("/etc/cheesegrater/gradio-patch.d")
        if state is not None:
            self.state = state
        elif os.geteuid() == 0 or root != Path("/"):
            self.state = self.at("/var/lib/cheesegrater/gradio-patch")
        else:
            home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
            self.state = Path(home).expanduser() / "cheesegrater/gradio-patch"

    def at(self, path: str) -> Path:
        """Return where a path of the machine is for this process."""
        return self.root / path.lstrip("/")

    def configured(self) -> list[Copy]:
        """Return the copies that *.conf files name by ``path = /…`` lines. Raises PatchError for another line."""
        copies = []
        for file in sorted(self.configuration.glob("*.conf")):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                key, separator, value = (part.strip() for part in text.partition("="))
                if key != "path" or not separator or not value.startswith("/"):
                    raise PatchError(f"{file}, line {number}: expected 'path = /absolute/path/of/utils.py'")
                copies.append(Copy(value))
        return copies

    def records(self) -> list[dict[str, Any]]:
        """Return the records of earlier runs; one that cannot be read is left out."""
        found = []
        for file in sorted(self.state.glob("records/*.json")):
            with contextlib.suppress(OSError, ValueError):
                record = json.loads(file.read_text(encoding="utf-8"))
                if isinstance(record, dict) and record.get("schema") == SCHEMA and isinstance(record.get("path"), str):
                    found.append(record)
        return found

    def known(self) -> list[Copy]:
        """Return the recorded and the configured copies, each once."""
        copies = {record["path"]: Copy(record["path"], record.get("diverted")) for record in self.records()}
        for copy in self.configured():
            copies.setdefault(copy.path, copy)
        return list(copies.values())

    def record_file(self, path: str) -> Path:
        """Return where the record of a copy is."""
        return self.state / "records" / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}.json"

    def write_record(self, finding: Finding) -> None:
        """Record what was done or what went wrong. Raises OutsideError."""
        file = self.record_file(finding.path)
        self._folder(file.parent)
        content = {"schema": SCHEMA, **vars(finding)}
        replace_file(file, (json.dumps(content, indent=2) + "\n").encode())

    def keep(self, content: bytes) -> str:
        """Keep a copy of a file by its hash, and return the hash. Raises OutsideError."""
        digest = hashlib.sha256(content).hexdigest()
        file = self.copy_file(digest)
        if not file.exists():
            self._folder(file.parent)
            replace_file(file, content, mode=0o600)  # the copy of a file that may be private
        return digest

    def copy_file(self, digest: str) -> Path:
        """Return where the copy with this hash is kept."""
        return self.state / "copies" / f"{digest}.py"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one run at a time change things."""
        import fcntl

        self._folder(self.state)
        with (self.state / "lock").open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _folder(folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutsideError(f"{folder}: {error.strerror}") from error


# --- The commands ---------------------------------------------------------------------------------------------------


def examine(host: Host, copy: Copy) -> Finding:
    """Say what a copy is, without changing anything."""
    target = host.at(copy.path)
    finding = Finding(copy.path, "missing", "there is no such file", diverted=copy.diverted)
    try:
        source = read_regular(target)
    except FileNotFoundError:
        return finding
    except PatchError as error:
        finding.state, finding.reason = "unpatchable", str(error)
        return finding
    finding.version = version_of(target)
    try:
        finding.level = level_of(source)
    except PatchError as error:
        finding.affected = affected(finding.version) if finding.version else None
        finding.state = "unaffected" if finding.affected is False else "unpatchable"
        finding.reason = str(error)
        return finding
    finding.verified = "functions in isolation"
    if finding.version is not None:
        finding.affected = affected(finding.version)
        if not finding.affected:
            finding.state, finding.reason = "unaffected", f"gradio_client {finding.version} needs no patch"
            return finding
    if finding.level is None:
        finding.state, finding.affected = "unpatched", True
        finding.reason = "boolean schemas fail: additionalProperties: true"
        return finding
    finding.state = "patched"
    finding.by = OURS if MARKER.encode() in source else "hand or upstream"
    finding.reason = f"boolean schemas are handled, level {finding.level}"
    return finding


def apply_plain(host: Host, copy: Copy, level: str) -> Finding:
    """Patch a copy in place, keep both texts, and record it. A copy that was patched by hand is left alone."""
    target = host.at(copy.path)
    finding = examine(host, copy)
    if finding.state not in {"unpatched", "patched"}:
        return finding
    if finding.state == "patched" and (finding.by != OURS or finding.level in {level, "full"}):
        return finding
    source = read_regular(target)
    patched = patched_text(source, level)
    check_behaviour(source, patched, level)
    finding.pristine_sha256, finding.patched_sha256 = host.keep(source), host.keep(patched)
    if read_regular(target) != source:
        raise PatchError("the file changed while it was being patched; run again")
    replace_file(target, patched, like=target)
    refresh_bytecode(target, copy.path, diverted_suffix=None)
    finding.state, finding.level, finding.by, finding.changed = "patched", level, OURS, True
    finding.reason = f"guards inserted, level {level}"
    host.write_record(finding)
    return finding


def apply_diverted(host: Host, copy: Copy, level: str) -> Finding:
    """Write ``copy.path`` from the diverted pristine file: patched, or byte for byte where that cannot or need not be.

    Where the pristine file has gone, its package was removed: the patched file goes too.
    """
    target, pristine_file = host.at(copy.path), host.at(copy.diverted or "")
    suffix = (copy.diverted or "").removeprefix(copy.path)
    finding = Finding(copy.path, "missing", "the package with this file is not installed", diverted=copy.diverted)
    try:
        pristine = read_regular(pristine_file)
    except FileNotFoundError:
        finding.changed = target.exists()
        remove_leftovers(target, host.root)
        host.write_record(finding)
        return finding
    finding.version = version_of(target)
    finding.affected = affected(finding.version) if finding.version else None
    content = pristine
    if finding.affected is False:
        finding.state, finding.reason = "unaffected", f"gradio_client {finding.version} needs no patch"
    else:
        try:
            content = patched_text(pristine, level)
            check_behaviour(pristine, content, level)
            finding.state, finding.level, finding.by = "patched", level, OURS
            finding.reason, finding.verified = f"guards inserted, level {level}", "functions in isolation"
        except (PatchError, OutsideError) as error:
            content = pristine
            finding.state = "unpatchable" if isinstance(error, PatchError) else "error"
            finding.reason = f"the pristine file is in place: {error}"
    finding.pristine_sha256, finding.patched_sha256 = host.keep(pristine), host.keep(content)
    if not target.is_file() or target.is_symlink() or read_regular(target) != content:
        replace_file(target, content, like=pristine_file)
        finding.changed = True
    refresh_bytecode(target, copy.path, diverted_suffix=suffix)
    host.write_record(finding)
    return finding


def restore(host: Host, copy: Copy) -> Finding:
    """Put the pristine file back where the file is still the one that this program wrote. Raises PatchError."""
    record = next((record for record in host.records() if record["path"] == copy.path), None)
    if record is None or record.get("state") != "patched":
        raise PatchError("no patch of this file is recorded")
    target = host.at(copy.path)
    try:
        present = read_regular(target)
    except FileNotFoundError:
        raise PatchError("the file is gone: there is nothing to restore") from None
    if hashlib.sha256(present).hexdigest() != record.get("patched_sha256"):
        raise PatchError("the file is not the one that was patched (upgraded or edited since); it stays as it is")
    pristine = read_regular(host.copy_file(record["pristine_sha256"]))
    if hashlib.sha256(pristine).hexdigest() != record["pristine_sha256"]:
        raise PatchError(f"the kept copy {record['pristine_sha256'][:12]} is damaged; it is not put back")
    suffix = copy.diverted.removeprefix(copy.path) if copy.diverted else None
    replace_file(target, pristine, like=target)
    refresh_bytecode(target, copy.path, diverted_suffix=suffix)
    finding = Finding(
        copy.path,
        "restored",
        "the pristine file is back",
        version=version_of(target),
        diverted=copy.diverted,
        changed=True,
        pristine_sha256=record["pristine_sha256"],
    )
    host.write_record(finding)
    return finding


def verify(host: Host, copy: Copy, python: str | None) -> Finding:
    """Examine a copy, and ask the interpreter ``python`` what it really imports (as the user who runs this)."""
    finding = examine(host, copy)
    if python is None or finding.state not in {"patched", "unpatched"}:
        return finding
    question = [(function, schema) for _, function, schema, _ in GUIDE_CASES]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    answer = run_python(python, ["-c", IMPORTED], question, env=environment, timeout=120)
    if not answer["imported"]:
        # Its own dependencies may be absent: nothing is known, so nothing is claimed and nothing is undone.
        finding.verified, finding.reason = None, f"not verified by import: {answer['why']}"
    elif os.path.realpath(answer["file"]) != os.path.realpath(host.at(copy.path)):
        finding.state, finding.reason = "unpatched", f"{python} imports another copy: {answer['file']}"
    elif wrong := wrong_answers(GUIDE_CASES, [(bool(ok), str(text)) for ok, text in answer["answer"]]):
        finding.state, finding.reason = "unpatched", f"{python} runs unpatched code: {'; '.join(wrong)}"
    else:
        finding.verified = f"imported by {python}"
    return finding


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="Exit status: 0 done, 1 findings, 2 usage, 3 the system stood in the way.",
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help="take every absolute path below this folder")
    parser.add_argument("--state", type=Path, help="where records and copies are kept")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("status", "say what every known copy is"),
        ("apply", "patch what needs it"),
        ("verify", "check the behaviour of every known copy"),
        ("restore", "put the pristine files back"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.add_argument("paths", nargs="*", metavar="UTILS_PY", help="default: recorded and configured copies")
        if name == "apply":
            command.add_argument("--level", choices=LEVELS, default="full", help="default: full")
            command.add_argument("--trigger", action="store_true", help="record failures and exit 0 (dpkg)")
            command.add_argument("--diverted", metavar="PRISTINE", help="the file as dpkg unpacked it")
            command.add_argument("--to", metavar="UTILS_PY", help="the file that Python imports")
        if name == "verify":
            command.add_argument("--python", help="also ask this interpreter what it imports")
    return parser


def chosen(parser: argparse.ArgumentParser, options: argparse.Namespace, host: Host) -> list[Copy]:
    """Return the copies that the command is about."""
    if getattr(options, "diverted", None) or getattr(options, "to", None):
        if not (options.diverted and options.to) or options.paths:
            parser.error("--diverted PRISTINE and --to UTILS_PY go together, without further paths")
        copies = [Copy(options.to, options.diverted)]
    else:
        known = {copy.path: copy for copy in host.known()}
        copies = [known.get(path, Copy(path)) for path in options.paths] or list(known.values())
    for copy in copies:
        if not copy.path.startswith("/") or not (copy.diverted or copy.path + ".").startswith(copy.path):
            parser.error(f"{copy.path}: an absolute path, and PRISTINE is the same path with a suffix")
    return copies


def carry_out(host: Host, options: argparse.Namespace, copy: Copy) -> Finding:
    """Run the command on one copy; what stands in its way becomes a finding, and is recorded."""
    try:
        if options.command == "apply":
            work = apply_diverted if copy.diverted else apply_plain
            finding = work(host, copy, options.level)
        elif options.command == "restore":
            finding = restore(host, copy)
        elif options.command == "verify":
            finding = verify(host, copy, options.python)
        else:
            finding = examine(host, copy)
    except (PatchError, FileNotFoundError) as error:
        finding = Finding(copy.path, "unpatchable", str(error), diverted=copy.diverted)
    except (OutsideError, OSError) as error:
        finding = Finding(copy.path, "error", str(error), diverted=copy.diverted)
    if options.command == "apply" and not finding.good:
        with contextlib.suppress(OutsideError):
            host.write_record(finding)
    return finding


def report(options: argparse.Namespace, findings: list[Finding], failures: list[dict[str, Any]]) -> None:
    """Print the findings: one JSON object, or a line a copy."""
    if options.json:
        copies = [vars(finding) for finding in findings]
        content = {"schema": SCHEMA, "command": options.command, "copies": copies, "failures": failures}
        print(json.dumps(content, indent=2))
        return
    for finding in findings:
        version = f" (gradio_client {finding.version})" if finding.version else ""
        stream = sys.stdout if finding.good else sys.stderr
        print(f"{finding.state}: {finding.path}{version}: {finding.reason}", file=stream)
    for failure in failures:
        print(f"earlier failure: {failure['path']}: {failure['reason']}", file=sys.stderr)
    if not findings and not failures:
        print("no copy is recorded or configured")


def main(arguments: list[str]) -> int:
    """Run the program and return its exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    host = Host(options.root, options.state)
    try:
        copies = chosen(parser, options, host)
        changing = options.command in {"apply", "restore"}
        with host.locked() if changing else contextlib.nullcontext():
            findings = [carry_out(host, options, copy) for copy in copies]
    except PatchError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 0 if getattr(options, "trigger", False) else 2
    except OutsideError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 0 if getattr(options, "trigger", False) else 3
    failures = []
    if options.command == "status":
        bad = {"unpatchable", "error"}
        failures = [record for record in host.records() if record.get("state") in bad]
    report(options, findings, failures)
    worst = max((finding.status for finding in findings), default=0)
    return 0 if getattr(options, "trigger", False) else max(worst, 1 if failures else 0)


def run() -> NoReturn:
    """Run with this process's arguments. In a dpkg trigger even a defect of this program must not stop dpkg."""
    try:
        status = main(sys.argv[1:])
    except Exception:
        if "--trigger" not in sys.argv:
            raise
        import traceback

        traceback.print_exc()
        status = 0
    sys.exit(status)


if __name__ == "__main__":
    run()
