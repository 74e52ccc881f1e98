"""A tree of git and DVC, and where DVC puts its objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs.programs import git


@dataclass(frozen=True)
class Remote:
    """Where DVC puts the objects of a zone: an absolute path, or a URL of S3 with the address of
    its server where that is not Amazon's.
    """

    place: str
    endpoint: str | None = None


def remote_of(home: Home, zone: str) -> Remote:
    """The remote of the zone "restricted" or "released"."""
    remotes = home.deployment.remotes
    if url := getattr(remotes, zone):
        return Remote(url, remotes.endpoint if "://" in url else None)
    path = home.restricted_remote if zone == "restricted" else home.released_remote
    return Remote(str(path.resolve()))


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
