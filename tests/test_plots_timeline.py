"""Figures of videos: who has a row, what is said, what is marked, and whose face is shown."""
# ruff: noqa: RUF001 - Russian letters that look like Latin ones are meant.

from itertools import combinations

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Patch

from builder_tools.cli import main
from builder_tools.detectors.turning import turned_back
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.inference import Inference
from builder_tools.inference.search import Orientation
from builder_tools.media import VideoWriter, read_image
from builder_tools.plots.timeline import (
    plot_affect_path,
    plot_emotions_over_time,
    plot_places,
    plot_shares,
    plot_video,
)
from builder_tools.results import Box, Face, FaceEmotion, FrameResult, crop
from builder_tools.timeline.faces import FACE_PX, MARGIN, BestSights
from builder_tools.timeline.summary import SummaryMaker, describe_video

EMOTIONS = ("happy", "neutral", "sad")


@pytest.fixture(autouse=True)
def _without_screen():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def _table(people, frames=40):
    """Return a timeline at ten frames a second; person n is there for n tenths of the frames."""
    rows = []
    for index in range(frames):
        for track in range(1, people + 1):
            if index < frames * track / 10:
                shares = (0.5, 0.3, 0.2) if index % 2 else (0.1, 0.8, 0.1)
                rows.append((index, index / 10, track, "happy", *shares, 0.2, -0.1))
    columns = ["frame", "time_s", "track", "emotion", "p_happy", "p_neutral", "p_sad"]
    table = pd.DataFrame(rows, columns=[*columns, "valence", "arousal"])
    return table.astype({"track": "Int64"})


def _rows(figure):
    """Return what stands beside each row."""
    return [ax.get_ylabel().split("\n")[0] for ax in figure.axes if ax.get_ylabel()]


def _legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_person_has_a_row():
    figure = plot_video(_table(7))
    assert _rows(figure) == ["all 7 people", *(f"person {n}" for n in range(1, 8))]
    assert _rows(plot_video(_table(1))) == ["person 1"]


def test_classes_without_valence_and_arousal_leave_their_panels_empty():
    table = _table(2).assign(valence=np.nan, arousal=np.nan)
    axes = plot_video(table, language="en").axes
    assert len(axes) == 6 and all(ax.collections for ax in axes[::2])
    for ax in axes[1::2]:
        assert ax.get_ylim() == (-1, 1) and ax.get_xlim() == axes[0].get_xlim()
        assert not ax.patches, "somebody is there"
    with pytest.raises(ValueError, match=r"a face .*\['valence', 'arousal'\].*Received: none"):
        plot_affect_path(table)


def test_the_others_are_one_row_and_said():
    figure = plot_video(_table(9), most_people=3)
    assert _rows(figure) == ["all 9 people", "person 7", "person 8", "person 9", "others (6)"]
    assert _rows(plot_video(_table(9), [9, 3], most_people=3)) == [
        "all 2 people",
        "person 3",
        "person 9",
    ]


def test_title_note_and_legend_are_in_the_language():
    figure = plot_video(_table(2), title="film.mp4", note="2", highlights=[(1, 2)], language="ru")
    assert figure.get_suptitle() == "film.mp4\n2"
    assert _rows(figure) == ["все, людей: 2", "человек 1", "человек 2"]
    assert _legend(figure) == [
        *("радость", "нейтрально", "грусть", "валентность", "возбуждение"),
        *("нет в кадре", "яркий момент"),
    ]
    assert "highlight" not in _legend(plot_video(_table(2)))
    ax = plot_emotions_over_time(_table(2), 1, language="ru")
    assert ax.get_title() == "человек 1" and ax.get_xlabel() == "время, с"


def test_neutral_can_be_told_from_paper():
    figure = plot_video(_table(1))
    neutral = next(p for p in figure.legends[0].get_patches() if isinstance(p, Patch))
    assert neutral.get_linewidth() > 0 and neutral.get_edgecolor()[:3] == (0.35, 0.35, 0.35)
    band = figure.axes[0].collections[1]
    assert band.get_linewidth()[0] > 0
    assert band.get_edgecolor()[0][0] == pytest.approx(0.35)


