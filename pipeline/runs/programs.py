"""git and dvc as Syndasera runs them, and the trees that both work in."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline import environment
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


@dataclass(frozen=True)
class Remote:
    """Where DVC puts the objects of a zone: an absolute path, or a URL of S3 with the address of
    its server where that is not Amazon's.
    """

    place: str
    endpoint: str | None = None


def begin_tree(tree: Path, branch: str, zone: str, remote: Remote) -> None:
    """A tree of git and DVC that has no commit yet."""
    tree.mkdir(parents=True, exist_ok=True)
    git("init", "-q", "-b", branch, cwd=tree)
    (tree / ".dvc").mkdir()
    write_dvc_config(tree / ".dvc", zone, remote)
    (tree / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
    (tree / ".dvcignore").write_text("", encoding="utf-8")


def write_dvc_config(folder: Path, zone: str, remote: Remote) -> None:
    """DVC's settings, by the library that DVC reads them with. Raises Refusal where DVC would put
    objects elsewhere than in `remote`.
    """
    from configobj import ConfigObj, ConfigObjError

    place = remote.place
    config = ConfigObj(encoding="utf-8", interpolation=False)
    config["core"] = {"analytics": "false", "check_update": "false", "remote": zone}
    config[f'remote "{zone}"'] = {"url": place} | (
        {"endpointurl": remote.endpoint} if remote.endpoint else {}
    )
    try:
        with (folder / "config").open("wb") as file:
            config.write(file)
        actual = place if "://" in place else _remote_by_dvc(folder, zone)
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
    command = ["git", "-C", str(root)]
    commit = subprocess.run(
        [*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if commit.returncode != 0:
        return "unknown"
    changed = subprocess.run(
        [*command, "status", "--porcelain", "--untracked-files=no"],
        capture_output=True,
        text=True,
        check=False,
    )
    return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
