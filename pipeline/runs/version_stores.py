"""The two version stores: bare git repositories with DVC, one per zone, each with a DVC remote of
its own.

The restricted one holds dvc.lock of every run (hashes and sizes of patients' tables). The released
one holds one commit and tag per published release, and nothing else; anybody may `dvc get` from it.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline import environment, files
from pipeline.catalog import Home
from pipeline.refusal import Refusal

MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_NO_CLOCK = {"GIT_AUTHOR_DATE": MOMENT.isoformat(), "GIT_COMMITTER_DATE": MOMENT.isoformat()}


def git(*arguments: str, cwd: Path, has_clock: bool = True) -> str:
    """Runs git there as Syndasera and returns what it printed. Raises RuntimeError with git's own
    last line.

    Without `has_clock` what is committed or tagged bears MOMENT: in the released version store,
    where the time between two commits would tell how long stages took that read rows
    (privacy_rules.md 1).
    """
    clock = {} if has_clock else _NO_CLOCK
    return _output("git", arguments, cwd, environment.for_git() | clock)


def ensure(home: Home) -> None:
    """Makes both version stores and remotes where they are missing; the restricted ones for their
    owner only. Idempotent.
    """
    stores = (home.restricted_store, home.released_store)
    if not all(store.is_dir() for store in stores):
        _refuse_other_place(home)
    files.private_folder(home.restricted_store.parent)
    _ensure_one(home.restricted_store, "restricted", home.restricted_remote)
    _ensure_one(home.released_store, "released", home.released_remote)


def is_tagged(store: Path, tag: str) -> bool:
    """Whether a version store holds this tag. False where there is no store yet."""
    return tag in tags(store)


def tags(store: Path) -> list[str]:
    """Of the released store, the ids of every release. None where there is no store yet."""
    return git("tag", "--list", cwd=store).split() if store.is_dir() else []


def text_at(store: Path, revision: str, path: str) -> str | None:
    """What a file holds there, but for blanks at its end; None where there is none."""
    if not git("ls-tree", "--name-only", revision, "--", path, cwd=store):
        return None
    return git("show", f"{revision}:{path}", cwd=store)


def tag_messages(store: Path) -> dict[str, str]:
    """{tag: what it says}, of a store; empty where there is none yet."""
    if not store.is_dir():
        return {}
    lines = git("tag", "--list", "--format=%(refname:short) %(contents:subject)", cwd=store)
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines.splitlines()}


def head(store: Path) -> str:
    """The newest commit of a store's main line; empty where there is no store yet."""
    return git("rev-parse", "main", cwd=store) if store.is_dir() else ""


