"""The Kaggle CSV file: written atomically, validated, resumable, and submitted on request.

It has the columns `image_path,emotion` and one row per image, in the order of
`sample_submission.csv` if given, else in natural order. `NAME.log.csv` next to `NAME.csv` records
what happened to each image. During a run, rows are kept in `NAME.partial.jsonl`; an interrupted run
resumes from there, reusing the rows before the first image that has been replaced since.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builder_tools import __version__
from builder_tools.csv_files import read_any_csv, read_csv, write_csv
from builder_tools.inference import BatchRow, BatchTable, Inference
from builder_tools.journal import RUN_MARK, Journal
from builder_tools.media import find_images
from builder_tools.media.guarding import check_outputs, check_own
from builder_tools.media.partial import check_place, naming_full, replacing
from builder_tools.persons import Persons
from builder_tools.submission.by_person import check_classes, compared, not_compared
from builder_tools.submission.faces_csv import PERSON_COLUMNS, write_faces
from builder_tools.submission.resuming import Stamp, add_row, begin_rows, stamp_of
from builder_tools.submission.sample import match_ids, read_sample, spelt_as

COLUMNS = ("image_path", "emotion")
LOG_COLUMNS = ("image_path", "status", "emotion", "probability", "num_faces", "reason")
COMPETITION = "skillbox-computer-vision-project"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SubmissionJob:
    """Which images a submission is about.

    Args:
        folder: Folder of the images.
        names: Names of the images in the rows, in order: names relative to the folder with `/`,
            i.e. bare file names for images directly in it; with a sample, its names.
        paths: Where each image is, or would be.
        extra: Images in the folder that the sample does not ask for; they get no row.
        left_out: Sentences about the other files in the folder: how many, why, which.
        sample: The sample that was followed, if any.
        files: Names of the images in the folder, in the order of `names`, from which they only
            differ with a sample.
    """

    folder: Path
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    extra: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    sample: Path | None = None
    files: tuple[str, ...] = ()


def plan_submission(
    folder: str | Path, sample: str | Path | None = None, *, without: str | Path | None = None
) -> SubmissionJob:
    """Find the images and their order.

    Args:
        folder: Folder of images, which may be in subfolders.
        sample: `sample_submission.csv`; its order and ids are followed (see `match_ids`), and an
            image that it names but the folder lacks gets a row as unreadable.
        without: A folder that is not looked into, because drawn images are written there.

    Raises:
        FileNotFoundError: If the folder or the sample does not exist.
        ValueError: If there are no images, or the sample is malformed or for other images.
    """
    found = find_images(folder, without=without)
    followed = None if sample is None else Path(sample)
    ids = None if followed is None else read_sample(followed)
    if not found.names and ids is None:
        reasons = "".join(f" {sentence}." for sentence in found.sentences())
        raise ValueError(f"Expected images in {folder}. There are none.{reasons}")
    known = dict(zip(found.names, found.paths, strict=True))
    matched = [(name, name) for name in known] if ids is None else match_ids(ids, found.names)
    paths = tuple(known[image] if image else found.folder / row for row, image in matched)
    wanted = {image for _, image in matched}
    return SubmissionJob(
        Path(folder),
        tuple(row for row, _ in matched),
        paths,
        tuple(sorted(name for name in known if name not in wanted)),
        tuple(found.sentences()),
        followed,
        tuple(image or row for row, image in matched),
    )


def make_submission(
    inference: Inference,
    job: SubmissionJob,
    csv_path: str | Path,
    *,
    faces_csv: str | Path | None = None,
    persons: Persons | None = None,
    restart: bool = False,
) -> Iterator[BatchRow]:
    """Classify the images and write the CSV file and its log; yield the rows as they are made.

    Read the iterator to its end, as the files are written after the last row. Rows of an
    interrupted run with the same images, model and policies are yielded first without being
    computed again, up to the first image whose file has changed since.

    Args:
        inference: Made with any mode; its batch policies are used.
        job: From `plan_submission`.
        csv_path: The CSV file to write; its folder is created.
        faces_csv: Also write a table of every face, see `write_faces`; needs an `Inference` with
            `every_face`.
        persons: Who is in the images of the job; the log and the table of faces then also hold
            what faces show compared with their person's rest (`by_person`); needs an `Inference`
            with `every_face`.
        restart: Whether to discard the rows of an interrupted run.

    Raises:
        ValueError: If the CSV file does not pass `validate_submission` (it is then not written),
            there is an interrupted run with other images or settings, or nobody's rest is known
            for the model's classes (`persons`).
        BlockingIOError: If another process is writing this file.
        OSError: If a file cannot be written; before the first row if possible.
    """
    csv_path = Path(csv_path)
    if csv_path.is_dir():
        raise IsADirectoryError(f"Expected a csv file to write. Received a folder: {csv_path}.")
    partial, log = _beside(csv_path, ".partial.jsonl"), log_path(csv_path)
    outputs = {"the csv": csv_path, "its log": log, "its rows under way": partial}
    outputs["the csv of faces"] = faces_csv
    if (faces_csv is not None or persons is not None) and not inference.policy.every_face:
        raise ValueError(
            "Expected Inference(every_face=True) with faces_csv or persons. Received: without."
        )
    if persons is not None:
        check_classes(persons, tuple(inference.model.emotions))
    check_outputs(outputs, [*([job.sample] if job.sample else []), *job.paths])
    check_own(log, ",".join(LOG_COLUMNS))
    if restart:
        check_own(partial, RUN_MARK)
    for path in (csv_path, *([] if faces_csv is None else [Path(faces_csv)])):
        check_place(path)
    run = _fingerprint(inference, job)
    with naming_full(partial), Journal(partial, run, of="images, model and settings") as journal:
        rows = begin_rows(journal, job.paths, restart=restart)
        yield from rows
        left = list(zip(job.names, job.paths, strict=True))[len(rows) :]
        for row in _noted_rows(inference, left, journal):
            rows.append(row)
            yield row
        emotions = tuple(inference.model.emotions)
        asked = persons is not None
        if asked:
            rows = compared(rows, persons, emotions, getattr(inference.model, "natural", None))
            if left := not_compared(rows):
                logger.warning("Not compared with a rest: %s", left)
        if faces_csv is not None:
            columns = {"geometry": inference.geometry, "persons": asked}
            write_faces(Path(faces_csv), rows, emotions, **columns)
        write_submission(rows, csv_path, job.names, emotions, persons=asked)
        journal.remove()


def _noted_rows(
    inference: Inference, named: Sequence[tuple[str, Path]], journal: Journal
) -> Iterator[BatchRow]:
    """Yield the rows of images, adding each to the journal with its file's stamp before reading."""
    stamps: deque[Stamp] = deque()

    def stamped() -> Iterator[Path]:
        for _, path in named:
            stamps.append(stamp_of(path))
            yield path

    for row in inference.batch_rows(stamped(), [name for name, _ in named]):
        add_row(journal, row, stamps.popleft())
        yield row


