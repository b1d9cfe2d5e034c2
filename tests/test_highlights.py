"""Highlights, offsets and trailers against a made film and viewers whose feelings are planted."""

from dataclasses import replace

import av
import numpy as np
import pandas as pd
import pytest
from made_videos import (
    BrightFaceDetector,
    BrightnessModel,
    make_party,
    number_in,
    numbered_image,
    talk,
    write_wave,
)

from builder_tools.cli import main
from builder_tools.inference import Inference
from builder_tools.media import VideoReader, VideoWriter
from builder_tools.media.clips import ClipReader
from builder_tools.media.sound_samples import read_sound
from builder_tools.timeline.cuts import cuts_of
from builder_tools.timeline.highlights import HighlightSettings
from builder_tools.timeline.offsets import find_offset
from builder_tools.timeline.recordings import parse_viewers
from builder_tools.timeline.signals import SignalSettings
from builder_tools.timeline.trailer import cut_trailer
from builder_tools.timeline.viewers import search

SETTINGS = HighlightSettings(count=3, seconds=3, signal=SignalSettings(measure="surprise"))


@pytest.fixture(scope="module")
def party(tmp_path_factory):
    return make_party(tmp_path_factory.mktemp("party"))


def watching():
    return Inference(
        BrightnessModel(), BrightFaceDetector(), show_state_mode="none", inference_mode="video"
    )


@pytest.fixture(scope="module")
def found(party, tmp_path_factory):
    out = tmp_path_factory.mktemp("found")
    viewers = parse_viewers([str(path) for path in party.viewers.values()])
    return search(viewers, party.film, out, watching(), SETTINGS), out


def test_offsets_are_found_from_the_sound(found, party):
    for report in found[0].reports:
        assert report.offset_s == pytest.approx(party.starts_s[report.viewer], abs=0.04)
        assert report.offset_from == "sound" and report.problem == ""


def test_planted_peaks_are_found(found, party):
    peaks = sorted(highlight.peak_s for highlight in found[0].highlights)
    assert peaks == pytest.approx(party.peaks_s, abs=0.5)


def test_a_viewer_who_looked_away_neither_counts_nor_hides_a_moment(found):
    by_time = {round(highlight.peak_s): highlight for highlight in found[0].highlights}
    assert by_time[17].viewers == 3
    looked_away = next(h for h in found[0].highlights if 10 <= h.peak_s <= 11)
    assert (looked_away.viewers, looked_away.agreeing) == (2, 2)


def test_scores_lie_in_their_intervals_and_rank(found):
    scores = [highlight.score for highlight in found[0].highlights]
    assert scores == sorted(scores, reverse=True)
    assert all(h.score_low <= h.score <= h.score_high for h in found[0].highlights)
    assert [highlight.rank for highlight in found[0].highlights] == [1, 2, 3]


def test_the_files_say_the_same(found, party):
    result, out = found
    table = pd.read_csv(out / "highlights.csv")
    assert table["start_s"].tolist() == [h.start_s for h in result.highlights]
    assert set(table["measure"]) == {"surprise"}
    assert sorted(p.name for p in (out / "timelines").iterdir()) == [
        "anna.csv",
        "ben.csv",
        "cleo.csv",
    ]
    reactions = pd.read_csv(out / "reactions.csv", index_col="time_s")
    assert list(reactions) == ["median", "anna", "ben", "cleo"]
    assert reactions.loc[9.5:11.5, "cleo"].isna().all()
    assert pd.read_csv(out / "viewers.csv")["offset_from"].tolist() == ["sound"] * 3


