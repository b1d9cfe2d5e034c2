"""`video` and `video_rec` on a real H.264 film with a real face and a sound track."""

import os
import sys
from collections import Counter

import av
import numpy as np
import pytest
from fakes import FakeDetector, FakeModel

from builder_tools.cli import main
from builder_tools.inference import Inference
from builder_tools.media import VideoReader, VideoWriter


def fake_inference(mode, model=None, **options):
    return Inference(
        model or FakeModel(),
        FakeDetector(1),
        show_state_mode="none",
        inference_mode=mode,
        **options,
    )


def failing_inference(mode, after):
    def fail(seen):
        if seen == after:
            raise RuntimeError("the model broke")

    return Inference(FakeModel(fail), FakeDetector(1), show_state_mode="none", inference_mode=mode)


@pytest.fixture(scope="module")
def recording(face_video, tmp_path_factory):
    """The film drawn into by the defaults, and the results on the way."""
    out = tmp_path_factory.mktemp("recording") / "drawn film.mp4"
    with (
        Inference(show_state_mode="none", inference_mode="video_rec") as inference,
        inference.run(face_video.path, out=out) as stream,
    ):
        results = list(stream)
    return out, results


@pytest.fixture(scope="module")
def cut_video(face_video, tmp_path_factory):
    """A film that breaks off in its middle."""
    folder = tmp_path_factory.mktemp("cut")
    whole, cut = folder / "whole.mp4", folder / "cut.mp4"
    with VideoReader(face_video.path) as reader, VideoWriter(whole, 30, reader.size) as writer:
        for frame in reader:
            writer.write(frame.image, frame.time_s)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return cut


def test_any_object_analyses_a_video_and_records_it_where_asked(face_video, tmp_path):
    out = tmp_path / "drawn.mp4"
    with fake_inference("img") as inference:
        plain = list(inference.analyse_video(face_video.path, max_frames=3))
        drawn = list(inference.analyse_video(face_video.path, out=out, max_frames=3))
    assert [result.image is None for result in plain] == [True] * 3
    assert [result.faces for result in drawn] == [result.faces for result in plain]
    with VideoReader(out) as reader:
        assert [frame.image.shape for frame in reader] == [result.image.shape for result in drawn]


def open_files():
    if not sys.platform.startswith("linux"):
        pytest.skip("open files are looked up in /proc")
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return [os.readlink(link) for link in links if os.path.islink(link)]


def test_frames_come_in_order_with_their_true_times(recording, face_video):
    _, results = recording
    assert [result.frame for result in results] == list(range(90))
    times = [face_video.time_s(index) for index in range(90)]
    assert [result.time_s for result in results] == pytest.approx(times, abs=1e-4)
    assert results[89].time_s == pytest.approx(89 / 29.97, abs=1e-3)
    assert {result.source for result in results} == {str(face_video.path)}


def test_the_face_is_found_where_it_is_and_its_emotion_told(recording, face_video):
    _, results = recording
    there = [results[index] for index in face_video.face_frames]
    assert np.mean([len(result.faces) == 1 for result in there]) > 0.95
    assert all(len(result.faces) <= 1 for result in results)
    emotions = Counter(face.emotion for result in there for face in result.faces)
    assert emotions.most_common(1)[0][0] == "happy"
    middles = [result.faces[0].face.box.centre[0] for result in there if result.faces]
    assert np.corrcoef(middles, range(len(middles)))[0, 1] > 0.99  # it moves steadily right
    assert results[0].faces == ()  # not faded in yet


def test_video_gives_the_same_and_draws_nothing(recording, face_video):
    with (
        Inference(show_state_mode="none", inference_mode="video") as inference,
        inference.run(str(face_video.path), max_frames=34) as stream,
    ):
        found = list(stream)
    assert len(found) == 34
    assert found[:30] == recording[1][:30], "one whole part: where it ends is searched anew"
    assert all(result.image is None for result in found)


def test_max_frames(face_video):
    inference = fake_inference("video")
    assert inference.run(face_video.path, max_frames=7).drain() == 7
    with pytest.raises(ValueError, match="max_frames >= 1"):
        inference.run(face_video.path, max_frames=0)


def test_one_object_reads_one_video_after_another(face_video):
    inference = fake_inference("video")
    assert [inference.run(face_video.path, max_frames=3).drain() for _ in range(3)] == [3, 3, 3]


