"""Csv files for Kaggle, made of forty small images by a model and a detector of known answers."""

import pytest
from fakes import FakeDetector, FakeModel, files_of, save_image

from builder_tools.inference import Inference
from builder_tools.submission import make_submission, plan_submission


def inference(model=None, **options):
    return Inference(
        model or FakeModel(),
        options.pop("detector", None) or FakeDetector(),
        show_state_mode="none",
        inference_mode="img_batch",
        **options,
    )


def submit(folder, csv_path, model=None, *, sample=None, restart=False, **options):
    job = plan_submission(folder, sample)
    return list(make_submission(inference(model, **options), job, csv_path, restart=restart))


def breaks_after(faces):
    def before(seen):
        if seen >= faces:
            raise RuntimeError("the model broke")

    return FakeModel(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty images 0.png ... 39.png, some without a face, with two, unreadable."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(40):
        num_faces = {3: 0, 4: 2}.get(number % 10, 1)
        save_image(folder / f"{number}.png", num_faces, *([6 * number] * num_faces))
    (folder / "17.png").write_bytes(b"")
    (folder / "28.png").write_bytes(b"broken" * 50)
    return folder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The files of a run that nothing interrupted."""
    csv_path = tmp_path_factory.mktemp("whole") / "s.csv"
    submit(folder, csv_path)
    return files_of(csv_path)


def write_sample(path, names, header="image_path,emotion"):
    path.write_text("\n".join([header, *(f"{name},neutral" for name in names)]) + "\n")
    return path
