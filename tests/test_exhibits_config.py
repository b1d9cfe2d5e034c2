"""A configuration of `exhibits`: keys that would have no effect on a source are refused."""

import pytest

from builder_tools.timeline.exhibits_config import read_config


def configure(folder, *lines):
    (folder / "room").mkdir(exist_ok=True)
    (folder / "archive" / "parts").mkdir(parents=True, exist_ok=True)
    path = folder / "show.toml"
    path.write_text("\n".join(["[[exhibit]]", "name = 'a'", *lines]))
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["source = 'room'", "files = 'c*'"], "an archive with 'files'.*'a'.*room"),
        (["source = 0", "files = 'c*'"], "an archive with 'files'.*'a'.*0"),
        (["source = 'room'", "seconds = 5"], "a camera with 'seconds'.*'a'.*room"),
        (["source = 'archive'", "seconds = 5"], "a camera with 'seconds'.*'a'.*archive"),
    ],
)
def test_keys_without_effect_are_refused(tmp_path, lines, message):
    """With `files` of a folder, all its recordings counted, in every exhibit that named it."""
    with pytest.raises(ValueError, match=message):
        read_config(configure(tmp_path, *lines))


@pytest.mark.parametrize(
    "lines",
    [
        ["source = 'archive'", "files = 'c*'"],
        ["source = 0", "seconds = 5"],
        ["source = 'http://192.0.2.1/v'", "seconds = 5"],
    ],
)
def test_keys_with_an_effect_are_taken(tmp_path, lines):
    (found,) = read_config(configure(tmp_path, *lines)).exhibits
    assert found.files == "c*" or found.seconds == 5
