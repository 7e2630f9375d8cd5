"""Public data sets, pinned by commit and sha256, from a mirror folder or from a download cache.

`data/registry.toml` says what exists; `fetch("gsm8k")` returns the files, never one with a wrong
hash. Three environment variables say where things are: `FORGETTING_DATA_MIRROR` (a folder laid
out as owner__repo/path), `FORGETTING_HOME` (downloads go to its data/ folder), and
`FORGETTING_DATA` (the repository's data/ folder, for a package that is not installed from a clone).
"""

import difflib
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple
from urllib.parse import quote

import pooch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from forgetting import checking
from forgetting.home import data_dir, folder, home

HOST = "https://raw.githubusercontent.com"


class UnknownDataSet(ValueError):
    """No data set has this name."""


class UnknownFile(ValueError):
    """The data set has no file with this path."""


class CorruptData(ValueError):
    """A file's sha256 is not the one in the registry."""


class Unreachable(OSError):
    """A file is neither in the mirror nor in the cache, and its home does not answer."""


def _within(path: str) -> str:
    """A path that leads to no place outside the folder in which it is looked for."""
    parts = PurePosixPath(path).parts
    if not parts or "\\" in path or ".." in parts or PurePosixPath(path).is_absolute():
        raise ValueError("a path within the repository, with / between folders")
    return path


class DataFile(NamedTuple):
    """A line of `files` in registry.toml; `path` is relative to the root of the repository."""

    path: Annotated[str, AfterValidator(_within)]
    bytes: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class DataSet(BaseModel):
    """A table of registry.toml; `mirror=False`: too large for the project's own mirror."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    repo: Annotated[str, Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    licence: str
    mirror: bool = True
    files: tuple[DataFile, ...] = Field(min_length=1)

    def url(self, file: DataFile) -> str:
        """The address of one of the set's files."""
        return f"{HOST}/{self.repo}/{self.commit}/{quote(file.path)}"

    def mirror_path(self, file: DataFile) -> str:
        """Where one of the set's files lies in a mirror; the cache has the same layout."""
        return f"{self.repo.replace('/', '__')}/{file.path}"


def registry_path() -> Path:
    """The file that lists the data sets. Raises `FileNotFoundError`."""
    path = data_dir() / "registry.toml"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; set FORGETTING_DATA to a clone's data/")
    return path


def names() -> list[str]:
    """All data sets, sorted. Raises `FileNotFoundError` without a registry, as do all below."""
    return sorted(_data_sets(registry_path()))


def dataset(name: str) -> DataSet:
    """The data set of that name. Raises `UnknownDataSet`."""
    known = _data_sets(registry_path())
    if name not in known:
        raise UnknownDataSet(f"name={name!r}: no such data set{_nearest(name, known)}")
    return known[name]


def digest(name: str) -> str:
    """A set's identity: sha256 over its sorted (path, sha256). Raises `UnknownDataSet`."""
    lines = sorted(f"{file.path}\0{file.sha256}\n" for file in dataset(name).files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def available(name: str) -> bool:
    """Whether mirror and cache hold all files of a set in full size. Neither hashes nor downloads.

    Raises `UnknownDataSet`.
    """
    data = dataset(name)
    return all(
        any(path.is_file() and path.stat().st_size == file.bytes for path in _places(data, file))
        for file in data.files
    )


def fetch(name: str, *paths: str) -> list[Path]:
    """The files of a set in the registry's order, or only those in `paths` in the order given.

    A file in the mirror is used in place; any other is downloaded to the cache once.
    Raises `UnknownDataSet`; `UnknownFile`, before any download; `CorruptData` for a wrong hash;
    `Unreachable` if a download is needed and fails.
    """
    data = dataset(name)
    files = {file.path: file for file in data.files}
    for path in paths:
        if path not in files:
            raise UnknownFile(f"path={path!r}: no such file in {name}{_nearest(path, files)}")
    return [_fetch_file(data, files[path]) for path in paths or files]


def damage(name: str) -> list[str]:
    """A line for every file of the set that is there and is not as registered: what and where.

    Raises `UnknownDataSet`.
    """
    data = dataset(name)
    problems = []
    for file in data.files:
        for path in _places(data, file):
            if not path.is_file():
                continue
            if (size := path.stat().st_size) != file.bytes:
                wrong = f"{size:,} bytes, registered are {file.bytes:,}"
            elif (sha256 := _sha256(path)) != file.sha256:
                wrong = f"sha256 {sha256[:12]}…, registered is {file.sha256[:12]}…"
            else:
                continue
            problems.append(f"{name}: {path}: {wrong}; replace it by {data.url(file)}")
    return problems


def _fetch_file(data: DataSet, file: DataFile) -> Path:
    *mirrored, cached = _places(data, file)
    for path in mirrored:
        if path.is_file():
            if (sha256 := _sha256(path)) != file.sha256:
                error = f"{path}: expected sha256 {file.sha256}, found {sha256}"
                raise CorruptData(f"{error}; replace it by {data.url(file)}")
            return path
    # A damaged file in the cache is ours to replace, so it is downloaded again, not reported.
    if not (cached.is_file() and _sha256(cached) == file.sha256):
        _download(data, file, cached)
    return cached


def _download(data: DataSet, file: DataFile, target: Path) -> None:
    from requests import RequestException  # slow to import, and a mirror does without

    url = data.url(file)
    pooch.get_logger().setLevel("WARNING")  # a line for each file is too much for sets of 500
    try:
        # pooch downloads to a temporary name and moves the file here after checking its hash.
        pooch.retrieve(url, f"sha256:{file.sha256}", fname=target.name, path=target.parent)
    except (RequestException, ConnectionError, TimeoutError) as error:
        raise Unreachable(
            f"{data.name} ({len(data.files)} files, {sum(f.bytes for f in data.files) / 1e6:.1f} "
            f"MB): {type(error).__name__} from {url}; without network set FORGETTING_DATA_MIRROR "
            f"to a folder laid out as owner__repo/path, here {data.mirror_path(file)}"
        ) from error
    except ValueError as error:  # its text names the expected and the found hash
        raise CorruptData(f"{url}: {error} Fetch again, or use a mirror.") from error


def _places(data: DataSet, file: DataFile) -> list[Path]:
    """In the mirror, if there is one, and last in the cache."""
    places = (folder("FORGETTING_DATA_MIRROR"), home() / "data")
    return [place / data.mirror_path(file) for place in places if place]


def _sha256(path: Path) -> str:
    return _sha256_at(path, path.stat().st_size, path.stat().st_mtime_ns)


@cache
def _sha256_at(path: Path, size: int, mtime_ns: int) -> str:
    """Hashed once in a process, and again only if size or time have changed."""
    return pooch.file_hash(str(path), alg="sha256")


@cache
def _data_sets(registry: Path) -> dict[str, DataSet]:
    tables = checking.toml(registry)
    return {n: checking.read(DataSet, registry, table, name=n) for n, table in tables.items()}


def _nearest(wrong: str, known: Iterable[str]) -> str:
    return "".join(f"; nearest: {m!r}" for m in difflib.get_close_matches(wrong, known, 1, 0))
