"""One commit of a git repository with all its submodules, fetched so that a later call goes on with what is there.

Nothing here is atomic: whoever calls keeps, outside the tree, what says that the tree is whole.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.build.git import GIT, ask, attempt, git_environment, is_commit, ways_out
from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.build.git import Run


@dataclass(frozen=True, slots=True)
class Checkout:
    """What was checked out.

    Attributes:
        commit: The commit.
        signer: The fingerprint of the key that signed the tag, where that was asked for and the tag has a signature.
    """

    commit: str
    signer: str | None = None


# What a server says that has the commit, but does not give it without the history around it.
_REFUSED_SHALLOW = ("shallow", "did not contain", "not our ref", "unadvertised object", "Direct fetching")
# git-submodule(1), "status": a sign, the commit, the path, and what git describe says of the commit.
_STATUS = re.compile(r"([ +U-])[0-9a-f]+ (.*?)(?: \([^()]*\))?")
_UPDATE = [*GIT, "submodule", "update", "--init", "--recursive", "--force"]


def checkout(
    repository: str,
    ref: str,
    tree: Path,
    run: Run,
    *,
    expected: str | None = None,
    keyring: Path | None = None,
    jobs: int = 8,
) -> Checkout:
    """Make ``tree`` hold the commit or tag ``ref`` of ``repository`` with its submodules, without history if it can be.

    ``tree`` is missing, or was left by a call with the same repository and ref, which may have been killed.

    Args:
        repository: Its address.
        ref: A tag's name or a whole commit hash.
        tree: The folder.
        run: Runs git where it takes long.
        expected: The commit that it must be; asked of the server before anything is fetched.
        keyring: OpenPGP keys, armored or not, of which one must have signed the tag if the tag has a signature.
        jobs: How many submodules are fetched at once.

    Raises:
        InputError: There is no such tag, it is another commit than ``expected``, or none of these keys signed it.
        OutsideError: git is missing, or the repository or a submodule cannot be fetched.
    """
    tree.mkdir(parents=True, exist_ok=True)
    _forget_torn(tree, tree / ".git")
    ask(tree, "init", "--quiet")
    ask(tree, "config", "remote.origin.url", repository)
    local = ref if is_commit(ref) else f"refs/tags/{ref}"
    commit = _commit(tree, local)
    if commit is None:
        _expect(repository, ref, ref if is_commit(ref) else _tagged(tree, repository, ref), expected)
        _fetch(tree, repository, local, run)
        commit = _commit(tree, local)
    if commit is None:
        raise OutsideError(Issue(f"{repository} gave something else for {ref}", fix=f"look at {tree} with git"))
    _expect(repository, ref, commit, expected)
    signer = None if keyring is None or is_commit(ref) else _signer(tree, ref, keyring)
    run([*GIT, "checkout", "--quiet", "--force", "--detach", commit], "look at what git says", cwd=tree)
    _update_submodules(tree, repository, run, jobs)
    if left := _submodules_with(tree, "-+U"):
        problem = f"submodules are not what commit {commit} names: {', '.join(left[:3])}"
        raise OutsideError(Issue(problem, file=tree, fix="run the same command again"))
    return Checkout(commit, signer)


def restore(tree: Path, run: Run) -> None:
    """Undo every change in a tree that `checkout` made, in its submodules too; what git does not know is deleted."""
    _forget_torn(tree, tree / ".git")
    fix = f"delete {tree}; it is fetched again"
    run([*GIT, "reset", "--quiet", "--hard"], fix, cwd=tree)
    run([*GIT, "clean", "--quiet", "-ffdx"], fix, cwd=tree)
    # Brings back what is missing; its commits are all here.
    run(_UPDATE, fix, cwd=tree, environment=git_environment())
    both = "git reset --quiet --hard && git clean --quiet -ffdx"
    run([*GIT, "submodule", "--quiet", "foreach", "--recursive", both], fix, cwd=tree)


def state_of(tree: Path) -> tuple[str, bool] | None:
    """Return the commit that somebody's ``tree`` has, and whether its files are that commit's; None if it is not git's.

    Nothing is written to it, and no program that its configuration names is run.
    """
    if not (tree / ".git").exists():
        return None
    careful = ["--no-optional-locks", "-c", "core.fsmonitor=false"]
    try:
        commit = ask(tree, *careful, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
        return commit, not ask(tree, *careful, "status", "--porcelain", "--untracked-files=no").strip()
    except OutsideError:  # no git here, another user's repository, or a submodule's without its repository
        return None


def _expect(repository: str, ref: str, commit: str, expected: str | None) -> None:
    if expected is not None and commit != expected:
        problem = f"{ref} of {repository} is commit {commit}, but {expected} is expected"
        fix = f"find out why it differs; to build that commit all the same, name it: {repository}@{commit}"
        raise InputError(Issue(problem, field="--source", rule="a release's tag never moves", fix=fix))


def _tagged(tree: Path, repository: str, tag: str) -> str:
    """Return the commit that the server has for ``tag``."""
    wanted = f"refs/tags/{tag}"
    listing = ask(tree, "ls-remote", "--", repository, wanted, f"{wanted}^{{}}", fix=ways_out(repository))
    found = {name: commit for commit, _tab, name in (line.partition("\t") for line in listing.splitlines())}
    # An annotated tag is an object of its own; the line with ^{} has the commit (git-ls-remote(1)).
    if (commit := found.get(f"{wanted}^{{}}") or found.get(wanted)) is None:
        fix = f"name a tag, or a commit with all its digits; see git ls-remote --tags {repository}"
        raise InputError(Issue(f"{repository} has no tag {tag}", field="--source", fix=fix))
    return commit


def _fetch(tree: Path, repository: str, local: str, run: Run) -> None:
    refspec = local if is_commit(local) else f"+{local}:{local}"
    command = [*GIT, "fetch", "--quiet", "--no-tags"]
    fix, environment = ways_out(repository), git_environment()
    try:
        run([*command, "--depth=1", "origin", refspec], fix, cwd=tree, environment=environment)
    except OutsideError as error:
        if not _refused_shallow(error):
            raise
        everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        run([*command, "origin", *everything], fix, cwd=tree, environment=environment)


def _update_submodules(tree: Path, repository: str, run: Run, jobs: int) -> None:
    """Fetch what is missing and check everything out.

    With ``--force`` a submodule is checked out even where its HEAD is right: a call that was killed between the two
    would otherwise leave a folder without files.
    """
    fix, environment = ways_out(repository), git_environment()
    depth = ["--depth=1"]
    while True:
        try:
            return run([*_UPDATE, *depth, f"--jobs={jobs}"], fix, cwd=tree, environment=environment)
        except OutsideError as error:
            behind = _submodules_with(tree, "+") if _refused_shallow(error) else []
            if not (_refused_shallow(error) and (behind or depth)):
                raise
        # Cloned, but at the tip of a branch, and the server gives no older commit alone: all of it is fetched. Git
        # refuses that of one that is whole, so this ends.
        everything = ["fetch", "--quiet", "--unshallow", "origin", "+refs/heads/*:refs/remotes/origin/*"]
        for path in behind:
            run([*GIT, *everything], fix, cwd=tree / path, environment=environment)
        depth = depth if behind else []


def _refused_shallow(error: OutsideError) -> bool:
    return any(words in str(error) for words in _REFUSED_SHALLOW)


def _forget_torn(tree: Path, repository: Path) -> None:
    """Remove what a git that was killed leaves and a later one stumbles over: locks, and half cloned submodules.

    git takes a submodule for cloned as soon as its folder below ``.git/modules`` is there.
    """
    for left in (*repository.rglob("*.lock"), *repository.glob("objects/pack/tmp_*")):
        left.unlink()
    for name, path in _submodules(tree):
        module, work = repository / "modules" / name, tree / path
        inside = module.resolve().is_relative_to(repository.resolve()) and work.resolve().is_relative_to(tree.resolve())
        if not inside:  # git refuses such a name or path as well
            continue
        if module.is_dir() and _has_head(module):
            _forget_torn(work, module)
            continue
        if work.is_dir():
            shutil.rmtree(work)
        if module.exists():
            shutil.rmtree(module)


def _submodules_with(tree: Path, signs: str) -> list[str]:
    """Return the paths of submodules that are not there (``-``), at another commit (``+``) or in conflict (``U``)."""
    listing = ask(tree, "submodule", "status", "--recursive").splitlines()
    found = [_STATUS.fullmatch(line) for line in listing]
    return [match[2] for match in found if match is not None and match[1] in signs]


def _submodules(tree: Path) -> Iterator[tuple[str, str]]:
    """Yield name and path of the submodules that ``tree`` says it has."""
    if not (tree / ".gitmodules").is_file():
        return
    pattern = r"^submodule\..*\.path$"
    command = ["git", "config", "--null", "--file", str(tree / ".gitmodules"), "--get-regexp", pattern]
    listing = attempt(command, tree, git_environment()).stdout
    for entry in filter(None, listing.split("\0")):
        key, _newline, path = entry.partition("\n")
        yield key.removeprefix("submodule.").removesuffix(".path"), path


def _has_head(repository: Path) -> bool:
    command = ["git", f"--git-dir={repository}", "rev-parse", "--quiet", "--verify", "HEAD^{commit}"]
    return attempt(command, repository, git_environment()).returncode == 0


def _commit(tree: Path, ref: str) -> str | None:
    done = attempt(["git", "rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}"], tree, git_environment())
    return None if done.returncode else done.stdout.strip()


def _signer(tree: Path, tag: str, keyring: Path) -> str | None:
    """Return who signed ``tag``, None if nobody did; raises ``InputError`` if it was none of ``keyring``."""
    if ask(tree, "cat-file", "-t", f"refs/tags/{tag}").strip() != "tag":
        return None
    text = ask(tree, "cat-file", "tag", f"refs/tags/{tag}")
    if "-----BEGIN " not in text:
        return None
    with tempfile.TemporaryDirectory(prefix="debtool-tag-") as home:
        environment = {**git_environment(), "GNUPGHOME": home}
        command = ["gpg", "--homedir", home, "--no-options", "--batch", "--quiet", "--import", str(keyring.absolute())]
        if (done := attempt(command, tree, environment)).returncode:
            problem = f"cannot be read as a keyring: {' '.join(done.stderr.split())}"
            raise InputError(
                Issue(problem, file=keyring, field="--tag-keyring", fix="export one: gpg --export KEY > FILE")
            )
        done = attempt(["git", "-c", "gpg.program=gpg", "verify-tag", "--raw", tag], tree, environment)
    valid = [line.split()[2] for line in done.stderr.splitlines() if line.startswith("[GNUPG:] VALIDSIG ")]
    named = re.search(r"^tag (.+)$", text, re.MULTILINE)
    # A signed tag could be offered under another tag's name: the name inside is the one that was signed.
    if done.returncode or len(valid) != 1 or named is None or named[1] != tag:
        problem = f"the signature of tag {tag} is not by a key of this keyring, or is of another tag"
        rule = "git verify-tag must succeed where a keyring is given"
        fix = "give the keyring that has the signer's key, or find out why the tag differs"
        raise InputError(Issue(problem, file=keyring, field="--tag-keyring", rule=rule, fix=fix))
    return valid[0]