def branches(store: Path) -> set[str]:
    if not store.is_dir():
        return set()
    return set(git("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=store).split())


def bundle(store: Path, file: Path) -> None:
    """All branches and tags of a store, as they are at a moment, in one file."""
    git("bundle", "create", "-q", str(file.absolute()), "--branches", "--tags", cwd=store)


def unbundle(file: Path, store: Path) -> None:
    """A bare store as it was when the file was made. Raises RuntimeError for a damaged file."""
    store.mkdir(parents=True)
    git("init", "-q", "--bare", "-b", "main", ".", cwd=store)
    git("fetch", "-q", "--no-write-fetch-head", str(file.absolute()), "+refs/*:refs/*", cwd=store)


def clone(store: Path, target: Path, branch: str | None = None) -> None:
    """Clones into `target`, which must not exist or be empty; on a branch of its own where `branch`
    names one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    git("clone", "-q", str(store.resolve()), str(target), cwd=target.parent)
    if branch is not None:
        git("checkout", "-q", "-B", branch, cwd=target)


def begin_draw(home: Home, target: Path, branch: str) -> None:
    """A tree in `target`, which must not exist or be empty, that pushes to the restricted version
    store and holds nothing of it: no run's hashes.
    """
    _begin_tree(target, branch, "restricted", home.restricted_remote)
    git("remote", "add", "origin", str(home.restricted_store.resolve()), cwd=target)


def share_objects(tree: Path) -> None:
    """Lets files in a tree that is thrown away and DVC's own copies of them be the same files: of
    an extract of millions of patients each copy is gigabytes.
    """
    (tree / ".dvc" / "config.local").write_text(
        "[cache]\n    type = hardlink,copy\n", encoding="utf-8"
    )


def commit_all(tree: Path, message: str, *, has_clock: bool = True) -> bool:
    """Commits everything that is not ignored. Returns False where nothing had changed. `has_clock`:
    as of `git`.
    """
    git("add", "--all", cwd=tree)
    if not git("status", "--porcelain", cwd=tree):
        return False
    git("commit", "-q", "-m", message, cwd=tree, has_clock=has_clock)
    return True


def dvc(*arguments: str, cwd: Path) -> None:
    """Runs dvc there. Raises RuntimeError with its last line."""
    mend_lock(cwd)
    _output("dvc", arguments, cwd, environment.for_stages())


def mend_lock(tree: Path) -> bool:
    """Removes DVC's list of readers and writers where a kill or a full disk left half of it, which
    stops every later try. Returns whether it did. A list that some process writes is left alone.
    """
    if not has_half_lock(tree):
        return False
    folder = tree / ".dvc" / "tmp"
    path = folder / "rwlock"
    with (folder / "rwlock.lock").open("a") as guard:  # DVC holds it while it writes the list
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        if _is_json_object(path):
            return False
        path.unlink(missing_ok=True)
    return True


def has_half_lock(tree: Path) -> bool:
    """Whether DVC's list of readers and writers is there and cannot be read."""
    path = tree / ".dvc" / "tmp" / "rwlock"
    return path.is_file() and not _is_json_object(path)


def _is_json_object(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except FileNotFoundError:
        return True
    except ValueError:
        return False


def _output(program: str, arguments: Sequence[str], cwd: Path, variables: Mapping[str, str]) -> str:
    """What the program writes. Raises RuntimeError with the last line that it says."""
    result = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        # git's and DVC's advice for who works with them by hand follows what went wrong
        words = [line for line in lines if not line.startswith(("hint:", "HINT:"))] or lines
        raise RuntimeError(
            f"{program} {arguments[0]} in {cwd.name}: {(words or ['nothing said'])[-1].strip()}"
        )
    return result.stdout.strip()


def _refuse_other_place(home: Home) -> None:
    """Raises Refusal where DVC would not find a remote by its path, before anything is written in
    the home.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for zone, remote in (
            ("restricted", home.restricted_remote),
            ("released", home.released_remote),
        ):
            _write_dvc_config(Path(scratch), zone, remote)


def _ensure_one(store: Path, zone: str, remote: Path) -> None:
    remote.mkdir(parents=True, exist_ok=True)
    if store.is_dir():
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    # on one file system, so that the move is one step
    with tempfile.TemporaryDirectory(dir=store.parent) as scratch:
        tree, bare = Path(scratch) / "tree", Path(scratch) / "registry.git"
        _begin_tree(tree, "main", zone, remote)
        commit_all(tree, f"The {zone} version store begins", has_clock=zone == "restricted")
        git("clone", "-q", "--bare", str(tree), str(bare), cwd=Path(scratch))
        git("remote", "remove", "origin", cwd=bare)
        shutil.move(bare, store)


def _begin_tree(tree: Path, branch: str, zone: str, remote: Path) -> None:
    tree.mkdir(parents=True, exist_ok=True)
    git("init", "-q", "-b", branch, cwd=tree)
    (tree / ".dvc").mkdir()
    _write_dvc_config(tree / ".dvc", zone, remote)
    (tree / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
    (tree / ".dvcignore").write_text("", encoding="utf-8")


def _write_dvc_config(folder: Path, zone: str, remote: Path) -> None:
    """DVC's settings, by the library that DVC reads them with. Raises Refusal where DVC would put
    objects elsewhere than in `remote`.
    """
    from configobj import ConfigObj, ConfigObjError

    place = str(remote.resolve())
    config = ConfigObj(encoding="utf-8", interpolation=False)
    config["core"] = {"analytics": "false", "check_update": "false", "remote": zone}
    config[f'remote "{zone}"'] = {"url": place}
    try:
        with (folder / "config").open("wb") as file:
            config.write(file)
        actual = _remote_by_dvc(folder, zone)
    except (ConfigObjError, OSError) as error:
        actual = f"nowhere ({type(error).__name__})"
    if actual != place:
        raise Refusal(
            f"DVC would put the objects of {place!r} at {actual!r}: choose a home (SYNDASERA_HOME)"
            " without the characters that it does not take. Nothing was written"
        )


def _remote_by_dvc(folder: Path, zone: str) -> str:
    """Where DVC itself finds the remote."""
    from dvc.config import Config, ConfigError
    from dvc.fs import get_cloud_fs

    try:
        config = Config(dvc_dir=str(folder), local_dvc_dir=str(folder))
        filesystem, _, path = get_cloud_fs(config, name=zone)
    except ConfigError as error:
        return f"nowhere ({type(error).__name__})"
    return str(path) if filesystem.protocol == "local" else f"{filesystem.protocol}: {path}"


def code_version(root: Path) -> str:
    """The commit of the code, with `+changes` where the tree differs from it; `unknown` outside
    git.
    """
    git = ["git", "-C", str(root)]
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if commit.returncode != 0:
        return "unknown"
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"],
        capture_output=True,
        text=True,
        check=False,
    )
    return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