def test_the_trailer_has_the_right_images_length_and_sound(found, party):
    result, out = found
    cuts = cuts_of(result.highlights, party.fps)
    with VideoReader(out / "trailer.mp4") as reader:
        shown = [number_in(frame.image) for frame in reader]
    assert shown == [n for cut in cuts for n in range(cut.first, cut.first + cut.count)]
    with av.open(str(out / "trailer.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec.name, audio.codec.name) == ("h264", "aac")
        expected_s = len(shown) / party.fps
        assert float(video.duration * video.time_base) == pytest.approx(expected_s, abs=1e-3)
        assert float(audio.duration * audio.time_base) == pytest.approx(
            expected_s, abs=1 / party.fps
        )
    at = 0
    for cut in cuts:
        length = round(cut.count / party.fps * party.rate_hz)
        sound = read_sound(
            out / "trailer.mp4",
            party.rate_hz,
            start_s=at / party.fps,
            num_samples=length,
            channels=1,
        )[0]
        first = round(cut.first / party.fps * party.rate_hz)
        assert _lag(sound, party.sound[first : first + length]) <= 0.002 * party.rate_hz
        at += cut.count


def _lag(a, b):
    size = 2 * len(a)
    match = np.fft.irfft(np.fft.rfft(a, size).conj() * np.fft.rfft(b, size))
    lag = int(match.argmax())
    return min(lag, size - lag)


def test_a_clip_reader_goes_back_and_forth(party):
    with ClipReader(party.film) as reader:
        for wanted in ([400, 401], [3], [250, 255]):
            times = [number / party.fps for number in wanted]
            assert [number_in(image) for image in reader.images_at(times)] == wanted


def test_a_trailer_of_nothing(party, tmp_path):
    with pytest.raises(ValueError, match="at least one cut"):
        cut_trailer(party.film, [], tmp_path / "t.mp4")


def test_sound_that_does_not_match(party, tmp_path):
    others = [
        write_wave(tmp_path / f"{seed}.wav", talk(15, 16000, seed=seed), 16000)
        for seed in range(90, 94)
    ]
    silence = write_wave(tmp_path / "silence.wav", np.zeros(160000, np.float32), 16000)
    for path in (*others, silence):
        assert not find_offset(path, party.film).is_clear
    short = write_wave(tmp_path / "short.wav", np.zeros(8000, np.float32), 16000)
    with pytest.raises(ValueError, match="less than 2 s"):
        find_offset(short, party.film)


def test_a_viewer_with_other_sound_is_assumed_to_begin_with_the_film(party, tmp_path):
    film = tmp_path / "silent.mp4"
    with VideoWriter(film, 25, (96, 54)) as writer:
        for number in range(100):
            writer.write(numbered_image(number))
    viewers = parse_viewers([str(party.viewers["anna"])])
    result = search(viewers, film, tmp_path / "out", watching(), SETTINGS)
    (report,) = result.reports
    assert (report.offset_s, report.offset_from) == (0.0, "assumed")
    assert "silent.mp4 without sound" in report.problem and "anna.mp4@+SECONDS" in report.problem


def test_one_viewer_without_a_film(party, tmp_path):
    result = search(
        parse_viewers([str(party.viewers["anna"])]), None, tmp_path, watching(), SETTINGS
    )
    start = party.starts_s["anna"]
    assert sorted(h.peak_s + start for h in result.highlights) == pytest.approx(
        party.peaks_s, abs=0.5
    )
    assert all(h.score_low is None for h in result.highlights)
    with VideoReader(tmp_path / "trailer.mp4") as reader:
        assert reader.duration_s == pytest.approx(9.0, abs=0.01)


def test_timelines_are_viewers_too(found, party, tmp_path):
    result, out = found
    texts = [f"{out}/timelines/{r.viewer}.csv@{r.offset_s:+.3f}" for r in result.reports]
    again = search(parse_viewers(texts), None, tmp_path, watching(), SETTINGS)
    assert [h.peak_s for h in again.highlights] == [h.peak_s for h in result.highlights]
    assert not (tmp_path / "trailer.mp4").exists()


def _constant_video(path, value, frames):
    with VideoWriter(path, 25, (64, 64)) as writer:
        for _ in range(frames):
            writer.write(np.full((64, 64, 3), value, np.uint8))
    return path


@pytest.mark.parametrize(
    ("value", "frames", "message"),
    [
        (0, 50, "No viewer was seen in any recording"),
        (120, 1, "No moment stands out"),
        (120, 100, "No moment stands out by 1 sigma in surprise"),
    ],
)
def test_recordings_without_highlights(tmp_path, value, frames, message):
    video = _constant_video(tmp_path / "v.mp4", value, frames)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trailer.mp4").write_text("of an earlier search")
    (tmp_path / "out" / "viewers.csv").write_text("viewer,offset_s,\n")
    result = search(parse_viewers([str(video)]), None, tmp_path / "out", watching(), SETTINGS)
    assert result.highlights == [] and any(message in line for line in result.problems)
    assert len((tmp_path / "out" / "highlights.csv").read_text().splitlines()) == 1
    assert not (tmp_path / "out" / "trailer.mp4").exists()


def test_a_recording_damaged_in_its_middle(party, tmp_path):
    data = bytearray(party.viewers["anna"].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    damaged = tmp_path / "anna.mp4"
    damaged.write_bytes(data)
    viewers = parse_viewers([f"{damaged}@+1.25", str(party.viewers["ben"])])
    result = search(viewers, party.film, tmp_path / "out", watching(), SETTINGS)
    assert len(result.highlights) >= 2


def test_what_moved_nobody_together_is_not_cut_unless_forced(party, tmp_path):
    """Two viewers who reacted at other moments, and the one of them alone."""
    films = [str(party.viewers["anna"]) + "@+0", str(party.viewers["ben"]) + "@+6"]
    lone = HighlightSettings(
        seconds=3, least_agreement=1.0, signal=SignalSettings(measure="surprise")
    )
    result = search(parse_viewers(films), party.film, tmp_path / "no", watching(), lone)
    assert result.highlights == [] and not (tmp_path / "no" / "trailer.mp4").exists()
    assert "Nothing moved the 2 viewers together" in result.problems[-1]
    assert "100% of those seen" in result.problems[-1] and "--force" in result.problems[-1]
    forced = replace(lone, only_agreed=False)
    result = search(parse_viewers(films), party.film, tmp_path / "yes", watching(), forced)
    assert {h.trust for h in result.highlights} == {"doubtful"}
    assert (tmp_path / "yes" / "trailer.mp4").exists()
    assert "They are cut all the same" in result.problems[-1]
    alone = search(parse_viewers(films[:1]), party.film, tmp_path / "one", watching(), lone)
    assert {h.trust for h in alone.highlights} == {"one viewer"}
    assert alone.problems == ["One viewer alone: what moved them need not move others."]


def test_the_verb_on_a_real_face(face_video, tmp_path, capsys):
    out = tmp_path / "cut"
    options = ["--count", "1", "--seconds", "1", "--by", "happy", "--prominence", "0.2"]
    assert main(["highlights", str(face_video.path), "--out", str(out), *options]) == 0
    text = capsys.readouterr()
    names = {path.name for path in out.iterdir()}
    assert {"highlights.csv", "viewers.csv", "reactions.csv", "highlights.png"} <= names
    assert "Written" in text.err
    assert ("trailer.mp4" in names) == (" 1. " in text.out)


def test_the_verb_refuses(tmp_path, face_video, capsys):
    for arguments, message in [
        (["absent.mp4"], "No recording"),
        ([str(face_video.path), "--film", "absent.mp4"], "No film"),
        ([str(face_video.path), "--seconds", "0"], "seconds > 0"),
    ]:
        assert main(["highlights", *arguments, "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_search_that_was_broken_off_is_begun_again(tmp_path):
    video, out = _constant_video(tmp_path / "v.mp4", 120, 5), tmp_path / "out"
    (out / "timelines").mkdir(parents=True)
    timeline = out / "timelines" / "v.csv"
    timeline.write_text("frame,time_s,track,face_px\n")
    search(parse_viewers([str(video)]), None, out, watching(), SETTINGS)
    assert len(timeline.read_text().splitlines()) == 6
    timeline.write_text("my diary")
    with pytest.raises(ValueError, match=r"v\.csv.*Something else is there"):
        search(parse_viewers([str(video)]), None, out, watching(), SETTINGS)