def test_a_single_sight_is_seen_and_absence_hatched():
    table = _table(1)
    table = table[table["frame"] != 1]
    table.loc[table["frame"] == 0, "time_s"] = 0.0
    alone = pd.concat([table[table["frame"] == 0], table[table["frame"] >= 39]])
    other = _table(10)[lambda rows: rows["track"] == 10]
    figure = plot_video(pd.concat([alone, other]), [1])
    path = figure.axes[0].collections[0].get_paths()[0].vertices
    assert np.ptp(path[:, 0][np.isfinite(path[:, 0])]) >= 0.09  # as wide as its frame
    hatched = [p for p in figure.axes[0].patches if p.get_hatch()]
    assert len(hatched) == 1 and hatched[0].get_x() == pytest.approx(0.1)


@pytest.mark.parametrize("fps", [30, 29.97, 24, 15])
def test_times_in_milliseconds_leave_no_stripes_of_nobody(fps):
    """WebM and Matroska round the times of images, so that some periods have none."""
    times_s = np.round(np.arange(round(10 * fps)) / fps, 3)
    table = pd.DataFrame({"frame": range(len(times_s)), "time_s": times_s, "track": 1})
    table = table.assign(emotion="happy", p_happy=1.0, valence=0.8, arousal=0.5)
    for ax in plot_video(table, [1]).axes:
        assert not [patch for patch in ax.patches if patch.get_hatch()]


def test_an_image_is_shown_until_the_next_one_or_for_a_second():
    """Images of an animation may be held; of a camera that is lost, nobody knows."""
    held = _table(10)[lambda rows: rows["frame"].isin([0, 1, 2, 9, 10, 11, 30, 31])]
    other_left = ~((held["track"] == 2) & (held["frame"] == 2))
    figure = plot_video(held[held["track"].isin([1, 2, 10]) & other_left], [2, 10])
    _, left, always = (
        [(p.get_x(), p.get_width()) for p in ax.patches if p.get_hatch()] for ax in figure.axes[::2]
    )
    assert always == [pytest.approx((2.2, 0.8))]
    assert left == [pytest.approx((0.2, 3.0))]


def test_the_page_draws_people_for_as_long_as_they_are_there():
    """Somebody seen for a second of a minute was drawn for six: few images, long periods."""
    pytest.importorskip("fastapi")
    from builder_tools.web.videos import curves_of

    always = pd.DataFrame({"frame": range(1800), "time_s": np.arange(1800) / 30, "track": 1})
    always = always.assign(p_happy=1.0, valence=0.8, arousal=0.5)
    briefly = always[always["time_s"].between(7, 7.99)].assign(track=2)
    blinking = briefly.assign(track=3)  # short, so nobody, but it shows that they were looked for
    table = pd.concat([always[always["time_s"] < 30], briefly, blinking.assign(time_s=50.0)])
    two = curves_of(table, [2], ("happy",), 60.0)
    there = two.times_s[np.isfinite(two.emotions["happy"])]
    assert (there.min(), there.max()) == (pytest.approx(7.1), pytest.approx(7.9))
    everybody = curves_of(table, [1, 2], ("happy",), 60.0)
    there = everybody.times_s[np.isfinite(everybody.valence)]
    assert there.max() == pytest.approx(30.9)  # nobody looked for them from 30 s to 50 s


def test_highlights_are_framed_and_numbered_in_every_row():
    figure = plot_video(_table(2), highlights=[(1.0, 2.0), (3.0, 3.5)])
    for ax in figure.axes:
        frames = [p for p in ax.patches if not p.get_fill() or p.get_facecolor()[3] == 0]
        assert [(p.get_x(), p.get_width()) for p in frames] == [(1.0, 1.0), (3.0, 0.5)]
        assert [text.get_text().strip() for text in ax.texts] == ["1", "2"]


