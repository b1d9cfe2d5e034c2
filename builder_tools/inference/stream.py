"""The results of a video or camera, one by one, and their orderly end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builder_tools.inference.sinks import Sink
from builder_tools.media import CameraReader, VideoReader
from builder_tools.media.own_process import OwnProcess
from builder_tools.results import FrameResult
from builder_tools.tracking import RestTracker


class ResultStream(Iterator[FrameResult]):
    """The results of a video or camera as they are made; close it, or read it to its end.

    Args:
        results: The results.
        source: Where they come from: a `VideoReader` or a `CameraReader`.
        sinks: Where they go.
        rests: What is learned of each person's rest; None where nobody asked.
        comes_at_end: Whether the results are given after the last image only.

    Attributes:
        dropped: Images that came before the last result and were not given: a live source
            drops what is late (0 for a video).
    """

    def __init__(
        self,
        results: Iterator[FrameResult],
        source: VideoReader | CameraReader,
        sinks: Iterable[Sink] = (),
        rests: RestTracker | None = None,
        *,
        comes_at_end: bool = False,
    ) -> None:
        self._results, self.source, self._sinks = results, source, tuple(sinks)
        self.dropped, self._given, self.rests = 0, 0, rests
        self.comes_at_end = comes_at_end
        self._owner = OwnProcess("a stream of results", "Run the video or camera there anew.")

    def __next__(self) -> FrameResult:
        self._owner.check()
        result = next(self._results)
        self.dropped = result.frame - self._given
        self._given += 1
        return result

    def __enter__(self) -> ResultStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def drain(self) -> int:
        """Read to the end; return the number of frames."""
        return sum(1 for _ in self)

    def close(self) -> None:
        """End early: closes the source and the window, and drop an unfinished file."""
        self._results.close()
        for sink in self._sinks:  # A loop that never began has not closed them.
            sink.close(GeneratorExit())
        self.source.close()
