"""What the scripts of `builder-tools completion` complete."""

import shutil
import subprocess

import pytest

from builder_tools.cli import main


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "script"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert main(["completion", "bash"]) == 0
    return path


def complete(script, *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _builder_tools; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["builder-tools", "img"], ["img", "img-batch"]),
        (["builder-tools", "img-batch", "--faces"], ["--faces-csv"]),
        (["builder-tools", "video", "film.mp4", "--device", ""], ["cpu", "cuda", "auto"]),
        (["builder-tools", "video", "--detector", "y"], ["yunet"]),
        (["builder-tools", "completion", ""], ["bash", "zsh"]),
        (["builder-tools", "data", "ver"], ["verify"]),
        (["builder-tools", "img", "pho"], []),
        (["builder-tools", "nonsense", "--"], []),
    ],
)
def test_bash_completes(script, words, offered):
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    assert complete(script, *words) == offered


def test_zsh_gets_the_same_by_way_of_bash(script, capsys):
    assert main(["completion", "zsh"]) == 0
    first, rest = capsys.readouterr().out.split("\n", 1)
    assert first == "autoload -U +X bashcompinit && bashcompinit"
    body = rest.partition("\n")[2]  # the line between them names the shell
    assert body == script.read_text().partition("\n")[2]
