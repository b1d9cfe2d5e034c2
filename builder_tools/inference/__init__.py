"""`Inference`: faces and their emotions from images, folders, videos and cameras.

There is one frame loop (`Inference._loop`). A mode is a choice of source (an image, a folder, a
video, a camera) and of sinks (a window, a notebook, a video file, nothing). Frames of a video are
analysed one and all; of a camera, the newest (`Analyser`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.detectors import DEFAULT_DETECTOR, FaceDetector, face_square
from builder_tools.drawing import DrawBox
from builder_tools.inference.analysis import Analysed, Analyser
from builder_tools.inference.batch import (
    MULTI_FACE_POLICIES,
    NO_FACE_POLICIES,
    STATUSES,
    BatchPolicy,
    BatchRow,
    BatchTable,
    Preparer,
    classify_images,
    named_images,
)
from builder_tools.inference.checks import check_choice, check_positive, check_rest, check_track
from builder_tools.inference.models import EmotionModel, chosen_model, frequent_emotion
from builder_tools.inference.oriented import Orientation, oriented
from builder_tools.inference.pool import DetectorPool
from builder_tools.inference.reader import make_landmarker, read_faces
from builder_tools.inference.sinks import (
    FrameRate,
    LiveVideoSink,
    NoSink,
    Sink,
    VideoSink,
    closer,
    open_show_sink,
)
from builder_tools.inference.stream import ResultStream
from builder_tools.inference.stream_state import StreamState
from builder_tools.inference.whole_film import whole_film
from builder_tools.media import (
    CameraReader,
    Frame,
    VideoReader,
    VideoWriter,
    find_images,
    read_image,
)
from builder_tools.media.budget import BYTES_PER_WORKER, Budget
from builder_tools.media.connections import camera_name
from builder_tools.media.guarding import check_outputs
from builder_tools.media.images import is_one_image, name_of
from builder_tools.media.video import DEFAULT_FPS
from builder_tools.rest import RestingFace
from builder_tools.results import FaceEmotion, FrameResult

__all__ = [
    "MULTI_FACE_POLICIES",
    "NO_FACE_POLICIES",
    "STATUSES",
    "BatchPolicy",
    "BatchRow",
    "BatchTable",
    "EmotionModel",
    "Inference",
    "ResultStream",
    "face_square",
]

SHOW_STATE_MODES = ("cv2", "inline", "none")
INFERENCE_MODES = ("img", "img_batch", "video", "video_rec", "online")

logger = logging.getLogger(__name__)


class Inference:
    """Finds faces and tells their emotions.

    Without arguments: the shipped model, MediaPipe's detector, boxes drawn, results of one
    image shown in a window where there is a screen.

    Args:
        model_obj: Anything with `.emotions` and `.predict(faces)`; `EmotionClassifier()` if None.
        face_det_obj: A face detector; `MediaPipeDetector()` if None.
        draw_box_obj: Anything with `.draw(image_rgb, faces, fps)`; `DrawBox()` if None.
        img_size: Side in px faces are resized to before `model_obj.predict`; None leaves their
            size to the model.
        show_state_mode: `cv2` (a window; q or Esc ends, s saves a snapshot), `inline` (a
            notebook) or `none`.
        inference_mode: `img`, `img_batch`, `video`, `video_rec` or `online`; see `run`.
        batch_size: Faces classified together (`img_batch`).
        workers: Threads that decode and detect (`img_batch`), or detect (`video`, `video_rec`,
            unless `face_det_obj` is given); the number of cores if None.
        no_face: Policy of `img_batch`, one of `NO_FACE_POLICIES`.
        multi_face: Policy of `img_batch`, one of `MULTI_FACE_POLICIES`.
        every_face: Whether rows of `img_batch` hold every face (`row.faces`).
        snapshot_folder: Where the s key saves images.
        detector: Name in `DETECTORS` to make detectors of, one a thread, where `face_det_obj`
            is None.
        detector_options: Keyword arguments of that detector.
        track: Whether faces of a stream keep their identity (`face.track`; new ones a run).
        smooth_s: Time constant in seconds of the smoothing of each person's emotions, and of the
            shown label's reluctance to change; 0 or None shows every image by itself.
        detect_every: Search every so many frames of a video for faces (`video`, `video_rec`); in
            the frames between, tracked faces move evenly from one place to the next.
        decision: `natural`, or `balanced` where all emotions are about equally frequent (see
            `EmotionClassifier`); of the default model. A model that is given brings its own.
        rest: What faces are compared with besides (`face.relative_emotion`). In streams: `auto`,
            each person's rest as it is estimated on the way, or (`video`, of known length, where
            nothing is drawn) from all of the film, whose results then come after its last frame;
            a number of seconds, the first ones of each person, in which they look neutral; a
            `RestingFace`, where one person is filmed; in `img`, that only. None: no comparison.
        geometry: Whether faces get `face.geometry`: landmarks, blendshapes and head pose (6 ms a
            face); a face that is turned far away is then doubtful.
        rotate: Turns images clockwise first: 0, 90, 180 or 270. "auto" finds faces at any turn
            (`face.turned_deg`) instead. None: "auto" for images, 0 for streams.
        mirror: Whether left and right are exchanged then.

    Raises:
        ValueError: If a mode or policy is not one of those named, or `smooth_s` is negative or
            given without `track`, or `detect_every` is above 1 without `track`, or `decision`
            is given beside a model, or `rest` is none of these or of another model.

    One object serves one thread at a time (`online` runs detector and model on threads of its
    own, so that a slow one does not hold up the others). Close it, or use it as a context manager.
    """

    def __init__(
        self,
        model_obj: EmotionModel | None = None,
        face_det_obj: FaceDetector | None = None,
        draw_box_obj: DrawBox | None = None,
        img_size: int | None = None,
        show_state_mode: str = "cv2",
        inference_mode: str = "img",
        *,
        batch_size: int = 32,
        workers: int | None = None,
        no_face: str = "whole",
        multi_face: str = "largest",
        every_face: bool = False,
        snapshot_folder: str | Path = ".",
        detector: str = DEFAULT_DETECTOR,
        detector_options: Mapping[str, Any] | None = None,
        track: bool = True,
        smooth_s: float | None = None,
        detect_every: int = 1,
        decision: str | None = None,
        rest: RestingFace | str | float | None = None,
        geometry: bool = False,
        rotate: str | int | None = None,
        mirror: bool = False,
    ) -> None:
        check_choice("show_state_mode", show_state_mode, SHOW_STATE_MODES)
        check_choice("inference_mode", inference_mode, INFERENCE_MODES)
        check_positive(img_size=img_size, batch_size=batch_size)
        check_positive(workers=workers, detect_every=detect_every)
        check_track(detect_every, track)
        self.detect_every = detect_every
        self.show_state_mode, self.inference_mode = show_state_mode, inference_mode
        self.img_size, self.batch_size = img_size, batch_size
        self.workers = workers or os.cpu_count() or 1
        self._state = StreamState(track=track, smooth_s=smooth_s, rest=rest)
        self.snapshot_folder = Path(snapshot_folder)
        self.model = chosen_model(model_obj, decision)
        check_rest(rest, inference_mode, self.model)
        known_rest = rest if isinstance(rest, RestingFace) else None
        self._still = StreamState(track=False, smooth_s=None, rest=known_rest)
        self.policy = BatchPolicy(frequent_emotion(self.model), no_face, multi_face, every_face)
        self._detectors = DetectorPool(face_det_obj, detector, detector_options or {})
        self.geometry, self._landmarker = geometry, make_landmarker() if geometry else None
        self._view = Orientation.of(inference_mode, rotate, mirror)
        self._analyser = Analyser(
            self.model, self._detectors, img_size, self._landmarker, self._view.search
        )
        self.draw_box = DrawBox() if draw_box_obj is None else draw_box_obj
        self._draws_always = draw_box_obj is not None or inference_mode in ("img", "video_rec")

    def __enter__(self) -> Inference:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what this object made: detectors (not one that was given to it), landmarker."""
        self._detectors.close()
        if self._landmarker is not None:
            self._landmarker.close()

    def describe(self) -> dict[str, object]:
        """Return what decides the results beside the model: detector, size and policies."""
        return {
            "detector": self._detectors.describe(),
            "img_size": self.img_size,
            "no_face": self.policy.no_face,
            "multi_face": self.policy.multi_face,
            "every_face": self.policy.every_face,
            "geometry": self.geometry,
            "rotate": self._view.rotate,
        }

    def run(self, source=None, **options):
        """Run the mode this object was made for.

        | mode | source | options | gives |
        |---|---|---|---|
        | `img` | an image, or a list of them | | a `FrameResult` with the drawn image; of a \
list, a list |
        | `img_batch` | folder with its sub-folders, or images | | a `BatchTable`, one row a \
image |
        | `video` | path or address | `max_frames` | a `ResultStream` |
        | `video_rec` | path or address | `out` (.mp4), `max_frames` | a `ResultStream`; the \
file is there once it is read to its end (`.drain()`) |
        | `online` | camera index (0) or URL | `out` (.mp4), `max_frames` | a `ResultStream`; \
however it ends, the file is kept |

        An image is a path, an http(s) address, a file's bytes, an open file, an image of
        Pillow, an array or a tensor (see `media.read_image`).

        Raises:
            FileNotFoundError, ValueError, OSError: If the source cannot be opened; at once, not
                at the first result.
            RuntimeError: If a window is asked for in `online` mode where there is no screen.
        """
        runs: dict[str, Callable] = {
            "img": self._run_img,
            "img_batch": self._run_img_batch,
            "video": self._run_video,
            "video_rec": self._run_video_rec,
            "online": self._run_online,
        }
        if source is None and self.inference_mode != "online":
            raise ValueError(f"Expected a source for {self.inference_mode!r}. Received: None.")
        return runs[self.inference_mode](source, **options)

    def analyse(self, image_rgb: np.ndarray) -> tuple[FaceEmotion, ...]:
        """Return the faces in one `(H, W, 3)` uint8 RGB image, largest first; draw nothing."""
        return self._still.steady(self._analyser.one(image_rgb), 0.0)

    def batch_rows(
        self, sources: Iterable[Any], names: Iterable[str] | None = None
    ) -> Iterator[BatchRow]:
        """Yield the rows of `img_batch` one by one, in the order of the images.

        Args:
            sources: Paths, or anything else that `read_image` takes.
            names: What the rows call them; None takes the bare names of files, and for the rest
                what they are and their number.
        """
        prepare = Preparer(
            self._detectors.lend,
            self.policy,
            self.img_size or getattr(getattr(self.model, "card", None), "input_size", None),
            Budget(BYTES_PER_WORKER * self.workers),
            self._landmarker,
            self._view,
        )
        return classify_images(
            named_images(sources, names),
            prepare=prepare,
            read=lambda faces: read_faces(self.model, faces, self.img_size),
            model=self.model,
            policy=self.policy,
            batch_size=self.batch_size,
            workers=self.workers,
        )

    def _run_img(self, source) -> FrameResult | list[FrameResult]:
        if isinstance(source, list | tuple):
            return [self._run_img(each) for each in source]
        image, name = self._view.applied(read_image(source)), name_of(source)
        shown = self._show_sink(hold=True)
        analysed = self._analyser.every([Frame(0, 0.0, image)], self._still)
        (result,) = self._loop(analysed, name, [shown])
        return result

    def _run_img_batch(self, source) -> BatchTable:
        if not isinstance(source, str | os.PathLike):
            sources = [source] if is_one_image(source) else source
            return BatchTable(self.batch_rows(sources))
        found = find_images(source)
        for sentence in found.sentences():
            logger.warning("%s: %s", source, sentence)
        return BatchTable(self.batch_rows(found.paths, found.names))

    def _run_video(self, source, *, max_frames: int | None = None) -> ResultStream:
        return self._stream(lambda: VideoReader(source), max_frames)

    def _run_video_rec(
        self, source, *, out: str | Path, max_frames: int | None = None
    ) -> ResultStream:
        check_outputs({"out": out}, [source])

        def record(reader: VideoReader) -> Sink:
            return VideoSink(VideoWriter(out, reader.fps, reader.size, audio_from=reader.opened))

        return self._stream(lambda: VideoReader(source), max_frames, record=record)

    def _run_online(
        self, source=None, *, out: str | Path | None = None, max_frames: int | None = None
    ) -> ResultStream:
        def record(reader: CameraReader) -> Sink:
            return LiveVideoSink(VideoWriter(out, DEFAULT_FPS, reader.size))

        return self._stream(
            lambda: CameraReader(0 if source is None else source),
            max_frames,
            record=record if out else None,
            live=True,
        )

    def _stream(
        self,
        open_reader: Callable[[], VideoReader | CameraReader],
        max_frames: int | None,
        *,
        record: Callable[[Any], Sink] | None = None,
        live: bool = False,
    ) -> ResultStream:
        """Open window, source and file; if one cannot be opened, none stays open."""
        check_positive(max_frames=max_frames)
        with ExitStack() as opened:
            state = self._state.anew()
            sinks = [self._show_sink(required=live, on_rest_key=state.look_neutral)]
            opened.push(closer(sinks[0]))
            reader = oriented(opened.enter_context(closing(open_reader())), self._view)
            sinks += [record(reader)] if record else []
            opened.pop_all()
        if isinstance(self.draw_box, DrawBox):
            self.draw_box.forget()
        if live:
            analysed = self._analyser.newest(
                reader,
                state,
                lambda: all([sink.wait() for sink in sinks]),
                max_frames=max_frames,
            )
        else:
            analysed = self._analyser.every(
                reader,
                state,
                max_frames=max_frames,
                workers=1 if self._detectors.given is not None else self.workers,
                detect_every=self.detect_every,
            )
        results = self._loop(analysed, camera_name(reader.source), sinks, live and FrameRate())
        seen_on_the_way = self._draws_always or not isinstance(sinks[0], NoSink)
        if state.is_auto and not (live or seen_on_the_way) and reader.duration_s:
            state.rests = None
            return whole_film(results, reader, sinks)
        return ResultStream(results, reader, sinks, state.rests)

    def _loop(
        self,
        analysed: Generator[Analysed],
        source: str,
        sinks: list[Sink],
        rate: FrameRate | bool = False,
    ) -> Generator[FrameResult]:
        """The one frame loop: draw what was found, hand it to the sinks, yield."""
        with ExitStack() as stack:
            stack.enter_context(closing(analysed))
            for sink in sinks:
                stack.push(closer(sink))
            for shown, (frame, found) in enumerate(analysed):
                pace = {"fps": rate.tick(), "dropped": frame.index - shown} if rate else {}
                image = self._draw(frame.image, found, pace, sinks)
                result = FrameResult(source, frame.index, frame.time_s, found, image)
                goes_on = all([sink.take(result) for sink in sinks])
                yield result
                if not goes_on:
                    return

    def _draw(
        self,
        image_rgb: np.ndarray,
        found: tuple[FaceEmotion, ...],
        pace: dict[str, float | None],
        sinks: list[Sink],
    ) -> np.ndarray | None:
        """Return the drawn image where one of the sinks looks at it, else None."""
        if not self._draws_always and all(isinstance(sink, NoSink) for sink in sinks):
            return None
        if isinstance(self.draw_box, DrawBox):
            return self.draw_box.draw(image_rgb, found, **pace)
        return self.draw_box.draw(image_rgb, found, pace.get("fps"))

    def _show_sink(self, *, required: bool = False, **window: Any) -> Sink:
        folder = self.snapshot_folder
        return open_show_sink(self.show_state_mode, required=required, folder=folder, **window)