@pytest.mark.parametrize("frames_read", [0, 3])
def test_an_early_close_lets_the_video_go(face_video, frames_read):
    stream = fake_inference("video").run(face_video.path)
    for _ in range(frames_read):
        next(stream)
    assert str(face_video.path) in open_files()
    stream.close()
    stream.close()
    assert str(face_video.path) not in open_files()
    assert list(stream) == []


def test_the_end_lets_the_video_go(face_video):
    fake_inference("video").run(face_video.path).drain()
    assert str(face_video.path) not in open_files()


def test_a_broken_off_video_gives_what_it_has_and_says_so(cut_video, caplog):
    stream = fake_inference("video").run(cut_video)
    frames = stream.drain()
    assert 20 < frames < 80
    assert f"{frames} images" in stream.source.warning and stream.source.warning in caplog.text


@pytest.mark.parametrize("verb", ["video", "video-rec"])
def test_a_broken_off_video_is_exit_1(cut_video, tmp_path, verb, caplog, capsys):
    out = tmp_path / "out.mp4"
    code = main(
        [verb, str(cut_video), "--detector", "haar"] + ["--out", str(out)] * (verb != "video")
    )
    assert code == 1 and "could be read" in caplog.text
    if verb == "video":
        assert 20 < len(capsys.readouterr().out.splitlines()) < 80
    else:
        assert 20 < len(list(VideoReader(out))) < 80


@pytest.mark.parametrize("mode", ["video", "video_rec"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.mp4", None, "No video at"),
        ("text.mp4", b"hello " * 200, "text.mp4"),
        ("empty.mp4", b"", "0 bytes"),
    ],
)
def test_what_is_no_video_is_refused_at_once(tmp_path, mode, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    options = {"out": tmp_path / "out.mp4"} if mode == "video_rec" else {}
    with pytest.raises((ValueError, OSError), match=message):
        fake_inference(mode).run(tmp_path / name, **options)
    assert [path.name for path in tmp_path.iterdir()] == [name] * (content is not None)


def test_the_recording_plays_in_browsers(recording, face_video):
    out, _ = recording
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == face_video.size
    head = out.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # it starts before it is all loaded


def test_the_recording_keeps_every_frame_and_its_time(recording, face_video):
    with VideoReader(recording[0]) as reader:
        assert reader.fps == pytest.approx(29.97, abs=0.01)
        times = [frame.time_s for frame in reader]
    assert times == pytest.approx([face_video.time_s(index) for index in range(90)], abs=1e-3)


def _sound(path):
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return wave, frames[0].sample_rate


def test_the_recording_keeps_the_sound(recording, face_video):
    (before, rate), (after, rate_after) = _sound(face_video.path), _sound(recording[0])
    assert rate_after == rate
    assert len(after) == pytest.approx(len(before), rel=0.02)
    spectrum = np.abs(np.fft.rfft(after))
    assert np.fft.rfftfreq(len(after), 1 / rate)[spectrum.argmax()] == pytest.approx(440, abs=2)


def test_the_box_is_really_drawn(recording, face_video):
    out, results = recording
    with VideoReader(face_video.path) as before, VideoReader(out) as after:
        pairs = list(zip(before, after, results, strict=True))
    before, after, result = pairs[40]
    box = result.faces[0].face.box.round()
    change = np.abs(after.image.astype(int) - before.image).max(axis=2)
    left_edge = change[box.y1 + 20 : box.y2 - 20, box.x1 : box.x1 + 3]
    bottom_edge = change[box.y2 - 3 : box.y2, box.x1 + 20 : box.x2 - 20]
    inside = change[box.y1 + 20 : box.y2 - 20, box.x1 + 20 : box.x2 - 20]
    assert np.median(left_edge) > 40 and np.median(bottom_edge) > 40
    assert np.median(inside) < 12 and np.median(change) < 12
    change[box.y1 - 3 : box.y2 + 3, box.x1 - 3 : box.x2 + 3] = 0
    assert (change > 40).sum() > 200  # the label, beside the box
    before, after, result = pairs[0]
    assert result.faces == ()
    assert np.abs(after.image.astype(int) - before.image).max() < 40  # nothing but compression


@pytest.mark.parametrize("frames_read", [0, 1, 5])
def test_an_early_close_leaves_no_file(face_video, tmp_path, frames_read):
    stream = fake_inference("video_rec").run(face_video.path, out=tmp_path / "out.mp4")
    for _ in range(frames_read):
        next(stream)
    stream.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_file_and_keeps_the_old_one(face_video, tmp_path):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"an earlier film")
    stream = failing_inference("video_rec", after=5).run(face_video.path, out=out)
    with pytest.raises(RuntimeError, match="the model broke"):
        stream.drain()
    assert list(tmp_path.iterdir()) == [out] and out.read_bytes() == b"an earlier film"
    assert str(face_video.path) not in open_files()


