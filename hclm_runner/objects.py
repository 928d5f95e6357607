"""What is asked of object storage: list, get, put if absent, put, delete. Through obstore; any cloud, or a folder.

Credentials are those of the environment, as the tools of each cloud name them. None is in a URL, and none is written.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from hclm_runner.refusal import ConfigError

PATIENCE = {"max_retries": 8, "retry_timeout": timedelta(seconds=60)}
"""With a server that is busy (503) or does not answer: half a minute, in ever longer pauses."""


class Listed(NamedTuple):
    """What a listing says of an object."""

    tag: str
    """Of its content, or of its version: another content has another."""
    written_ns: int
    """When, by the server's clock."""


class Objects:
    """The objects below a URL, by key: `runs/abc.parquet`. Each is written whole or not at all.

    Every method raises OSError, in one line, where the server or the environment refuses.
    """

    def __init__(self, url: str) -> None:
        """Ask nothing yet."""
        self.url = url

    @cached_property
    def _api(self) -> Any:
        try:
            import obstore
            import obstore.exceptions
            import obstore.store
        except ImportError:
            wanted = "obstore to be installed: pip install 'hclm-runner[cloud]'"
            raise ConfigError("name", self.url, wanted) from None
        return obstore

    @cached_property
    def _at(self) -> Any:
        options = {"mkdir": True} if self._folder else {"retry_config": PATIENCE}
        return self._api.store.from_url(self.url, **options)

    @property
    def _folder(self) -> Path | None:
        return Path(self.url.removeprefix("file://")) if self.url.startswith("file://") else None

    def listed(self, under: str) -> dict[str, Listed]:
        """Return name -> what is listed, of the objects whose key is `under`/name."""
        if self._folder and not self._folder.is_dir():  # to look must not make it
            return {}
        with self._asking():
            pages = self._api.list(self._at, prefix=under, chunk_size=1000)
            found = (each for page in pages for each in page)
            return {each["path"].rpartition("/")[2]: _listed(each) for each in found}

    def look(self, key: str) -> Listed:
        """Return what a listing says of one object.

        Raises:
            FileNotFoundError: If there is none of this key.
        """
        with self._asking():
            return _listed(self._api.head(self._at, key))

    def get(self, key: str) -> bytes:
        """Return an object's content.

        Raises:
            FileNotFoundError: If there is none of this key.
        """
        with self._asking():
            return bytes(self._api.get(self._at, key).bytes())

    def create(self, key: str, content: bytes) -> bool:
        """Put an object if there is none of this key, and return whether it is there: of several who try, one has it.

        One of the same content counts: it may be ours, where the answer was lost and the server was asked again.
        """
        try:
            with self._asking():
                self._put(key, content, "create")
        except FileExistsError:
            try:
                return self.get(key) == content
            except FileNotFoundError:
                return False
        return True

    def replace(self, key: str, content: bytes) -> None:
        """Put an object, in place of the one of this key if there is one."""
        with self._asking():
            self._put(key, content, "overwrite")

    def _put(self, key: str, content: bytes, mode: str) -> None:
        self._api.put(self._at, key, content, mode=mode, use_multipart=False)

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        try:
            with self._asking():
                self._api.delete(self._at, key)
        except FileNotFoundError:  # of a folder; a bucket does not say
            pass

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in one line what goes wrong."""
        try:
            yield
        except ConfigError:
            raise
        except FileNotFoundError as error:
            if any(code in str(error) for code in ("NoSuchBucket", "ContainerNotFound")):
                raise OSError(f"{self.url}: {_reason(str(error))}") from None
            raise
        except Exception as error:
            if isinstance(error, self._api.exceptions.AlreadyExistsError):
                raise FileExistsError(self.url) from None
            if not isinstance(error, OSError) and not type(error).__module__.startswith("obstore"):
                raise
            raise OSError(f"{self.url}: {_reason(str(error))}") from None


def _listed(meta: Mapping[str, Any]) -> Listed:
    written = int(meta["last_modified"].timestamp() * 1e6) * 1000
    return Listed((meta["e_tag"] or str(written)).strip('"'), written)  # Azure quotes it in one answer, not in another


def _reason(text: str) -> str:
    """Return the server's own words out of a report of many lines; no key is in them."""
    known: dict[str, Callable[[re.Match[str]], str]] = {
        r"<Code>(.*?)</Code>\s*<Message>(.*?)(?:\nRequestId:.*?)?</Message>": lambda found: f"{found[1]}: {found[2]}",
        r"//169\.254\.169\.254/": lambda _: "no credentials in the environment",
        r"status code: (\d+[\w ]*)": lambda found: found[1],
    }
    found = next((say(match) for pattern, say in known.items() if (match := re.search(pattern, text, re.DOTALL))), text)
    return " ".join(found.partition("\n\n")[0].split())


@cache
def objects_at(url: str) -> Objects:
    """Return the objects below a URL, with the connections to them that there are."""
    return Objects(url)


def is_url(name: object) -> bool:
    """Return whether a store of this name is at a URL."""
    return isinstance(name, str) and "://" in name


def url_of(folder: Path) -> str | None:
    """Return the URL of which a folder has the copy, None of any other: `outputs/s3:/bucket/sweep` says it itself."""
    for place, part in enumerate(folder.parts):
        if part in ("s3:", "gs:", "az:", "file:"):
            return f"{part}//{'/' if part == 'file:' else ''}{'/'.join(folder.parts[place + 1 :])}"
    return None
