"""The geometry of faces: how many are found, how fast, how well, and when a face is turned too far.

Needs FER+ and two development sets whose persons are known: posed faces (read through the detector,
as in use) and faces in the wild (tight crops, read whole). Writes reports/geometry.md.

    python benchmarks/geometry.py --posed posed_dev.zip --wild wild_dev.zip --photos photos/ \\
        --cache cache/
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from geometry_models import Faces, dev_faces, ferplus_faces, models_section, read_images, shapes_of
from machine import describe_machine

from builder_tools.assets import asset_path
from builder_tools.classifier import EmotionClassifier
from builder_tools.detectors import FaceDetector, MediaPipeDetector, face_frame, make_detector
from builder_tools.detectors.mediapipe_import import import_mediapipe, quiet_stderr, without_reports
from builder_tools.geometry import BUNDLE_FILE, FaceLandmarker, angles_of, landmarker
from builder_tools.geometry.landmarker import (
    FRAME_SHIFT_Y,
    FRAME_TO_WINDOW,
    IMAGE_TO_WINDOW,
    WINDOW,
)
from builder_tools.media import IMAGE_SUFFIXES, read_image, replacing
from builder_tools.results import DOUBTFUL_TURN_DEG, PITCH_AHEAD_DEG, Box, Face, HeadPose

ROUNDS = 60
EDGES_DEG = (0, 10, 20, 30, 40, 50, 90)
WHOLE = Box(0, 0, 48, 48)
EMOTION = "its emotion (`fast`)"
LEAST_RIGHT = 0.75
TRIED = (
    "The networks run in cheaper forms (`geometry/graph.py`; 45 ms more at the start). The first "
    "blocks of that of landmarks have 8 channels, half of a register of AVX-512: four depthwise "
    "convolutions took 0.27 ms each there, 16 channels take 0.15. With z and -z side by side and "
    "ReLU in the convolution PReLU needs no pass of its own, and the slope goes into the next "
    "weights: 4.4 ms instead of 4.9 (113 million multiplications; processors without such "
    "registers run it as it is). Of the blendshapes' last block only the one row of 97 that is "
    "read is made: 0.56 instead of 0.67; and 15 of its layers multiply in 8 bits: 0.24. Cutting "
    "out takes 0.2, all else 0.1, and what each finds in the cache that the other left, the rest. "
    "One look is taken, a second only at faces that lean or lie elsewhere."
)
TRIED_BESIDES = (
    "Also tried on the first network: ONNX Runtime 14.6 ms (5.3 if its PReLU cost nothing), "
    "OpenCV 11.0, XNNPACK's flags 4.7 to 6.4, arithmetic in 16 bits 9.1; z and -z where layers "
    "have 16 channels: slower; 8 bits in its last layers (from 16 x 16 pixels on): 0.5 ms less, "
    "but landmarks 0.011 apart, more than from MediaPipe's, and blendshapes up to 0.44; 8 bits at "
    "the blendshapes' entry and end, too: 0.006 apart in the mean, up to 0.1."
)
AGAIN = ("mediapipe", "yunet", "ssd", "haar")
LEAST_EYES_PX = 15
COMPARED = 150
"""Roughly how many faces of each set both ways of running the networks are compared on."""


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--posed", type=Path, required=True, help="zip with labels.csv (person)")
    parser.add_argument("--wild", type=Path, required=True, help="zip with labels.csv (person)")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--cache", type=Path, required=True, help="features are kept here")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    train, valid = ferplus_faces("train", options.cache), ferplus_faces("valid", options.cache)
    posed, wild = dev_faces("posed", options.posed), dev_faces("wild", options.wild)
    text = "\n\n".join(
        [
            "# The geometry of faces",
            f"Written by `python benchmarks/geometry.py`. {describe_machine()}.",
            "MediaPipe's face landmarker (`face_landmarker.task`: 478 landmarks, 52 blendshapes) "
            "on faces that are already found.",
            "## Speed\n\nAstronaut, 512 x 512, one face, one thread; the ways take turns. "
            "Processor time is the figure to go by on a machine with other work, though that slows "
            "it, too: `fast` takes 1.2 ms on a quiet one (README), and the ratio to it travels.",
            _speed_table(),
            "MediaPipe's own task searches the crop for a face again, whatever is already known "
            "of it, so the two networks are run directly in LiteRT.",
            TRIED,
            _nearness(posed, wild),
            TRIED_BESIDES,
            "## Agreement with MediaPipe's own task\n\n" + _agreement(posed, wild),
            "## Looking again\n\n" + _again(options.posed, options.photos),
            "## Faces found",
            _found_table([train, valid, posed, wild]),
            "## Turned faces\n\n" + _turned(valid, wild),
            models_section(train, valid, [posed, wild], options.cache),
        ]
    )
    with replacing(options.reports / "geometry.md") as partial:
        partial.write_text(text + "\n")
    print(text)


def _task():
    mediapipe = import_mediapipe()
    tasks = mediapipe.tasks
    options = tasks.vision.FaceLandmarkerOptions(
        without_reports(tasks.BaseOptions(model_asset_path=str(asset_path(BUNDLE_FILE)))),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with quiet_stderr():
        task = tasks.vision.FaceLandmarker.create_from_options(options)
    return task, lambda image: mediapipe.Image(mediapipe.ImageFormat.SRGB, image)


def _as_filed() -> FaceLandmarker:
    """Return a landmarker that runs the networks as they are in the file."""
    cheaper = {name: getattr(landmarker, name) for name in ("filled", "cheaper_blendshapes")}
    for name in cheaper:
        setattr(landmarker, name, bytes)
    try:
        return FaceLandmarker()
    finally:
        for name, form in cheaper.items():
            setattr(landmarker, name, form)


def _speed_table() -> str:
    from skimage.data import astronaut

    cv2.setNumThreads(1)
    image = astronaut()
    task, as_image = _task()
    with MediaPipeDetector() as detector, FaceLandmarker() as cheap, _as_filed() as filed:
        (face,) = detector.detect(image)
        square = face_frame(face.box, detector)
        x1, y1, x2, y2 = (int(value) for value in square.scale(1.6).round().xyxy)
        crop = np.ascontiguousarray(image[y1:y2, x1:x2])
        classifier = EmotionClassifier()
        ways: dict[str, Callable[[], object]] = {
            "finding the face (MediaPipe, short range)": lambda: detector.detect(image),
            EMOTION: lambda: classifier.predict(crop[None]),
            "**geometry, networks run directly**": lambda: cheap.look(image, square),
            "geometry, networks as they are in the file": lambda: filed.look(image, square),
            "geometry, MediaPipe's task on the crop": lambda: task.detect(as_image(crop)),
        }
        wall: dict[str, list[float]] = {name: [] for name in ways}
        processor: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS + 5):
            for name, run in ways.items():
                begun, used = time.perf_counter(), time.process_time()
                run()
                if number >= 5:  # the first ones warm up
                    wall[name].append(1e3 * (time.perf_counter() - begun))
                    processor[name].append(1e3 * (time.process_time() - used))
        with quiet_stderr():
            task.close()
    lines = [
        "| what | processor, fastest, ms | processor, median, ms | over `fast` | fastest, ms |",
        "|---|---|---|---|---|",
    ]
    usual = np.median(processor[EMOTION])
    for name in ways:
        middle = np.median(processor[name])
        cells = [min(processor[name]), middle, middle / usual, min(wall[name])]
        lines.append(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    return "\n".join(lines)


def _nearness(*sets: Faces) -> str:
    """Return how close the cheaper forms come to the networks as they are in the file."""
    apart, moved = [], []
    with FaceLandmarker() as cheap, _as_filed() as filed:
        for faces in sets:
            for image in faces.views:
                square = Box(0, 0, image.shape[1], image.shape[0])
                ours, theirs = (one.look(image, square)[0] for one in (cheap, filed))
                if ours is None or theirs is None:
                    if ours is not theirs:
                        raise RuntimeError("A face is found by one form of the networks alone.")
                    continue
                eyes = np.linalg.norm(theirs.landmarks_px[33] - theirs.landmarks_px[263])
                moved.append(np.abs(ours.landmarks_px - theirs.landmarks_px).max() / eyes)
                scores = (np.array(list(one.blendshapes.values())) for one in (ours, theirs))
                apart.append(np.abs(np.subtract(*scores)))
    return (
        f"Apart from what the file's networks say of {len(apart)} faces of the development sets: "
        f"landmarks at most {max(moved):.4f} of the distance between the eyes' outer corners, "
        f"blendshapes {np.mean(apart):.4f} in the mean, 99 % below "
        f"{np.percentile(apart, 99):.3f}, at most {np.max(apart):.3f}."
    )


def _agreement(*sets: Faces) -> str:
    task, as_image = _task()
    parts, missed = [], 0
    with FaceLandmarker() as ours:
        for faces in sets:
            for image in faces.views[:: max(len(faces.views) // COMPARED, 1)]:
                side = image.shape[0]
                border = side // 2
                framed = cv2.copyMakeBorder(image, *(border,) * 4, cv2.BORDER_REPLICATE)
                told = task.detect(as_image(framed))
                whole = Box(border, border, border + side, border + side)
                square = whole.scale(IMAGE_TO_WINDOW / FRAME_TO_WINDOW)  # a view as in use
                found, _ = ours.look(framed, square)
                if found is None or not told.face_landmarks:
                    missed += 1
                    continue
                theirs = np.array([(p.x, p.y) for p in told.face_landmarks[0]]) * len(framed)
                eyes = np.linalg.norm(theirs[33] - theirs[263])
                apart = np.linalg.norm(found.landmarks_px[:, :2] - theirs, axis=1).mean() / eyes
                scores = [one.score for one in told.face_blendshapes[0]]
                pose = angles_of(np.array(told.facial_transformation_matrixes[0])[:3, :3])
                parts.append(
                    [
                        apart,
                        np.abs(np.array(list(found.blendshapes.values())) - scores).mean(),
                        *np.abs(np.subtract(found.pose_deg, pose)),
                    ]
                )
    with quiet_stderr():
        task.close()
    medians, far = np.median(parts, axis=0), np.percentile(parts, 95, axis=0)
    names = ("landmarks, in distances between the outer corners of the eyes",
             "blendshapes, mean over the 52", "yaw, degrees", "pitch, degrees",
             "roll, degrees")  # fmt: skip
    lines = [
        f"{len(parts)} faces of the development sets that both find ({missed} others); MediaPipe "
        "takes the crop for the view of a nearby camera, hence its different pitch and yaw.",
        "",
        "| difference | median | 95 % below |",
        "|---|---|---|",
        *(f"| {n} | {m:.3g} | {f:.3g} |" for n, m, f in zip(names, medians, far, strict=True)),
    ]
    return "\n".join(lines)


def _again(posed: Path, photos: Path) -> str:
    """Return how far landmarks are from those of further looks, each framed by the last one's."""
    found = (path for path in sorted(photos.rglob("*")) if path.suffix in IMAGE_SUFFIXES)
    sets = {"posed": read_images(posed)[1], "photographs": [read_image(path) for path in found]}
    lines = ["| detector | set | faces | mean | 95 % below |", "|---|---|---|---|---|"]
    with FaceLandmarker() as ours:
        for name in AGAIN:
            with make_detector(name) as detector:
                for title, images in sets.items():
                    apart = [
                        moved
                        for image in images
                        for face in detector.detect(image)
                        if (moved := _moved_again(ours, image, face, detector)) is not None
                    ]
                    cells = [len(apart), f"{np.mean(apart):.4f}", f"{np.percentile(apart, 95):.4f}"]
                    lines.append(f"| {name} | {title} | {' | '.join(map(str, cells))} |")
    told = (
        "How far the landmarks are from those of four more looks, each at the place of the "
        "landmarks before, as MediaPipe follows a face: mean over the 478, in distances between "
        f"the outer corners of the eyes (from {LEAST_EYES_PX} px). A view of "
        f"{FRAME_TO_WINDOW:g} frames was chosen of 1.2, 1.3, 1.35, 1.4 and 1.5 on every eighth of "
        "the posed faces and the photographs. With the view before 2026-11-28 (1.2 of the square "
        "that the emotion is read from) landmarks of `mediapipe` were 0.021 off on posed faces, "
        "and 0.024 on the four largest faces of each photograph, where they are 0.011 off now."
    )
    return "\n".join([told, "", *lines])