def test_max_frames_of_a_recording(face_video, tmp_path):
    out = tmp_path / "new folder" / "short.mp4"
    assert fake_inference("video_rec").run(face_video.path, out=out, max_frames=12).drain() == 12
    with VideoReader(out) as reader:
        assert len(list(reader)) == 12
    assert [path.name for path in out.parent.iterdir()] == ["short.mp4"]


@pytest.mark.parametrize(
    ("out", "message"),
    [("a file/out.mp4", "Cannot write"), ("a folder.mp4", "Cannot write"), ("out.avi", ".mp4")],
)
def test_a_place_that_cannot_be_written_is_refused_at_once(face_video, tmp_path, out, message):
    (tmp_path / "a file").write_text("")
    (tmp_path / "a folder.mp4").mkdir()
    with pytest.raises((ValueError, OSError), match=message):
        fake_inference("video_rec").run(face_video.path, out=tmp_path / out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "a folder.mp4"]
    assert str(face_video.path) not in open_files()


def test_a_video_is_not_written_over_itself(face_video, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(face_video.path.read_bytes())
    with pytest.raises(ValueError, match="another file"):
        fake_inference("video_rec").run(film, out=tmp_path / "." / "film.mp4")
    assert film.read_bytes() == face_video.path.read_bytes()


def test_threads_change_neither_order_nor_faces(face_video):
    found = []
    for workers in (1, 3):
        with Inference(
            FakeModel(), show_state_mode="none", inference_mode="video", workers=workers
        ) as inference:
            found.append([result.to_dict() for result in inference.run(face_video.path)])
    assert [result["frame"] for result in found[0]] == list(range(face_video.num_frames))
    assert found[0] == found[1]


def test_few_frames_are_read_ahead(face_video, monkeypatch):
    read = []
    monkeypatch.setattr("builder_tools.inference.parts.PART_S", 0.6)
    give = VideoReader.__next__
    monkeypatch.setattr(VideoReader, "__next__", lambda self: read.append(1) or give(self))
    with (
        Inference(
            FakeModel(), show_state_mode="none", inference_mode="video", workers=2
        ) as inference,
        inference.run(face_video.path) as results,
    ):
        next(results)
        assert len(read) <= 75  # four parts


def test_one_face_keeps_one_identity(recording):
    _, results = recording
    assert {face.face.track for result in results for face in result.faces} == {1}
    assert results[40].to_dict()["faces"][0]["track"] == 1


def test_identities_begin_anew_with_each_video_and_can_be_left_out(face_video):
    inference = fake_inference("video")
    for _ in range(2):
        found = list(inference.run(face_video.path, max_frames=3))
        assert [face.face.track for result in found for face in result.faces] == [1, 1, 1]
    (result,) = fake_inference("video", track=False).run(face_video.path, max_frames=1)
    assert result.faces[0].face.track is None


class AlternatingModel(FakeModel):
    """Happy, sad, happy, sad, ..."""

    def predict(self, faces):
        row = [0.7, 0.1, 0.2] if self.seen % 2 == 0 else [0.2, 0.1, 0.7]
        self.calls.append(list(faces))
        return np.array([row] * len(faces), np.float32)


def test_smoothing_calms_what_flickers(face_video):
    found = {}
    for smooth_s in (0, 0.5):
        inference = fake_inference("video", AlternatingModel(), smooth_s=smooth_s)
        found[smooth_s] = [r.faces[0] for r in inference.run(face_video.path, max_frames=40)]
    assert [face.emotion for face in found[0][:4]] == ["happy", "sad"] * 2
    assert {face.emotion for face in found[0.5]} == {"happy"}
    assert found[0.5][-1].probabilities["sad"] == pytest.approx(0.45, abs=0.06)
    for face in found[0.5]:
        assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert face.probability == face.probabilities[face.emotion]


@pytest.mark.parametrize("options", [{"smooth_s": -1.0}, {"smooth_s": 1.0, "track": False}])
def test_smoothing_that_cannot_be(options):
    with pytest.raises(ValueError, match="Expected"):
        fake_inference("video", **options)