def write_submission(
    rows: BatchTable | Sequence[BatchRow],
    csv_path: str | Path,
    names: Sequence[str],
    emotions: Collection[str],
    *,
    persons: bool = False,
) -> None:
    """Write the CSV file and its log, each atomically, after validating the CSV file.

    Args:
        rows: One row per image.
        csv_path: File to write.
        names: The expected names, in order.
        emotions: The allowed emotions.
        persons: Whether the log also has `PERSON_COLUMNS`.

    Raises:
        ValueError: If the CSV file is not valid; nothing is written.
    """
    csv_path = Path(csv_path)
    csv_path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(csv_path) as checked, replacing(log_path(csv_path)) as log:
        write_csv(checked, COLUMNS, _cells(rows, COLUMNS))
        _check_lines(read_csv(checked), names, emotions, csv_path)
        columns = (*LOG_COLUMNS, *(PERSON_COLUMNS if persons else ()))
        write_csv(log, columns, _cells(rows, columns))


def log_path(csv_path: str | Path) -> Path:
    """Return the path of a submission's log: `NAME.log.csv` next to `NAME.csv`."""
    return _beside(Path(csv_path), ".log.csv")


def _beside(csv_path: Path, ending: str) -> Path:
    """Return the path of a file next to a CSV file; only its `.csv` is left out of the name."""
    is_csv = csv_path.suffix.lower() == ".csv"
    return csv_path.with_name(f"{csv_path.stem if is_csv else csv_path.name}{ending}")


def validate_submission(
    csv_path: str | Path, names: Sequence[str], emotions: Collection[str]
) -> None:
    """Check a submission: header, one row for each name in order, known emotions.

    Raises:
        ValueError: If a check fails; names the row, what was expected and what was found.
    """
    _check_lines(read_csv(Path(csv_path)), names, emotions, Path(csv_path))


