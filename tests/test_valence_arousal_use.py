"""The verb `label-va` and the figures of valence and arousal."""

import shutil

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from toy_study import toy_faces, write_official

from builder_tools.cli import main
from builder_tools.datasets.class_folders import write_class_folders
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import read_image
from builder_tools.plots.valence_arousal import (
    plot_circumplex,
    plot_density,
    plot_trajectories,
)
from builder_tools.valence_arousal import (
    labels_by_name,
    read_labels,
    vote_weighted_anchors,
)

QUICK = ["--neighbours", "25", "--landmarks", "60"]


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    faces = toy_faces({"train": 12, "valid": 4, "test": 4})
    return write_official(tmp_path_factory.mktemp("toy"), faces)


@pytest.fixture(scope="module")
def folders(official, tmp_path_factory):
    root = tmp_path_factory.mktemp("folders") / "faces"
    write_class_folders(ferplus_table(official), root)
    return root


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    plt.close("all")


def test_a_folder_is_labelled_saved_and_drawn(folders, tmp_path, capsys):
    out, kept, drawn = (tmp_path / name for name in ("labels.csv", "va.npz", "new/va.png"))
    arguments = [str(folders), "--out", str(out), *QUICK, "--save", str(kept)]
    assert main(["label-va", *arguments, "--plot", str(drawn)]) == 0
    printed = capsys.readouterr()
    assert printed.out.split()[:3] == ["images", "valence", "valence_sd"]
    assert "happy" in printed.out and "Written" in printed.err
    rows = read_labels(out)
    assert len(rows) == 180 and set(rows["emotion"]) == set(NINE_EMOTIONS)
    happy = rows[rows["emotion"] == "happy"]
    assert happy["valence"].mean() == pytest.approx(0.81, abs=0.1)
    assert read_image(drawn).std() > 5
    again = tmp_path / "again.csv"
    assert main(["label-va", str(folders), "--out", str(again), "--labeller", str(kept)]) == 0
    places = [one["arousal"].to_numpy() for one in (rows, read_labels(again))]
    assert places[0] == pytest.approx(places[1], abs=1e-4)
    asked = [str(folders), "--out", str(again), "--labeller", str(kept), "--method", "pca"]
    assert main(["label-va", *asked]) == 2
    assert "options of a labeller with --labeller. Received: ['method']" in capsys.readouterr().err


def test_a_fitted_labeller_places_any_number_of_images(folders, tmp_path, capsys):
    """Also too few to be split, images made of others, and tables with words of their own."""
    out, kept = tmp_path / "labels.csv", tmp_path / "va.npz"
    assert main(["label-va", str(folders), "--out", str(out), *QUICK, "--save", str(kept)]) == 0
    one = tmp_path / "new/happy"
    one.mkdir(parents=True)
    face = next((folders / "train/happy").iterdir())
    shutil.copy(face, one)
    fitted = ["--out", str(out), "--labeller", str(kept)]
    assert main(["label-va", str(one.parent), *fitted]) == 0
    assert read_labels(out)["split"].tolist() == [""]
    (one / "labels.csv").write_text(f"who,mood\n{face.name},Grin\n")
    words = ["--columns", "path=who", "emotion=mood", "--classes", "grin=happy"]
    table = ["--data", "folders", "--source", str(one / "labels.csv")]
    assert main(["label-va", *table, *words, *fitted]) == 0
    assert read_labels(out)["emotion"].tolist() == ["happy"]
    capsys.readouterr()
    assert main(["label-va", *table, *words[:3], *fitted]) == 2
    assert "Expected images of the labeller's classes" in capsys.readouterr().err
    made = ["balance", str(folders / "train"), "--out", str(tmp_path / "made"), "--value", "13"]
    assert main(made) == 0
    assert main(["label-va", str(tmp_path / "made"), *fitted]) == 0
    assert len(read_labels(out)) == 9 * 13


