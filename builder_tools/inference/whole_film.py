"""A film's faces compared with the rests that all of it tells: its rows twice, its images once."""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import replace
from tempfile import TemporaryFile

from builder_tools.inference.sinks import Sink
from builder_tools.inference.stream import ResultStream
from builder_tools.media import VideoReader
from builder_tools.results import FrameResult
from builder_tools.tracking.resting import AUTO, RestTracker

TELL_EVERY_S = 10.0

logger = logging.getLogger(__name__)


def whole_film(
    results: Generator[FrameResult], reader: VideoReader, sinks: Iterable[Sink]
) -> ResultStream:
    """Return the results of a film, which wait for its end in a temporary file, without images.

    What breaks the film off is raised after the results so far, compared with the rests so far.

    Args:
        results: In the order of their times; closed at the end.
        reader: Where they come from.
        sinks: Where they go.
    """
    rests = RestTracker(AUTO, memory_s=math.inf, forget_s=math.inf)
    return ResultStream(_compared(results, rests), reader, sinks, rests, comes_at_end=True)


def _compared(
    results: Generator[FrameResult], rests: RestTracker
) -> Generator[FrameResult, None, None]:
    count, early_end, told_s = 0, None, time.monotonic()
    with TemporaryFile() as kept, closing(results):
        try:
            for result in results:
                rests.learn(result.faces, result.time_s)
                pickle.dump(replace(result, image=None), kept)
                count += 1
                if time.monotonic() - told_s > TELL_EVERY_S:
                    logger.info("%d frames are read; results follow the last one", count)
                    told_s = time.monotonic()
        except BaseException as error:
            early_end = error
        kept.seek(0)
        for _ in range(count):
            result = pickle.load(kept)
            yield replace(result, faces=rests.compare(result.faces))
    if early_end is not None:
        raise early_end
