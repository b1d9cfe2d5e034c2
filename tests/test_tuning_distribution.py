"""A search over processes: one chief, workers on loopback, and what happens when one dies."""

import contextlib
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras_tuner = pytest.importorskip("keras_tuner")
grpc = pytest.importorskip("grpc")

from toy_study import pattern, tiny_spec, toy_faces, write_official  # noqa: E402

from builder_tools.networks import NETWORKS  # noqa: E402
from builder_tools.training import Samples  # noqa: E402
from builder_tools.tuning import (  # noqa: E402
    Chief,
    EmotionHyperModel,
    Worker,
    join_search,
    tune,
)
from builder_tools.tuning.distribution import METHOD, playing, split_address  # noqa: E402
from builder_tools.tuning.search import search_identity  # noqa: E402
from builder_tools.tuning.tuner import EmotionOracle  # noqa: E402

pytestmark = pytest.mark.slow

TRIALS = 3
LIMIT_S = 300


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(16))
        yield


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def command_line(*arguments: str) -> None:
    """What each process runs: the command line, with a toy network in the registry."""
    from builder_tools.cli import main

    NETWORKS["tiny"] = tiny_spec(16)
    sys.exit(main(arguments))


class Process:
    """The command line in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        code = "import sys; sys.path[:0] = ['tests']; import test_tuning_distribution as t; "
        quiet = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{code}t.command_line(*{arguments!r})"],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **quiet},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> tuple[str, str]:
        """Gives stdout and stderr of a process that ended well."""
        out, messages = self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0, messages
        return out, messages


def run_here(*arguments: str) -> tuple[str, str]:
    """Runs the command line in this process, which has loaded what it needs; gives the same."""
    from builder_tools.cli import main

    out, messages = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(messages)
    logging.getLogger("builder_tools").addHandler(handler)
    try:
        with contextlib.redirect_stdout(out):
            assert main(arguments) == 0
    finally:
        logging.getLogger("builder_tools").removeHandler(handler)
    return out.getvalue(), messages.getvalue()


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search by one chief and two workers: its folder, and what each said."""
    root = tmp_path_factory.mktemp("distributed")
    faces = write_official(root / "data", toy_faces({"train": 6, "valid": 3, "test": 1}))
    address, folder = free_address(), root / "search"
    shared = ["tune", "--source", str(faces), "--network", "tiny", "--size", "16"]
    shared += ["--epochs", "1", "--precision", "float32", "--folder", str(folder)]
    workers = [Process(*shared, "--worker", address, "--worker-name", f"tuner{n}") for n in (0, 1)]
    try:
        chief = run_here(*shared, "--trials", str(TRIALS), "--chief", address)
        said = [*(worker.wait() for worker in workers), chief]
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
    return folder, said


def test_two_workers_did_every_trial_once(searched):
    folder, said = searched
    counts = [int(out.split("ran ")[1].split()[0]) for out, _ in said[:2]]
    assert min(counts) >= 1 and sum(counts) == TRIALS
    table = pd.read_csv(folder / "trials.csv")
    assert table["trial"].tolist() == list(range(TRIALS))
    assert (table["status"] == "completed").all() and (table["epochs"] == 1).all()
    assert len(list(folder.glob("tiny-*/trial_*/run/history.csv"))) == TRIALS


def test_the_chief_tells_what_was_found_and_only_that(searched):
    folder, said = searched
    out, messages = said[2]
    best = pd.read_csv(folder / "trials.csv").set_index("trial")["score"].idxmax()
    lines = out.splitlines()
    assert lines[0].startswith(f"best trial: {best} of {TRIALS}, macro-F1 0.")
    assert lines[2:] == [
        f"trials: {folder / 'trials.csv'}",
        f"configuration: {folder / 'best.json'}",
    ]
    assert "tuner0 is at work" in messages and "tuner1 is at work" in messages
    assert (folder / "trials.png").is_file() and (folder / "parallel.png").is_file()


class Imagined(EmotionHyperModel):
    """Trains nothing; waits a little, so that others get their turn."""

    def __init__(self, **options) -> None:
        super().__init__("tiny", 3, **options)
        self.ran: list[float] = []

    def fit(self, hp, model, train, valid, *, monitor, folder, callbacks=()):
        config = self.config(hp)
        self.ran.append(config.learning_rate)
        time.sleep(0.05)
        figures = dict.fromkeys(("val_accuracy", "val_macro_f1", "val_loss"), config.learning_rate)
        return {**figures, "best_epoch": 1, "epochs": 1, "seconds": 0.1, "parameters": 9}