def test_faces_are_drawn_on_request_only():
    image = np.zeros((8, 8, 3), np.uint8)
    plain, shown = plot_video(_table(3)), plot_video(_table(3), faces={2: image, 99: image})
    assert not any(ax.images for ax in plain.findobj(plt.Axes))
    assert sum(bool(ax.images) for ax in shown.findobj(plt.Axes)) == 1


@pytest.mark.parametrize("kind", [np.array, pd.Series, pd.Index, lambda tracks: tracks])
def test_people_may_come_in_any_list(kind):
    """An array of tracks, as of `table["track"].unique()`, was nobody."""
    tracks = kind([1, 2])
    assert plot_emotions_over_time(_table(3), tracks).get_title() == "all 2 people"
    assert plot_affect_path(_table(3), tracks).get_title() == "all 2 people"


def test_nobody_to_draw():
    with pytest.raises(ValueError, match="Expected a face"):
        plot_video(_table(1).iloc[:0].assign(time_s=[]), [])


def _film(path, astronaut):
    small = np.full_like(astronaut, 90)
    small[100 : 100 + 256, 100 : 100 + 256] = astronaut[::2, ::2]
    with VideoWriter(path, 10, (512, 512)) as writer:
        for number in range(20):
            writer.write(small if number < 10 else astronaut, number / 10)
    return path


def test_the_surest_sight_of_each_person_is_cut_out(astronaut, tmp_path):
    path, sights = _film(tmp_path / "film.mp4", astronaut), BestSights()
    for index, (score, box) in enumerate([(0.9, (170, 70, 270, 170)), (0.5, (0, 0, 20, 20))]):
        face = Face(Box(*box), score, track=4)
        sights.add(FrameResult("film", 12 + index, 0.0, (FaceEmotion(face, {"happy": 1.0}),)))
    faces = sights.cut(path, [4, 5], Orientation())
    assert list(faces) == [4] and faces[4].shape == (96, 96, 3)
    wanted = astronaut[45:195, 145:295].mean(axis=(0, 1))
    assert np.abs(faces[4].mean(axis=(0, 1)) - wanted).max() < 12
    assert BestSights().cut(path, [1], Orientation()) == {}