def _moved_again(ours: FaceLandmarker, image, face: Face, detector: FaceDetector) -> float | None:
    """Return the distance for one face; None if it is not seen or too small."""
    roll_deg = face.roll_deg or 0.0
    first, _ = ours.look(image, face_frame(face.box, detector), roll_deg=roll_deg)
    last = first
    for _ in range(4):
        if last is None:
            return None
        points = last.landmarks_px[:, :2]
        box = Box(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        frame = box.square().scale(WINDOW / FRAME_TO_WINDOW)
        frame = frame.shift(0, -FRAME_SHIFT_Y * frame.height)
        last, _ = ours.look(image, frame, roll_deg=last.pose_deg.roll)
    eyes = np.linalg.norm(np.subtract(*last.landmarks_px[[33, 263], :2]))
    if eyes < LEAST_EYES_PX:
        return None
    moved = (first.landmarks_px - last.landmarks_px)[:, :2]
    return np.linalg.norm(moved, axis=1).mean() / eyes


def _found_table(sets: list[Faces]) -> str:
    lines = [
        "| set | faces | found | pitch, median | yaw, 5...95 % | pitch, 5...95 % |",
        "|---|---|---|---|---|---|",
    ]
    for faces in sets:
        table = shapes_of(faces)
        found = table["found"] == 1
        yaw, pitch = table["yaw_deg"][found], table["pitch_deg"][found]
        spans = [np.percentile(angle, [5, 95]) for angle in (yaw, pitch)]
        spans_text = " | ".join(f"{low:.0f}...{high:.0f}" for low, high in spans)
        lines.append(
            f"| {faces.name} | {len(found)} | {found.mean():.1%} | {np.median(pitch):.1f} | "
            f"{spans_text} |"
        )
    lines += [
        "",
        "Faces that look ahead have a pitch below 0: `turned_deg` counts from "
        f"{PITCH_AHEAD_DEG:g}.",
    ]
    return "\n".join(lines)


def _turned(*sets: Faces) -> str:
    """Return the network's accuracy by how far a face is turned, and where doubt should begin."""
    classifier = EmotionClassifier()
    threshold = classifier.card.abstain_below or 0.5
    turned, seen, right, sure = [], [], [], []
    for faces in sets:
        table, rows = shapes_of(faces), classifier.predict(faces.images)
        angles = zip(*(table[f"{name}_deg"] for name in HeadPose._fields), strict=True)
        turns = np.array([HeadPose(*each).turned_deg for each in angles])
        kept = faces.is_judged
        for values, found in (
            (turned, turns),
            (seen, table["found"] == 1),
            (right, faces.right(rows)),
            (sure, rows.max(axis=1) >= threshold),
        ):
            values.append(found[kept])
    groups = {f"{low}...{high}": (low, high) for low, high in pairwise(EDGES_DEG)}
    heads = " | ".join(f"{faces.name}: faces | right" for faces in sets)
    lines = [
        "Accuracy of `fast` by `HeadPose.turned_deg` (the larger of yaw and pitch, from looking "
        "ahead), and on faces that the landmarker does not see (mostly profiles and covered ones). "
        "Sure: not doubtful by probability.",
        "",
        f"| turned, degrees | {heads} | together: right | sure | of these right |",
        "|---|" + "---|---|" * len(sets) + "---|---|---|",
    ]
    doubtful_from = None
    for name, edges in {**groups, "not seen": None}.items():
        mine = [
            ~known if edges is None else known & (turn >= edges[0]) & (turn < edges[1])
            for turn, known in zip(turned, seen, strict=True)
        ]
        each = [(one.sum(), hit[one].mean()) for one, hit in zip(mine, right, strict=True)]
        group, hits, sures = map(np.concatenate, (mine, right, sure))
        cells = [f"{count} | {share:.3f}" for count, share in each]
        cells += [f"{hits[group].mean():.3f}", f"{sures[group].mean():.0%}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {hits[group & sures].mean():.3f} |")
        if edges and doubtful_from is None and hits[group].mean() < LEAST_RIGHT:
            doubtful_from = edges[0]
    step = "no step" if doubtful_from is None else f"{doubtful_from} degrees"
    lines += [
        "",
        f"Rule: doubtful from the first step on in which, in both sets together, fewer than "
        f"{LEAST_RIGHT:.0%} are read rightly: {step}. In the package: {DOUBTFUL_TURN_DEG:g} "
        "degrees, found with the former `fast`, which was right about 8 of the 14 faces turned by "
        "more; so few do not show that today's may be believed there. Detectors and data sets "
        "leave such faces out. That a face is not seen is no reason to doubt more than its "
        "probability gives (last column).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
