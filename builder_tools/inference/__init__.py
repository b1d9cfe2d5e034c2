"""`Inference`: faces and their emotions from images, folders, videos and cameras.

There is one frame loop (`stream.frame_loop`). Each `analyse_...` method, and each mode of `run`,
is a choice of source and sinks (window, notebook, video file, nothing). Every frame of a video is
analysed; of a camera, only the newest (`Analyser`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.detectors import DEFAULT_DETECTOR, FaceDetector, face_square
from builder_tools.detectors.turning import AUTO
from builder_tools.fields import check_choice, check_flag, check_positive, check_whole, checked_part
from builder_tools.inference.analysis import Analyser
from builder_tools.inference.batch import (
    MULTI_FACE_POLICIES,
    NO_FACE_POLICIES,
    STATUSES,
    BatchPolicy,
    BatchRow,
    BatchTable,
    Preparer,
    classify_images,
    images_of,
    named_images,
)
from builder_tools.inference.reader import (
    EmotionModel,
    chosen_model,
    frequent_emotion,
    make_landmarker,
    read_faces,
)
from builder_tools.inference.search import Orientation
from builder_tools.inference.sinks import (
    FrameRate,
    LiveVideoSink,
    NoSink,
    Sink,
    VideoSink,
    open_show_sink,
)
from builder_tools.inference.stream import (
    Drawer,
    ResultStream,
    StreamState,
    check_rest,
    frame_loop,
    open_ends,
    whole_film,
)
from builder_tools.inference.threads import DetectorPool
from builder_tools.media import Frame, read_image
from builder_tools.media.addresses import camera_name
from builder_tools.media.budget import BYTES_PER_WORKER, Budget
from builder_tools.media.guarding import check_outputs
from builder_tools.media.images import name_of
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
INFERENCE_MODES: dict[str, tuple[str, ...]] = {
    "img": (),
    "img_batch": (),
    "video": ("max_frames",),
    "video_rec": ("out", "max_frames"),
    "online": ("out", "max_frames"),
}
"""The options `run` takes in each mode besides the source."""


class Inference:
    """Find faces and recognise their emotions.

    By default, uses the shipped model and MediaPipe's detector, draws boxes, and shows the result
    for a single image in a window if there is a screen.

    Args:
        model_obj: Anything with `.emotions` and `.predict(faces)`; `EmotionClassifier()` if None.
        face_det_obj: A face detector; `MediaPipeDetector()` if None.
        draw_box_obj: Anything with `.draw(image_rgb, faces, fps)`; `DrawBox()` if None.
        img_size: Side in px to which faces are resized before `model_obj.predict`; None leaves
            resizing to the model.
        show_state_mode: `cv2` (a window; q or Esc quits, s saves a snapshot), `inline` (a
            notebook) or `none`.
        inference_mode: `img`, `img_batch`, `video`, `video_rec` or `online`; see `run`.
        batch_size: Number of images whose faces are classified together (`img_batch`).
        workers: Threads that decode and detect (`img_batch`), or detect (`video`, `video_rec`,
            unless `face_det_obj` is given); the number of cores if None.
        no_face: Policy for `img_batch`, one of `NO_FACE_POLICIES`.
        multi_face: Policy for `img_batch`, one of `MULTI_FACE_POLICIES`.
        every_face: Whether rows of `img_batch` hold every face (`row.faces`).
        snapshot_folder: Where the s key saves images.
        detector: Name in `DETECTORS` of the detectors to make, one per thread, if `face_det_obj`
            is None.
        detector_options: Keyword arguments of that detector.
        track: Whether faces in a stream keep their identity (`face.track`; new in each run).
        smooth_s: Time constant in seconds for smoothing each person's emotions, which also steadies
            the displayed label; 0 or None treats every image on its own.
        detect_every: Look for faces in every n-th frame of a video (`video`, `video_rec`), more
            often at cuts and where n frames exceed 200 MB; in between, tracked faces move evenly.
        decision: `natural`, or `balanced` if all emotions are about equally frequent (see
            `EmotionClassifier`); for the default model only, as your own model has its own.
        rest: What faces are also compared with (`face.relative_emotion`). In streams: `auto`,
            each person's rest as estimated along the way, or (`video` of known length, if nothing
            is drawn) from the whole film, in which case results come after its last frame; a
            number of seconds, the first ones of each person, during which they look neutral; or
            a `RestingFace`, if one person is filmed; in `img`, only that. None: no comparison.
        geometry: Whether faces get `face.geometry`: landmarks, blendshapes and head pose (6 ms
            per face); a face turned far away is then doubtful.
        rotate: Clockwise rotation applied to images first: 0, 90, 180 or 270. "auto" instead finds
            faces at any rotation (`face.turned_deg`). None: "auto" for images, 0 for streams.
        mirror: Whether images are then flipped left to right; boxes are of the image so turned.

    Raises:
        ValueError: If an option is none of those listed, `smooth_s` is negative or given without
            `track`, `detect_every` is above 1 without `track`, `decision` is given along with a
            model, or `rest` is none of the above or from another model.

    An object may be used by one thread at a time (`online` runs detector and model on its own
    threads, so that a slow one does not hold up the others). Close it, or use it in a `with`.
    """

    def __init__(
        self,
        model_obj: EmotionModel | None = None,
        face_det_obj: FaceDetector | None = None,
        draw_box_obj: Drawer | None = None,
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
        check_choice("inference_mode", inference_mode, tuple(INFERENCE_MODES))
        check_positive(img_size=img_size, workers=workers)
        check_whole(1, batch_size=batch_size, detect_every=detect_every)
        check_flag(track=track, geometry=geometry)
        if detect_every > 1 and not track:
            raise ValueError("Expected track=True with detect_every: only tracked faces move.")
        self.show_state_mode, self.inference_mode = show_state_mode, inference_mode
        self.img_size, self.batch_size, self.detect_every = img_size, batch_size, detect_every
        self.workers, self.snapshot_folder = workers or os.cpu_count() or 1, Path(snapshot_folder)
        self._new_state = partial(StreamState, track=track, smooth_s=smooth_s, rest=rest)
        if not (of_images := inference_mode in ("img", "img_batch")):
            self._new_state()  # To fail early; images are spared its imports.
        self._own_draw_box = checked_part("draw_box_obj", draw_box_obj, ["draw"])
        self.model, self._rest = chosen_model(model_obj, decision), rest
        check_rest(rest, inference_mode, self.model)
        known_rest = rest if isinstance(rest, RestingFace) else None
        self._still = StreamState(track=False, smooth_s=None, rest=known_rest)
        self.policy = BatchPolicy(frequent_emotion(self.model), no_face, multi_face, every_face)
        self._detectors = DetectorPool(face_det_obj, detector, detector_options or {})
        self.geometry, self._landmarker = geometry, make_landmarker() if geometry else None
        self._image_view = Orientation(AUTO if rotate is None else rotate, mirror)
        self._stream_view = Orientation(0 if rotate is None else rotate, mirror)
        self._view = self._image_view if of_images else self._stream_view
        self._analyser = Analyser(self.model, self._detectors, img_size, self._landmarker)

    @cached_property
    def draw_box(self) -> Drawer:
        """The object that draws; imported on first use, as most images are never displayed."""
        from builder_tools.drawing import DrawBox

        return DrawBox() if self._own_draw_box is None else self._own_draw_box

    def __enter__(self) -> Inference:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what this object made: its detectors (but not yours) and its landmarker."""
        self._detectors.close()
        if self._landmarker is not None:
            self._landmarker.close()

    def describe(self) -> dict[str, object]:
        """Return what determines the results besides the model: detector, size and policies."""
        return {
            "detector": self._detectors.describe(),
            "img_size": self.img_size,
            "no_face": self.policy.no_face,
            "multi_face": self.policy.multi_face,
            "every_face": self.policy.every_face,
            "geometry": self.geometry,
            **vars(self._view),
        }

    def run(
        self, source: Any = None, *, out: str | Path | None = None, max_frames: int | None = None
    ) -> FrameResult | list[FrameResult] | BatchTable | ResultStream:
        """Run the mode this object was made for.

        | mode | method | source | options | returns |
        |---|---|---|---|---|
        | `img` | `analyse_image` | an image, or a list | | a `FrameResult`, or a list |
        | `img_batch` | `analyse_images` | a folder, or images | | a `BatchTable` |
        | `video` | `analyse_video` | path or URL | `max_frames` | a `ResultStream` |
        | `video_rec` | `analyse_video` | the same | `out`, `max_frames` | a `ResultStream` |
        | `online` | `analyse_camera` | index (0) or URL | `out`, `max_frames` | a `ResultStream` |

        Raises:
            TypeError: If the mode does not take an option, or `out` is missing in `video_rec`.
            FileNotFoundError, ValueError, OSError, RuntimeError: As documented for each method.
        """
        mode = self.inference_mode
        for name, value in (("out", out), ("max_frames", max_frames)):
            if value is not None and name not in INFERENCE_MODES[mode]:
                raise TypeError(f"Expected no {name} in mode {mode!r}. Received: {value!r}.")
        if mode == "video_rec" and out is None:
            raise TypeError("Expected out, the .mp4 to write, in mode 'video_rec'. Received: None.")
        if mode == "online":
            camera = 0 if source is None else source
            return self.analyse_camera(camera, out=out, max_frames=max_frames)
        if source is None:
            raise ValueError(f"Expected a source for {mode!r}. Received: None.")
        if mode == "img_batch":
            return self.analyse_images(source)
        if mode != "img":
            return self.analyse_video(source, out=out, max_frames=max_frames)
        if isinstance(source, list | tuple):
            return [self.analyse_image(each) for each in source]
        return self.analyse_image(source)

    def analyse_image(self, source: Any, *, draw: bool = True) -> FrameResult:
        """Return the faces of one image along with the drawn image, and show it.

        Args:
            source: A path, a URL, `-` (standard input), a file's bytes, an open file, a Pillow
                image, an array or a tensor (see `media.read_image`).
            draw: False to draw only if the image is shown; otherwise the result's `image` is None.

        Raises:
            FileNotFoundError, ValueError, OSError: If the image cannot be read.
        """
        check_flag(draw=draw)
        check_rest(self._rest, "img", self.model)
        view = self._image_view
        image, shown = view.applied(read_image(source)), self._show_sink(hold=True)
        draw_box = self.draw_box if draw else self._draw_box_for([shown])
        analysed = self._analyser.every([Frame(0, 0.0, image)], self._still, rotate=view.search)
        (result,) = frame_loop(analysed, name_of(source), [shown], draw_box)
        return result

    def analyse_images(self, source: Any) -> BatchTable:
        """Return a row for each image, in order; unreadable images get a row too.

        Args:
            source: A folder, including its subfolders, or images as `analyse_image` takes them.
        """
        check_rest(self._rest, "img_batch", self.model)
        return BatchTable(self.batch_rows(*images_of(source)))

    def analyse_video(
        self, source: str | Path, *, out: str | Path | None = None, max_frames: int | None = None
    ) -> ResultStream:
        """Return the results of every frame of a video, one by one.

        Args:
            source: Path or URL.
            out: Where to write the drawn video (.mp4) with its sound; it is complete once the
                results have been read to the end (`.drain()`).
            max_frames: Stop after this many frames.

        Raises:
            FileNotFoundError, ValueError, OSError: If the source cannot be opened; raised
                immediately, not at the first result.
        """
        from builder_tools.media import VideoReader

        check_positive(max_frames=max_frames)
        check_outputs({"out": out}, [source])
        state = self._new_state(model=self.model)
        show = partial(self._show_sink, on_rest_key=state.look_neutral)
        record = partial(VideoSink.open, out) if out is not None else None
        reader, sinks = open_ends(show, lambda: VideoReader(source), self._stream_view, record)
        analysed = self._analyser.every(
            reader,
            state,
            rotate=self._stream_view.search,
            workers=1 if self._detectors.given is not None else self.workers,
            detect_every=self.detect_every,
            max_frames=max_frames,
        )
        draw_box = self._draw_box_for(sinks)
        results = frame_loop(analysed, camera_name(reader.source), sinks, draw_box)
        if state.is_auto and draw_box is None and reader.duration_s:
            state.rests = None
            return whole_film(results, reader, sinks, self.model)
        return ResultStream(results, reader, sinks, state.rests)

    def analyse_camera(
        self, source: int | str = 0, *, out: str | Path | None = None, max_frames: int | None = None
    ) -> ResultStream:
        """Return the results of a camera's newest frames, one by one; late frames are dropped.

        Args:
            source: Index of a camera, or its URL.
            out: Where to write the drawn video (.mp4); however it ends, the file is kept.
            max_frames: Stop after this many frames.

        Raises:
            FileNotFoundError, ValueError, OSError: If the source cannot be opened; immediately.
            RuntimeError: If a window is requested but there is no screen.
        """
        from builder_tools.media import CameraReader

        check_positive(max_frames=max_frames)
        state = self._new_state(model=self.model)
        show = partial(self._show_sink, required=True, on_rest_key=state.look_neutral)
        record = partial(LiveVideoSink.open, out) if out is not None else None
        reader, sinks = open_ends(show, lambda: CameraReader(source), self._stream_view, record)
        analysed = self._analyser.newest(
            reader,
            state,
            lambda: all([sink.wait() for sink in sinks]),
            rotate=self._stream_view.search,
            max_frames=max_frames,
        )
        draw_box, name = self._draw_box_for(sinks), camera_name(reader.source)
        results = frame_loop(analysed, name, sinks, draw_box, FrameRate())
        return ResultStream(results, reader, sinks, state.rests)

    def analyse(self, image_rgb: np.ndarray) -> tuple[FaceEmotion, ...]:
        """Return the faces in one `(H, W, 3)` uint8 RGB image, largest first; draw nothing."""
        return self._still.steady(self._analyser.one(image_rgb, self._image_view), 0.0)

    def batch_rows(
        self, sources: Iterable[Any], names: Iterable[str] | None = None
    ) -> Iterator[BatchRow]:
        """Yield the rows of `img_batch` one by one, in the order of the images.

        Args:
            sources: Paths, or anything else that `read_image` takes.
            names: Their names in the rows; None uses bare file names, and for other sources
                their type and number.
        """
        prepare = Preparer(
            self._detectors.lend,
            self.policy,
            self.img_size or getattr(getattr(self.model, "card", None), "input_size", None),
            Budget(BYTES_PER_WORKER * self.workers),
            self._landmarker,
            self._image_view,
        )
        return classify_images(
            named_images(sources, names),
            prepare=prepare,
            read=lambda faces: read_faces(self.model, faces, self.img_size),
            model=self.model,
            batch_size=self.batch_size,
            workers=self.workers,
        )

    def _draw_box_for(self, sinks: list[Sink]) -> Drawer | None:
        """Return what draws if a sink shows images or it was given by the user; else None."""
        unseen = self._own_draw_box is None and all(isinstance(sink, NoSink) for sink in sinks)
        return None if unseen else self.draw_box

    def _show_sink(self, *, required: bool = False, **window: Any) -> Sink:
        window |= {"required": required, "folder": self.snapshot_folder}
        return open_show_sink(self.show_state_mode, **window)