def test_ferplus_is_labelled_by_split_and_labels_fit_its_table(official, tmp_path):
    out = tmp_path / "labels.csv"
    source = ["--data", "ferplus", "--source", str(official), "--split", "train"]
    assert main(["label-va", *source, "--out", str(out), "--method", "votes"]) == 0
    train = ferplus_table(official).split("train")
    found = labels_by_name(read_labels(out), train)
    assert found == pytest.approx(vote_weighted_anchors(train.votes), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folders}", "--data", "ferplus"], "one of them"),
        ([], "one of them"),
        (["{folders}", "--neighbours", "500"], "more faces than neighbours (500)"),
        (["{folders}", "--neighbours", "2"], "Try more neighbours"),
        (["{folders}", "--method", "anchor", "--neighbours", "5"], "no such option|neighbours"),
        (["{folders}", "--method", "votes"], "FER+ votes"),
        (["{folders}", "--method", "umap", "--save", "x.npz"], "can be saved"),
        (["{folders}", "--method", "anchor", "--save", "x.npz"], "can be saved"),
        (["{folders}", "--method", "isomap-network", "--network", "none.keras"], "none.keras"),
        (["{folders}", "--labeller", "none.npz"], "saved labeller"),
        (["{folders}", "--labeller", "none.npz", "--pull", "1"], "no options"),
        (["{folders}/none"], "none"),
        (["{folders}", "--source", "elsewhere"], "--source with --data"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(folders, tmp_path, capsys, arguments, message):
    arguments = [one.replace("{folders}", str(folders)) for one in arguments]
    out = tmp_path / "new" / "labels.csv"
    assert main(["label-va", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|")), error
    assert not out.parent.exists()


def test_one_class_only_is_refused(official, tmp_path, capsys):
    table = ferplus_table(official)
    write_class_folders(table.rows(table.labels == 4), tmp_path / "happy")
    arguments = [str(tmp_path / "happy"), "--out", str(tmp_path / "labels.csv"), *QUICK[:2]]
    assert main(["label-va", *arguments[:-1], "5"]) == 2
    assert "two classes" in capsys.readouterr().err
    assert not (tmp_path / "labels.csv").exists()


def test_the_circumplex_names_every_anchor_once():
    ax = plot_circumplex(NINE_EMOTIONS, title="plane")
    texts = [text.get_text() for text in ax.texts]
    assert "neutral/uncertain" in texts and len(texts) == 8
    assert ax.get_xlabel() == "valence" and ax.get_title() == "plane"
    assert plot_circumplex(NINE_EMOTIONS, ax=ax) is ax


def test_densities_lie_where_the_faces_do():
    rng = np.random.default_rng(0)
    labels = np.repeat([4, 6, 0], [300, 300, 4])
    places = rng.normal(0, 0.05, (604, 2)) + NINE_EMOTIONS.anchors[labels]
    places[600:] = NINE_EMOTIONS.anchors[0]
    ax = plot_density(places, labels, NINE_EMOTIONS)
    assert len(ax.collections) == 2  # the four angry faces at one place are dots
    for contours, label in zip(ax.collections, (4, 6), strict=True):
        outline = np.concatenate([path.vertices for path in contours.get_paths()])
        far = np.linalg.norm(outline - NINE_EMOTIONS.anchors[label], axis=1)
        assert far.min() > 0.03 and far.max() < 0.2


def test_trajectories_end_where_they_should():
    ways = np.array([[[0.0, 0.0], [0.5, 0.5]], [[0.4, 0.1], [-0.5, 0.2]]])
    ax = plot_trajectories(ways, np.array([4, 6]), NINE_EMOTIONS)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_lw() == 0.8]
    drawn = [np.stack(line.get_data(), axis=1) for line in lines]
    assert any(np.array_equal(one, ways[:, 0]) for one in drawn)
    sad = np.array(NINE_EMOTIONS.colour_rgb("sad")) / 255
    assert any(np.allclose(to_rgb(line.get_color()), sad) for line in lines)
    with pytest.raises(ValueError, match="one a label"):
        plot_trajectories(ways, np.array([4]), NINE_EMOTIONS)
