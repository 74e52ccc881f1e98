"""A store of small objects that several hosts share: S3, or a folder with the same contract.

`put_once` is a conditional write: whoever comes second gets what is there already. Nothing else
orders two hosts that both believe they are alone.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal, Unavailable

_CONFLICT = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_MISSING = ("NoSuchKey", "404", "NotFound")
_FOR_GOOD = (
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"),
    *("NotImplemented", "403"),
)


class ObjectStore(Protocol):
    """Bytes by name. A name is a relative path."""

    def put_once(self, name: str, content: bytes) -> bytes:
        """Writes the object if there is none. Returns what is there now: this, or another's."""

    def put(self, name: str, content: bytes) -> None:
        """Writes the object, or replaces it."""

    def get(self, name: str) -> bytes | None:
        """What the object holds; None where there is none."""

    def names(self, prefix: str) -> list[str]:
        """Of all objects whose names begin so, sorted."""


def checkpoint_store(home: Home) -> ObjectStore:
    """The store that the deployment names. Raises Refusal where it names none."""
    where = home.deployment.checkpoints
    if where is None:
        raise Refusal("deployment.yaml names no checkpoints: there is nothing to share")
    if where.startswith("/"):
        return FolderStore(Path(where))
    parts = urlsplit(where)
    return S3Store(parts.netloc, parts.path.strip("/"), home.deployment.remotes.endpoint)


class FolderStore:
    """A folder: for tests, and for the notes of one home."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_once(self, name: str, content: bytes) -> bytes:
        path = self._path(name)
        if not path.exists():
            with _temporary_file(path, content) as temporary, suppress(FileExistsError):
                os.link(temporary, path)  # unlike a rename, fails where the file is there already
            files.sync_folder(path.parent)
        return path.read_bytes()

    def put(self, name: str, content: bytes) -> None:
        path = self._path(name)
        with _temporary_file(path, content) as temporary:
            temporary.replace(path)
        files.sync_folder(path.parent)

    def get(self, name: str) -> bytes | None:
        path = self._path(name)
        return path.read_bytes() if path.is_file() else None

    def names(self, prefix: str) -> list[str]:
        paths = (path for path in self._root.rglob("*") if path.is_file())
        names = (str(path.relative_to(self._root)) for path in paths if path.suffix != ".tmp")
        return sorted(name for name in names if name.startswith(prefix))

    def _path(self, name: str) -> Path:
        path = self._root / name
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise Refusal(f"{name!r} is no name of an object")
        return path


@contextmanager
def _temporary_file(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` with the content, on disk; removed at the end where it still is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


class S3Store:
    """A bucket. AWS's own files and variables say who we are."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._client = _client(endpoint)

    def put_once(self, name: str, content: bytes) -> bytes:
        try:
            with self._asking(name):
                self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + name, Body=content, IfNoneMatch="*"
                )
        except FileExistsError:
            there = self.get(name)
            if there is None:  # the winner's write is not to be seen yet
                raise Unavailable(f"{name}: another host is writing it; try again") from None
            return there
        return content

    def put(self, name: str, content: bytes) -> None:
        with self._asking(name):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def get(self, name: str) -> bytes | None:
        try:
            with self._asking(name):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
                content: bytes = answer["Body"].read()
                return content
        except FileNotFoundError:
            return None

    def names(self, prefix: str) -> list[str]:
        with self._asking(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(key.removeprefix(self._prefix) for key in keys)

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """S3's errors in our words: FileExistsError and FileNotFoundError, Refusal for what stays,
        Unavailable for what passes.
        """
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        place = f"s3://{self._bucket}/{self._prefix}{name}"
        try:
            yield
        except NoCredentialsError:
            raise Refusal(
                f"{place}: no credentials of S3 were found: put them into AWS's shared credentials"
                " file of this account"
            ) from None
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _CONFLICT:
                raise FileExistsError(name) from None
            if code in _MISSING:
                raise FileNotFoundError(name) from None
            if code in _FOR_GOOD:
                raise Refusal(f"{place}: S3 refuses ({code})") from None
            raise Unavailable(f"{place}: S3 says {code}; try again") from None
        except BotoCoreError as error:
            raise Unavailable(f"{place}: S3 does not answer ({type(error).__name__})") from None


def _client(endpoint: str | None) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise Refusal(
            "S3 needs the packages of requirements-scale.lock: `make environment-scale`, and run"
            " with .venv-scale/bin/python"
        ) from None
    settings = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=10)
    return boto3.client("s3", endpoint_url=endpoint, config=settings)