def standard_submission(
    csv_path: str | Path, emotions: Collection[str], sample: str | Path | None = None
) -> tuple[Path, str]:
    """Check a submission before it is sent, whatever form it was written in.

    The header, one name and one known emotion per row, and unique names are always checked. Number,
    names and order are checked against the sample if given, else against the log that `img-batch`
    left next to the file.

    Other forms are accepted if their meaning is clear: a byte order mark, UTF-16, `;`, tabs or `|`,
    spaces around cells, capital letters in the header and emotions, blank lines, and, with a
    sample, ids in another case or without suffix. The standard form is then written to
    `NAME.standard.csv`.

    Args:
        csv_path: The submission.
        emotions: The allowed emotions.
        sample: `sample_submission.csv`.

    Returns:
        (path, words): the file in the standard form, which may be the given one, and what it was
        checked against.

    Raises:
        FileNotFoundError: If the submission or the sample does not exist.
        ValueError: If a check fails; names the row, what was expected and what was found. Nothing
            is written.
    """
    csv_path = Path(csv_path)
    _expect_there(csv_path)
    with suppress(ValueError):  # otherwise it is in another form, or wrong
        return csv_path, _check_cells(read_csv(csv_path), emotions, sample, csv_path)
    header, *rows = [row for row in read_any_csv(csv_path) if any(map(str.strip, row))] or [[]]
    header, *rows = [[cell.strip() for cell in row] for row in (header, *rows)]
    words = {name.casefold(): name for name in emotions}
    rows = [[*row[:1], *(words.get(cell.casefold(), cell) for cell in row[1:])] for row in rows]
    if sample is not None:
        names = spelt_as(read_sample(sample), [row[0] for row in rows])
        rows = [[name, *row[1:]] for name, row in zip(names, rows, strict=True)]
    meant = [[cell.casefold() for cell in header], *rows]
    against = _check_cells(meant, emotions, sample, csv_path)
    standard = _beside(csv_path, ".standard.csv")
    check_own(standard, ",".join(COLUMNS))
    with replacing(standard) as partial:
        write_csv(partial, COLUMNS, rows)
    return standard, against


def _expect_there(csv_path: Path) -> None:
    if not csv_path.is_file():
        raise FileNotFoundError(f"Expected a csv at {str(csv_path)!r}. Make one by img-batch.")


def _check_cells(
    lines: list[list[str]],
    emotions: Collection[str],
    sample: str | Path | None,
    csv_path: Path,
) -> str:
    log = log_path(csv_path)
    given = [row[0] if row else "" for row in lines[1:]]
    twice = [name for name, count in Counter(given).items() if count > 1]
    if twice:
        raise ValueError(f"Expected each image once in {csv_path}. Twice or more: {twice[:10]}.")
    if sample is not None:
        ids, against = read_sample(sample), f"the {len(given)} ids of {sample}"
        # Keep as many folders as the rows have, which may be none.
        depths = [len(PurePosixPath(name).parts) for name in given]
        depths += [1] * (len(ids) - len(depths))
        names = [str(PurePosixPath(*one.parts[-n:])) for one, n in zip(ids, depths)]  # noqa: B905
    elif log.is_file():
        names, against = [row[0] for row in read_csv(log)[1:]], f"the log {log}"
    else:
        names, against = given, "itself only: give --sample to compare count, ids and order"
    _check_lines(lines, names, emotions, csv_path)
    if not given or not all(name.strip() for name in given):
        raise ValueError(f"Expected an image's name in every row of {csv_path}, one at least.")
    return against


def send_submission(
    csv_path: str | Path, message: str, *, competition: str = COMPETITION, dry_run: bool = True
) -> list[str]:
    """Submit a CSV file with the official `kaggle` client, or (dry run) only return the command.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the client is not installed.
        RuntimeError: If the client fails; says why.
    """
    _expect_there(Path(csv_path))
    command = ["kaggle", "competitions", "submit", competition, "-f", str(csv_path), "-m", message]
    if dry_run:
        return command
    from builder_tools.datasets.fetch import kaggle_client, kaggle_reason

    client = kaggle_client()
    if not client:
        raise ImportError("Sending needs the kaggle client: pip install 'builder-tools[kaggle]'.")
    done = subprocess.run([*client, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = kaggle_reason(f"{done.stdout}\n{done.stderr}", competition)
        raise RuntimeError(f"Nothing was sent: {reason}.")
    return command


def _fingerprint(inference: Inference, job: SubmissionJob) -> str:
    """Return a hash of the images, the model, the detector and the policies of a run."""
    model = inference.model
    card = getattr(model, "card", None)
    facts = {
        "version": __version__,
        "folder": str(job.folder.resolve()),
        "names": job.names,
        "model": card.answers_sha256 if card else [type(model).__name__, *model.emotions],
        "flip_average": bool(getattr(model, "flip_average", False)),
        "decision": getattr(model, "decision", None),
        "settings": inference.describe(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _check_lines(
    lines: list[list[str]], names: Sequence[str], emotions: Collection[str], csv_path: Path
) -> None:
    header, *rows = lines or [[]]
    if tuple(header) != COLUMNS:
        raise ValueError(f"Expected the header {','.join(COLUMNS)} in {csv_path}. Got: {header}.")
    if len(rows) != len(names):
        raise ValueError(f"Expected {len(names)} rows in {csv_path}. Received: {len(rows)}.")
    for number, (row, name) in enumerate(zip(rows, names, strict=True), start=2):
        if len(row) != 2 or row[0] != name or row[1] not in emotions:
            raise ValueError(
                f"Expected {name!r} and one of {sorted(emotions)} in {csv_path}, line {number}. "
                f"Received: {row}."
            )


def _cells(rows: Sequence[BatchRow], columns: Sequence[str]) -> Iterator[list[object]]:
    for row in rows:
        values = (getattr(row, column) for column in columns)
        yield [f"{value:.4f}" if isinstance(value, float) else value for value in values]