@pytest.mark.parametrize(("lies_deg", "rotate"), [(90, "270"), (180, "180"), (90, "auto")])
def test_faces_of_a_turned_video_are_drawn_upright(
    lies_deg, rotate, astronaut, tmp_path, monkeypatch
):
    film, drawn = tmp_path / "film.mp4", {}
    with VideoWriter(film, 10, (512, 512)) as writer:
        for _ in range(10):
            writer.write(turned_back(astronaut, 360 - lies_deg))
    monkeypatch.setattr(
        "builder_tools.plots.timeline.plot_video",
        lambda *args, **options: drawn.update(options["faces"]) or plt.figure(),
    )
    outputs = ["--timeline", str(tmp_path / "t.csv"), "--plot", str(tmp_path / "p.png")]
    assert main(["video", str(film), "--rotate", rotate, *outputs, "--plot-faces"]) == 0
    (face,) = drawn.values()
    with Inference(show_state_mode="none") as inference:
        (found,) = inference.analyse(astronaut)
    upright = crop(astronaut, found.face.box.square().scale(MARGIN))
    wanted = cv2.resize(upright, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(face.ravel(), wanted.ravel())[0, 1] > 0.8


def test_the_verb_draws_people_and_their_faces_when_asked(astronaut, tmp_path, capsys):
    film = str(_film(tmp_path / "film.mp4", astronaut))
    table, plain, faces = (str(tmp_path / name) for name in ("t.csv", "plain.png", "faces.png"))
    arguments = ["video", film, "--timeline", table]
    assert main([*arguments, "--plot", plain]) == 0
    assert main([*arguments, "--plot", faces, "--plot-faces", "--language", "ru"]) == 0
    assert read_image(plain).shape[1] == read_image(faces).shape[1] == 1440
    capsys.readouterr()
    assert main([*arguments, "--plot-faces"]) == 2
    assert "--plot OUT.png" in capsys.readouterr().err
    assert main([*arguments, "--plot", faces, "--plot-faces", "--blur-faces"]) == 2
    assert "Received: both" in capsys.readouterr().err
    assert main([*arguments, "--plot", str(tmp_path / "none.png"), "--person-s", "99",
                 "--person-score", "1"]) == 0  # fmt: skip
    assert "so nothing is drawn" in capsys.readouterr().err
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--plot", "p.docx", "Expected a figure that ends in one of"),
        ("--plot", "there", "Expected a file to write with --plot. Received a folder"),
        ("--timeline", "there", "Expected a file to write with --timeline. Received a folder"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_film(
    option, name, message, tmp_path, capsys
):
    (tmp_path / "there").mkdir()
    options = {"--timeline": "t.csv", "--plot": "p.png", option: name}
    places = [word for key, one in options.items() for word in (key, str(tmp_path / one))]
    assert main(["video", "absent.mp4", *places]) == 2
    assert message in capsys.readouterr().err


def test_faces_of_a_pipe_cannot_be_drawn(tmp_path, capsys):
    arguments = ["video", "-", "--timeline", str(tmp_path / "t.csv")]
    assert main([*arguments, "--plot", str(tmp_path / "p.png"), "--plot-faces"]) == 2
    assert "read several times" in capsys.readouterr().err


def test_how_long_somebody_was_in_sight_is_the_same_beside_a_row_and_in_the_lines():
    """Short gaps count as in sight, long ones up to a second; two at once count once for all."""
    table = _table(10)[lambda rows: rows["track"].isin([9, 10])]
    gone = (table["track"] == 9) & table["frame"].isin([3, 4, 5, 8, *range(12, 30)])
    table = table[~gone]
    maker = SummaryMaker(EMOTIONS)
    for frame, rows in table.groupby("frame"):
        faces = tuple(
            FaceEmotion(
                Face(Box(0, 0, 9, 9), 0.9, track=int(row.track)),
                dict(zip(EMOTIONS, (row.p_happy, row.p_neutral, row.p_sad), strict=True)),
            )
            for row in rows.itertuples()
        )
        maker.add(FrameResult("film", int(frame), frame / 10, faces))
    beside = [ax.get_ylabel().split("\n")[1] for ax in plot_video(table).axes if ax.get_ylabel()]
    lines = [f"{person.seen_s:.1f} s" for person in maker.people()]
    assert lines == ["2.6 s", "3.9 s"]
    assert beside == ["3.9 s", *lines]
    assert "6.5 person-seconds in sight" in describe_video(maker)


@pytest.mark.parametrize("count", [2, 10, 24])
def test_the_legend_of_many_places_covers_nothing_and_no_colour_comes_twice(count):
    """A report by hour has 24; its legend lay across the bars, in ten colours."""
    names = [f"exhibit {number}, the large room beyond the cloakroom" for number in range(count)]
    estimate = (0.3, 0.2, 0.4)
    bars = plot_shares(names, [dict.fromkeys(EMOTIONS, estimate)] * count)
    marks = plot_places(dict.fromkeys(names, (estimate, estimate)), EmotionSet(EMOTIONS))
    for ax, colour_of in ((bars, lambda h: h.patches[0].get_facecolor()), (marks, _colour_of)):
        ax.figure.draw_without_rendering()
        legend, whole = ax.get_legend().get_window_extent(), ax.figure.bbox
        assert not legend.overlaps(ax.get_window_extent())
        assert legend.x1 <= whole.x1 + 1 and legend.y0 >= whole.y0 - 1
        assert ax.get_window_extent().height > whole.height / 2
        handles = ax.get_legend_handles_labels()[0]
        assert len({to_hex(colour_of(handle)) for handle in handles}) == count


def test_words_on_the_plane_are_not_written_over_each_other():
    ax = plt.subplots(figsize=(5, 4.5), layout="constrained")[1]
    plot_places({"hall": ((0.1, 0.0, 0.2), (0.1, 0.0, 0.2))}, NINE_EMOTIONS, ax)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 7
    assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))


def _colour_of(handle):
    return handle.lines[0].get_color()
