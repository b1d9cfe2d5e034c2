"""A film's faces compared with the rests that all of it tells: its rows twice, its images once."""

from __future__ import annotations

import math
import pickle
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from tempfile import TemporaryFile

from builder_tools.results import FrameResult
from builder_tools.tracking.resting import AUTO, RestTracker


class WholeFilm:
    """Holds a film's results back until everybody's rest is known, in a temporary file.

    Attributes:
        rests: What is known of each person's rest.
    """

    def __init__(self) -> None:
        self.rests = RestTracker(AUTO, memory_s=math.inf, forget_s=math.inf)

    def compared(self, results: Generator[FrameResult]) -> Iterator[FrameResult]:
        """Yield all results, without images, once the last one is there.

        What breaks the film off is raised after the results so far, as they would be raised
        without this.

        Args:
            results: In the order of their times; closed at the end.
        """
        count, early_end = 0, None
        with TemporaryFile() as kept, closing(results):
            try:
                for result in results:
                    self.rests.learn(result.faces, result.time_s)
                    pickle.dump(replace(result, image=None), kept)
                    count += 1
            except BaseException as error:
                early_end = error
            kept.seek(0)
            for _ in range(count):
                result = pickle.load(kept)
                yield replace(result, faces=self.rests.compare(result.faces))
        if early_end is not None:
            raise early_end
