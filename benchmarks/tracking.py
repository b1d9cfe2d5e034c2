"""Measure identities, smoothing, offsets and what they cost.

    python benchmarks/tracking.py [--media FOLDER] [--hours 1] [--only PART ...]

Identities: made videos in which real faces cross, leave, return and blur (`tests/made_videos.py`;
the astronaut's head in four variants, or heads from photos in FOLDER), found by the default
detector or a simulated poor one, compared with matching by overlap alone. People: the number
counted in videos in FOLDER. Smoothing: on such videos. Offsets: speech-like sound as in rooms, and
unrelated sound. Memory: an hour of made-up faces through tracker, smoother, summary and table.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from machine import describe_machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from made_videos import (
    FACE_IN_HEAD,
    astronaut_cast,
    heard,
    noisy_faces,
    scenes,
    talk,
    write_wave,
)

from builder_tools.detectors import make_detector
from builder_tools.inference import Inference
from builder_tools.media import VideoWriter, read_image
from builder_tools.results import Box, Face, FaceEmotion, FrameResult
from builder_tools.timeline.offsets import find_offset
from builder_tools.timeline.summary import SummaryMaker
from builder_tools.timeline.writer import TimelineWriter
from builder_tools.tracking import (
    EmotionSmoother,
    FaceTracker,
    label_changes_per_minute,
    score_tracks,
)

HEAD_PHOTOS = (
    "single/face_recognition_biden.jpg",
    "single/deepface_img15.jpg",
    "single/deepface_img24.jpg",
    "single/human_stock-models-9.jpg",
)
VIDEOS = ("carphone_pristine.mp4", "fer_test.mp4", "facenet_video.mp4", "short_hamilton_clip.mp4")
PARTS = ("identities", "people", "cost", "rate", "smoothing", "offsets", "memory")
PEOPLE_BY_EYE = {
    "carphone_pristine.mp4": 1,
    "facenet_video.mp4": 10,
    "fer_test.mp4": 1,
    "pyfeat_face_noface.mov": 1,
    "pyfeat_no_face.mp4": 0,
    "short_hamilton_clip.mp4": 9,
}
"""Faces visible for half a second or longer, counted anew in each shot."""
TIME_CONSTANTS_S = (0.0, 0.15, 0.3, 0.5, 1.0)


class OverlapMatching:
    """The usual approach: greedy matching by the largest overlap with a box seen before.

    Args:
        max_gap_s: How long boxes are remembered; 0 for the last frame only.
    """

    def __init__(self, max_gap_s: float = 0.0, least_iou: float = 0.3) -> None:
        self.max_gap_s, self.least_iou = max_gap_s, least_iou
        self._last: dict[int, tuple[Box, float]] = {}
        self._count, self._before_s = 0, 0.0

    def update(self, faces: Sequence[Face], time_s: float) -> list[Face]:
        oldest_s = min(self._before_s, time_s - self.max_gap_s)
        known = {t: box for t, (box, seen_s) in self._last.items() if seen_s >= oldest_s - 1e-9}
        pairs = [(f.box.iou(b), i, t) for i, f in enumerate(faces) for t, b in known.items()]
        owners: dict[int, int] = {}
        for iou, index, track in sorted(pairs, reverse=True):
            if iou >= self.least_iou and index not in owners and track not in owners.values():
                owners[index] = track
        for index in range(len(faces)):
            if index not in owners:
                self._count += 1
                owners[index] = self._count
        named = [replace(face, track=owners[index]) for index, face in enumerate(faces)]
        self._last = {t: value for t, value in self._last.items() if t in known}
        self._last |= {face.track: (face.box, time_s) for face in named}
        self._before_s = time_s
        return named


TRACKERS: dict[str, Callable] = {
    "tracker": FaceTracker,
    "overlap, last frame": OverlapMatching,
    "overlap, 1.5 s": lambda: OverlapMatching(1.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--media", type=Path, help="folder with photos/ and videos/")
    parser.add_argument("--hours", type=float, default=1.0, help="of the memory check; 0 skips it")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some of the measurements")
    options = parser.parse_args()
    print(describe_machine() + "\n", flush=True)
    parts = {
        "identities": lambda: _identities(options.media),
        "people": lambda: options.media and _people(options.media / "videos"),
        "cost": _cost,
        "rate": _video_rate,
        "smoothing": lambda: options.media and _smoothing(options.media / "videos"),
        "offsets": _offsets,
        "memory": lambda: options.hours and _memory(options.hours),
    }
    for name in options.only or parts:
        parts[name]()
        sys.stdout.flush()


def _heads(media: Path | None) -> tuple[list[np.ndarray], list]:
    """Return four heads and the places of their faces, from the default detector if of photos."""
    from skimage.data import astronaut

    if media is None:
        return astronaut_cast(astronaut()), [FACE_IN_HEAD] * 4
    heads, faces = [], []
    with make_detector("mediapipe") as detector:
        for name in HEAD_PHOTOS:
            image = read_image(media / "photos" / name)
            head = _around(image, detector.detect(image)[0].box)
            found = detector.detect(cv2.resize(head, (400, 400)))[0].box
            heads.append(head)
            faces.append(tuple(value / 400 for value in found.xyxy))
    return heads, faces


def _around(image: np.ndarray, box: Box) -> np.ndarray:
    x1, y1, x2, y2 = (int(v) for v in box.square().scale(1.9).xyxy)
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[max(y1, 0) : min(y2, height), max(x1, 0) : min(x2, width)])


def _identities(media: Path | None) -> None:
    heads, faces = _heads(media)
    print("| video | fps | faces from | tracker | switches | fragmentations | MOTA | IDF1 |")
    print("|---|---|---|---|---|---|---|---|")
    for fps in (25.0, 8.0):
        for name, scene in scenes(heads, faces, fps=fps).items():
            truth = [scene.truth(time_s) for time_s in scene.times_s]
            with make_detector("mediapipe") as detector:
                found = [detector.detect(scene.paint(time_s)) for time_s in scene.times_s]
            _print_scores(f"{name} | {fps:g} | detector", scene, truth, [found])
            noisy = []
            for seed in range(10):
                rng = np.random.default_rng(seed)
                noisy.append([noisy_faces(t, rng, missed=0.2, jitter=0.05) for t in truth])
            _print_scores(f"{name} | {fps:g} | poor, 20 % missed", scene, truth, noisy)


def _print_scores(head: str, scene, truth, runs) -> None:
    for name, make in TRACKERS.items():
        scores = []
        for found in runs:
            tracker = make()
            times = zip(found, scene.times_s, strict=True)
            scores.append(score_tracks(truth, [tracker.update(f, t) for f, t in times]))
        columns = [(s.switches, s.fragmentations, s.mota, s.idf1) for s in scores]
        switches, fragmentations, mota, idf1 = np.mean(columns, axis=0)
        print(
            f"| {head} | {name} | {switches:.1f} | {fragmentations:.1f} | {mota:.3f} | {idf1:.3f} |"
        )


def _people(folder: Path) -> None:
    """Count people and tracks, and compare with counts by eye."""
    print("| film | tracks | people | short or weak | by eye |\n|---|---|---|---|---|")
    for name, by_eye in PEOPLE_BY_EYE.items():
        with Inference(inference_mode="video", show_state_mode="none") as inference:
            maker = SummaryMaker(tuple(inference.model.emotions))
            for result in inference.run(folder / name):
                maker.add(result)
        people = len(maker.people())
        tracks = people + maker.left_out
        print(f"| {name} | {tracks} | {people} | {maker.left_out} | {by_eye} |", flush=True)
    print()


def _cost() -> None:
    print("\n| faces | tracking, ms a frame | smoothing, ms a frame |")
    print("|---|---|---|")
    for count in (1, 6, 20):
        tracking, smoothing = zip(*_timed_frames(count), strict=True)
        print(f"| {count} | {np.median(tracking):.3f} | {np.median(smoothing):.3f} |")


def _timed_frames(count: int, frames: int = 1500):
    rng = np.random.default_rng(0)
    tracker, smoother = FaceTracker(), EmotionSmoother(0.3)
    places, speeds = rng.uniform(0, 1200, (count, 2)), rng.normal(0, 60, (count, 2))
    for index in range(frames):
        places = places + speeds / 30
        moved = places + rng.normal(0, 2, (count, 2))
        faces = [Face(Box(x, y, x + 80, y + 90), 0.9) for x, y in moved]
        start = time.perf_counter()
        named = tracker.update(faces, index / 30)
        middle = time.perf_counter()
        found = [_emotion(face, rng) for face in named]
        last = time.perf_counter()
        smoother.update(found, index / 30)
        yield 1e3 * (middle - start), 1e3 * (time.perf_counter() - last)


def _emotion(face: Face, rng: np.random.Generator) -> FaceEmotion:
    names = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise", "x")
    return FaceEmotion(face, dict(zip(names, rng.dirichlet(np.ones(9)).tolist(), strict=True)))


def _video_rate(rounds: int = 5) -> None:
    """Measure 720p video with one face, in turn without and with tracking."""
    from skimage.data import astronaut

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.mp4"
        with VideoWriter(path, 30.0, (1280, 720)) as writer:
            for index in range(150):
                canvas = np.full((720, 1280, 3), 90, np.uint8)
                canvas[100:612, 2 * index : 2 * index + 512] = astronaut()
                writer.write(canvas)
        settings = {"off": {"track": False}, "on": {}, "on, smoothed": {"smooth_s": 0.3}}
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in settings}
        for _ in range(rounds):
            for name, more in settings.items():
                rates[name].append(_rate(path, more))
    print("\n| tracking, 720p | fps, median | of that without (pairs) | by processor time |")
    print("|---|---|---|---|")
    for name, found in rates.items():
        shares = np.median(np.array(found) / np.array(rates["off"]), axis=0)
        print(f"| {name} | {np.median(found, axis=0)[0]:.1f} | {shares[0]:.3f} | {shares[1]:.3f} |")


def _rate(path: Path, more: dict) -> tuple[float, float]:
    """Return frames per second of wall time, and of processor time, less affected by other work."""
    with Inference(show_state_mode="none", inference_mode="video", **more) as inference:
        start, used = time.perf_counter(), time.process_time()
        frames = inference.run(path).drain()
        return frames / (time.perf_counter() - start), frames / (time.process_time() - used)


def _smoothing(folder: Path) -> None:
    print("\n| video | time constant, s | label changes a minute | delay, s |\n|---|---|---|---|")
    for name in VIDEOS:
        with (
            Inference(show_state_mode="none", inference_mode="video") as inference,
            inference.run(folder / name) as stream,
        ):
            raw = list(stream)
        for tau in TIME_CONSTANTS_S:
            smooth = _smoothed(raw, tau)
            changes = label_changes_per_minute(smooth)
            print(f"| {name} | {tau:g} | {changes:.0f} | {_delay_s(raw, smooth):.2f} |")
    print("\n| time constant, s | a sudden change (0.1 to 0.9) is shown after, s |\n|---|---|")
    for tau in TIME_CONSTANTS_S[1:]:
        print(f"| {tau:g} | {_step_delay_s(tau):.2f} |")


def _smoothed(results: Sequence[FrameResult], tau: float) -> list[FrameResult]:
    if not tau:
        return list(results)
    smoother = EmotionSmoother(tau)
    return [replace(r, faces=smoother.update(r.faces, r.time_s)) for r in results]


def _delay_s(raw: Sequence[FrameResult], smooth: Sequence[FrameResult]) -> float:
    """Return the shift at which smoothed probabilities best fit the raw ones, over all people."""
    before, after = _series(raw), _series(smooth)
    step_s = float(np.median(np.diff([result.time_s for result in raw])))
    errors = []
    for shift in range(0, min(60, len(raw) // 2)):
        pairs = [
            (before[track][place - shift], values[place])
            for track, values in after.items()
            for place in values
            if place - shift in before[track]
        ]
        errors.append(np.mean([np.square(a - b).sum() for a, b in pairs]))
    return int(np.argmin(errors)) * step_s


def _series(results: Sequence[FrameResult]) -> dict[int, dict[int, np.ndarray]]:
    found: dict[int, dict[int, np.ndarray]] = {}
    for result in results:
        for face in result.faces:
            values = np.array(list(face.probabilities.values()))
            found.setdefault(face.face.track, {})[result.frame] = values
    return found


def _step_delay_s(tau: float, fps: float = 100.0) -> float:
    smoother, face = EmotionSmoother(tau), Face(Box(0, 0, 9, 9), 1.0, track=1)
    for index in range(-300, 1000):
        happy = 0.9 if index >= 0 else 0.1
        faces = [FaceEmotion(face, {"happy": happy, "neutral": 1 - happy})]
        (shown,) = smoother.update(faces, index / fps)
        if shown.emotion == "happy":
            return index / fps
    return float("nan")


def _offsets(rate_hz: int = 16000, seconds: float = 30.0) -> None:
    errors, leads, false_leads, believed, misled = [], [], [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        films = [
            write_wave(Path(folder) / f"film{s}.wav", talk(seconds, rate_hz, s), rate_hz)
            for s in range(6)
        ]
        for seed in range(6):
            for start_s in (-2.4, 1.25, 7.003):
                first = max(round(start_s * rate_hz), 0)
                sound = talk(seconds, rate_hz, seed)[first : first + 15 * rate_hz]
                sound = np.pad(sound, (max(round(-start_s * rate_hz), 0), 0))
                path = write_wave(Path(folder) / "v.wav", heard(sound, rate_hz, seed), rate_hz)
                found = find_offset(path, films[seed])
                errors.append(abs(found.seconds - start_s))
                leads.append(found.clarity / found.runner_up)
                believed += found.is_clear
                other = find_offset(path, films[(seed + 1) % 6])
                false_leads.append(other.clarity / other.runner_up)
                misled += other.is_clear
    print(
        f"\nOffsets: {len(errors)} recordings of 15 s with echoes and noise: error median "
        f"{1e3 * np.median(errors):.1f} ms, largest {1e3 * max(errors):.1f} ms; {believed} "
        f"believed (lead at least {min(leads):.1f}); of as many unrelated pairs {misled} believed "
        f"(lead at most {max(false_leads):.1f})"
    )


def _memory(hours: float, fps: float = 30.0, people: int = 3) -> None:
    rng = np.random.default_rng(0)
    names = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    tracker, smoother, maker = FaceTracker(), EmotionSmoother(0.3), SummaryMaker(names)
    total, marks = round(hours * 3600 * fps), []
    probabilities = rng.dirichlet(np.ones(len(names)), 997)
    with tempfile.TemporaryDirectory() as folder:
        path, start = Path(folder) / "t.csv", time.perf_counter()
        with TimelineWriter(path, names) as writer:
            for index in range(total):
                result = _made_frame(index, index / fps, people, tracker, names, probabilities)
                result = replace(result, faces=smoother.update(result.faces, result.time_s))
                writer.write(result)
                maker.add(result)
                if index in (total // 20, total - 1):
                    marks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        spent_s, size = time.perf_counter() - start, path.stat().st_size / 1e6
    print(
        f"\nMemory: {hours:g} h at {fps:g} fps with {people} people coming and going "
        f"({len(maker.people())} tracks, {writer.num_rows} rows, csv {size:.0f} MB) took "
        f"{spent_s:.0f} s; peak {marks[0]:.1f} MB after 5 %, {marks[1]:.1f} MB at the end"
    )


def _made_frame(index, time_s, people, tracker, names, probabilities) -> FrameResult:
    """Return a frame of people swaying in a row; each in turn is away for 3 s of every minute."""
    faces = []
    for person in range(people):
        if (time_s + 20 * person) % 60 < 3:
            continue
        x, y = 100 + 200 * person + 20 * np.sin(time_s + person), 100 + 9 * np.cos(2 * time_s)
        faces.append(Face(Box(x, y, x + 80, y + 90), 0.9))
    found = []
    for person, face in enumerate(tracker.update(faces, time_s)):
        row = probabilities[(7 * index + 31 * person) % len(probabilities)].tolist()
        found.append(FaceEmotion(face, dict(zip(names, row, strict=True))))
    return FrameResult("made", index, time_s, tuple(found))


if __name__ == "__main__":
    main()