def toy_samples(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = np.stack([pattern(int(label), 16, rng) for label in labels])
    return Samples(images, np.eye(3, dtype=np.float32)[labels])


FACES = (toy_samples(12, 0), toy_samples(6, 1))


class RunningChief:
    """A chief of three trials in a thread, quick to notice that a worker is silent."""

    def __init__(self, folder: Path, patience_s: float = 60) -> None:
        self.address, self.folder, self.patience_s = free_address(), folder, patience_s
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        chief = Chief(self.address, lost_after_s=4, patience_s=self.patience_s)
        try:
            self.result = tune(Imagined(), *FACES, trials=3, folder=self.folder, chief=chief)
        except ConnectionError as error:
            self.result = error

    def worker(self, name: str = "tuner0") -> Worker:
        return Worker(self.address, name, patience_s=60)

    def end(self):
        self.thread.join(60)
        assert not self.thread.is_alive(), "the chief did not end"
        return self.result


@pytest.fixture
def chief(tmp_path):
    return RunningChief(tmp_path / "chief")


def die_with_a_trial(chief: RunningChief) -> str:
    """Plays a worker that takes a trial and is not heard of again; gives the trial's number."""
    from keras_tuner.src import protos

    key = search_identity(Imagined(), *FACES, "val_accuracy")["key"]
    hello = json.dumps({"name": "ghost", "id": "1", "key": key}).encode()
    with grpc.insecure_channel(chief.address) as channel:
        channel.unary_unary(METHOD)(hello, wait_for_ready=True, timeout=60)
        request = protos.get_service().CreateTrialRequest(tuner_id="ghost")
        answer = protos.get_service_grpc().OracleStub(channel).CreateTrial(request, timeout=60)
    return answer.trial.trial_id


def test_the_trial_of_a_worker_that_died_goes_to_another(chief):
    taken = die_with_a_trial(chief)
    living = Imagined()
    assert join_search(living, *FACES, worker=chief.worker(), folder=chief.folder) == 3
    result = chief.end()
    assert (result.trials["status"] == "completed").all()
    assert taken == "0"
    assert result.trials.loc[0, "learning_rate"] in living.ran
    assert result.best.learning_rate == max(living.ran)


def test_a_search_begun_alone_goes_on_with_a_chief(tmp_path):
    folder = tmp_path / "chief"
    alone = tune(Imagined(), *FACES, trials=2, folder=folder)
    chief, more = RunningChief(folder), Imagined()
    assert join_search(more, *FACES, worker=chief.worker(), folder=folder) == 1
    pd.testing.assert_frame_equal(chief.end().trials[:2], alone.trials)


def test_the_reason_of_a_worker_s_failure_reaches_the_chief(chief):
    class Failing(Imagined):
        def fit(self, hp, *arguments, **options):
            if not self.ran:
                self.ran.append(0.0)
                raise MemoryError("no room for that")
            return super().fit(hp, *arguments, **options)

    join_search(Failing(), *FACES, worker=chief.worker(), folder=chief.folder)
    failed = chief.end().failed
    assert failed["trial"].tolist() == [0]
    assert failed["error"].item() == "MemoryError: no room for that"


def test_a_worker_that_does_not_fit_is_refused(chief):
    elsewhere = chief.folder.with_name("elsewhere")
    with pytest.raises(ValueError, match=r"options and file of weights\. Received: another"):
        join_search(Imagined(seed=9), *FACES, worker=chief.worker(), folder=elsewhere)
    die_with_a_trial(chief)
    with pytest.raises(ValueError, match=r"Received: 'ghost', who is at work"):
        join_search(Imagined(), *FACES, worker=chief.worker("ghost"), folder=elsewhere)
    assert not elsewhere.exists()
    join_search(Imagined(), *FACES, worker=chief.worker(), folder=chief.folder)
    chief.end()


def test_a_worker_without_a_chief_says_so_in_time(tmp_path):
    worker = Worker(free_address(), patience_s=1)
    began_s = time.monotonic()
    with pytest.raises(ConnectionError, match=r"None answered within 1 s.*tune --chief"):
        join_search(Imagined(), *FACES, worker=worker, folder=tmp_path / "new")
    assert time.monotonic() - began_s < 30
    assert not (tmp_path / "new").exists()


def test_a_chief_without_workers_says_so_in_time(tmp_path):
    chief = Chief(free_address(), patience_s=1)
    began_s = time.monotonic()
    with pytest.raises(ConnectionError, match=r"For 1 s there was none. 0 of 3 trials.*--worker"):
        tune(Imagined(), *FACES, trials=3, folder=tmp_path, chief=chief)
    assert time.monotonic() - began_s < 30


@pytest.mark.parametrize("role", ["--chief", "--worker"])
def test_no_partner_is_exit_1_and_a_sentence(role, tmp_path, capsys):
    from builder_tools.cli import main

    faces = write_official(tmp_path / "data", toy_faces({"train": 6, "valid": 3, "test": 1}))
    command = ["tune", "--source", str(faces), "--network", "tiny", "--size", "16", "--patience-s"]
    command += ["1", "--folder", str(tmp_path / "search"), role, free_address()]
    assert main(command) == 1
    assert "builder-tools tune: Expected " in capsys.readouterr().err


def test_a_worker_whose_chief_goes_ends_in_time(tmp_path, monkeypatch):
    """Its process would be killed; here the server is stopped under the worker."""
    servers, make = [], grpc.server
    monkeypatch.setattr(grpc, "server", lambda *a, **o: servers.append(make(*a, **o)) or servers[0])

    class Orphaned(Imagined):
        def fit(self, hp, *arguments, **options):
            servers[0].stop(grace=0).wait()
            return super().fit(hp, *arguments, **options)

    chief = RunningChief(tmp_path / "chief", patience_s=3)
    worker = Worker(chief.address, patience_s=2)
    with pytest.raises(ConnectionError, match="does not answer any more"):
        join_search(Orphaned(), *FACES, worker=worker, folder=chief.folder)
    assert isinstance(chief.end(), ConnectionError)


def test_the_trial_of_a_worker_that_left_goes_to_another(chief):
    class Interrupted(Imagined):
        def fit(self, hp, *arguments, **options):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join_search(Interrupted(), *FACES, worker=chief.worker("brief"), folder=chief.folder)
    assert join_search(Imagined(), *FACES, worker=chief.worker(), folder=chief.folder) == 3
    assert (chief.end().trials["status"] == "completed").all()


def test_trials_are_counted_while_none_is_added():
    """Else the chief dies of a changed dictionary, and its workers wait for it."""
    oracle = EmotionOracle("val_accuracy", trials=3, seed=0)
    counted = []
    with ThreadPoolExecutor() as threads:

        @keras_tuner.synchronized
        def meanwhile(oracle):
            counting = threads.submit(lambda: counted.append(oracle.num_ended))
            with pytest.raises(TimeoutError):
                counting.result(timeout=0.2)

        meanwhile(oracle)
    assert counted == [0]


def test_a_request_that_fails_leaves_the_next_one_its_turn():
    oracle = EmotionOracle("val_accuracy", trials=3, seed=0)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        with pytest.raises(KeyError):
            one.submit(oracle.update_trial, "unknown", {}).result()
        assert other.submit(lambda: oracle.num_ended).result(timeout=5) == 0


def test_a_taken_port_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        chief = Chief(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(OSError, match="Is the port taken"):
            tune(Imagined(), *FACES, trials=1, folder=tmp_path, chief=chief)


def test_the_environment_is_as_before():
    variables = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variables[0], "mine")
        patch.delenv(variables[1], raising=False)
        with playing(Chief("10.0.0.5:8000")):
            assert [os.environ[name] for name in variables] == ["chief", "10.0.0.5", "8000"]
        with playing(None):
            assert not set(variables) & set(os.environ)
        assert os.environ[variables[0]] == "mine" and variables[1] not in os.environ


@pytest.mark.parametrize("address", ["nowhere", ":8000", "host:", "host:0", "host:x", "host:65536"])
def test_an_address_needs_host_and_port(address):
    with pytest.raises(ValueError, match=r"Expected HOST:PORT.*Received"):
        split_address(address)


@pytest.mark.parametrize("name", ["", "chief", "my-chief-2", "a/b", "a\n"])
def test_a_worker_needs_a_name_of_its_own(name):
    with pytest.raises(ValueError, match="Expected a worker's name"):
        Worker("127.0.0.1:8000", name)


def test_overwriting_is_the_chief_s(capsys):
    from builder_tools.cli import main

    assert main(["tune", "--worker", "127.0.0.1:8000", "--overwrite"]) == 2
    assert "a worker has no search of its own" in capsys.readouterr().err
