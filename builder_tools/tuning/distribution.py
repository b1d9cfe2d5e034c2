"""A search over several processes or machines: a chief chooses trials, workers train them.

Trials use KerasTuner's own protocol. What it lacks is added on the same port: a worker says hello
before it begins (is there a chief, and does it run the same search?) and sends a sign of life
every few seconds, so that the trial of a worker that died or left is handed to another, and the
chief ends once the work is done and the workers have left, no earlier and not much later. Nobody
waits forever: without a partner, both end after `patience_s`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field

import keras_tuner

BEAT_S = 2.0
"""Seconds between a worker's signs of life."""

LOST_AFTER_S = 120.0
"""A worker silent for this long counts as dead; its trial goes to another."""

PATIENCE_S = 300.0
"""How long a chief waits for any worker, and a worker for an answer from the chief."""

CHIEF = "chief"
METHOD = "/builder_tools.Search/Beat"
_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chief:
    """The process that chooses the trials.

    Args:
        address: `HOST:PORT` that it listens on.
        lost_after_s: Seconds of silence after which a worker counts as dead.
        patience_s: How long it waits without any worker before it gives up, in seconds.
    """

    address: str
    lost_after_s: float = LOST_AFTER_S
    patience_s: float = PATIENCE_S
    name: str = field(default=CHIEF, init=False)

    def __post_init__(self) -> None:
        split_address(self.address)


@dataclass(frozen=True)
class Worker:
    """A process that runs trials.

    Args:
        address: `HOST:PORT` of the chief.
        name: Its own name among the workers.
        patience_s: How long it waits for an answer from the chief at any time, in seconds.
    """

    address: str
    name: str = "tuner0"
    patience_s: float = PATIENCE_S

    def __post_init__(self) -> None:
        split_address(self.address)
        if not self.name or CHIEF in self.name or not self.name.isprintable() or "/" in self.name:
            raise ValueError(
                f"Expected a worker's name without {CHIEF!r} and '/', such as tuner0. "
                f"Received: {self.name!r}."
            )


def split_address(address: str) -> tuple[str, int]:
    """Return the host and the port of `HOST:PORT`.

    Raises:
        ValueError: If it is not of that form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"Expected HOST:PORT, such as 10.0.0.5:8000. Received: {address!r}.")
    return host, int(port)


@contextlib.contextmanager
def playing(role: Chief | Worker | None) -> Iterator[None]:
    """Set KerasTuner's role in the environment of this process while the context is active."""
    before = {name: os.environ.pop(name, None) for name in _VARIABLES}
    if role is not None:
        host, port = split_address(role.address)
        os.environ.update(zip(_VARIABLES, (role.name, host, str(port)), strict=True))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def serve(oracle, chief: Chief, key: str, *, after_trial: Callable[[object], None]) -> None:
    """Hand trials to workers until all are done and the workers have left.

    Args:
        oracle: Chooses the trials.
        chief: Where to listen.
        key: Key of the search; workers with another key are refused.
        after_trial: Called with the oracle when a trial has ended.

    Raises:
        OSError: If it cannot listen on the address.
        ConnectionError: If there is no worker for as long as the chief's patience.
    """
    import grpc
    from keras_tuner.src import protos
    from keras_tuner.src.distribute.oracle_chief import OracleServicer

    attendance = _Attendance(key, chief.lost_after_s)
    servicer = OracleServicer(oracle)
    # KerasTuner's loop is not used: it polls every 20 s, and waits for dead workers forever.
    server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    service, method = METHOD.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(attendance.beat)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    try:
        server.add_insecure_port(chief.address)
    except RuntimeError as error:
        raise OSError(f"Cannot listen on {chief.address}: {error}. Is the port taken?") from None
    server.start()
    logger.info("Chief: waiting for workers on %s", chief.address)
    try:
        _wait(oracle, servicer, attendance, chief, after_trial)
    finally:
        server.stop(grace=2).wait()


@contextlib.contextmanager
def attending(worker: Worker, key: str) -> Iterator[None]:
    """Greet the chief, send signs of life and say goodbye at the end.

    Raises:
        ConnectionError: If no chief answers in time, or it stops answering.
        ValueError: If it runs another search, or already has a worker of that name.
    """
    import grpc

    options = (("grpc.max_reconnect_backoff_ms", 2000),)
    with grpc.insecure_channel(worker.address, options) as channel:
        beat = channel.unary_unary(METHOD)
        message = {"name": worker.name, "id": uuid.uuid4().hex, "key": key}
        _say_hello(beat, message, worker)
        left = threading.Event()
        life = threading.Thread(target=_keep_beating, args=(beat, message, left), daemon=True)
        life.start()
        try:
            with _bounded_calls(worker.patience_s):
                yield
        except grpc.RpcError as error:
            raise ConnectionError(
                f"The chief at {worker.address} does not answer any more "
                f"({error.code().name.lower()}). The trials that ended are safe with it: start it "
                "again with the same folder, then the workers."
            ) from None
        finally:
            left.set()
            life.join()
            with contextlib.suppress(grpc.RpcError):
                beat(json.dumps({**message, "leaving": True}).encode(), timeout=5)


@contextlib.contextmanager
def _bounded_calls(seconds: float) -> Iterator[None]:
    """Limit how long KerasTuner's calls wait for a chief that is gone; its own limit is an hour."""
    from keras_tuner.src.distribute import oracle_client

    before, oracle_client.TIMEOUT = oracle_client.TIMEOUT, seconds
    try:
        yield
    finally:
        oracle_client.TIMEOUT = before


def _say_hello(beat, message: dict, worker: Worker) -> None:
    import grpc

    try:
        answer = beat(json.dumps(message).encode(), timeout=worker.patience_s, wait_for_ready=True)
    except grpc.RpcError as error:
        raise ConnectionError(
            f"Expected a chief at {worker.address}. None answered within {worker.patience_s:g} s "
            f"({error.code().name.lower()}). Start `builder-tools tune --chief HOST:PORT` first; "
            "if it was there, its search may be over."
        ) from None
    refusal = json.loads(answer)["refusal"]
    if refusal:
        raise ValueError(refusal)


def _keep_beating(beat, message: dict, left: threading.Event) -> None:
    import grpc

    while not left.wait(BEAT_S):
        with contextlib.suppress(grpc.RpcError):  # a restarted chief gets the next one
            beat(json.dumps(message).encode(), timeout=BEAT_S)


class _Attendance:
    """The workers at work: name -> identity and time of the last sign of life."""

    def __init__(self, key: str, lost_after_s: float) -> None:
        self._key, self._lost_after_s = key, lost_after_s
        self._seen: dict[str, tuple[str, float]] = {}
        self._left: list[str] = []
        self._lock = threading.Lock()

    def beat(self, request: bytes, context) -> bytes:
        message = json.loads(request)
        name = message["name"]
        with self._lock:
            refusal = self._refusal(message)
            if not refusal and message.get("leaving"):
                if self._seen.pop(name, None):
                    self._left.append(name)
            elif not refusal:
                if name not in self._seen:
                    logger.info("Chief: %s is at work", name)
                self._seen[name] = (message["id"], time.monotonic())
        return json.dumps({"refusal": refusal}).encode()

    def gone(self) -> dict[str, str]:
        """Return the workers that have gone since the last call, and how they went."""
        now = time.monotonic()
        with self._lock:
            went = dict.fromkeys(self._left, "left")
            self._left.clear()
            for name, (_, seen) in list(self._seen.items()):
                if now - seen > self._lost_after_s:
                    went[name] = "fell silent"
                    del self._seen[name]
        return went

    def present(self) -> list[str]:
        with self._lock:
            return list(self._seen)

    def _refusal(self, message: dict) -> str:
        name = message["name"]
        if message["key"] != self._key:
            return (
                "Expected the chief's search: the same data, network, space, options and file of "
                "weights. Received: another. Start the worker with those of the chief."
            )
        if name in self._seen and self._seen[name][0] != message["id"]:
            return (
                f"Expected a name of its own for each worker. Received: {name!r}, who is at work. "
                f"Try another --worker-name, or wait {self._lost_after_s:g} s if that one died."
            )
        return ""


def _wait(oracle, servicer, attendance: _Attendance, chief: Chief, after_trial) -> None:
    reported, met_s = oracle.num_ended, time.monotonic()
    while True:
        for name, how in attendance.gone().items():
            trial = _take_back(oracle, name)
            if trial is not None or how != "left":
                logger.warning("Chief: %s %s; trial taken back: %s", name, how, trial or "none")
        ended = oracle.num_ended
        if ended != reported:
            _tell(oracle, after_trial)
            reported = ended
        present = attendance.present()
        if not present and _is_over(oracle, servicer.stop_triggered):
            return
        met_s = time.monotonic() if present else met_s
        if time.monotonic() - met_s > chief.patience_s:
            raise ConnectionError(
                f"Expected workers at {chief.address}. For {chief.patience_s:g} s there was none. "
                f"{ended} of {oracle.max_trials} trials are done and safe: start the chief again "
                "with the same folder, and `builder-tools tune --worker HOST:PORT` beside it."
            )
        time.sleep(0.2)


@keras_tuner.synchronized
def _tell(oracle, after_trial) -> None:
    """Call `after_trial` while no worker can change the trials."""
    after_trial(oracle)


@keras_tuner.synchronized
def _is_over(oracle, exhausted: bool) -> bool:
    """Return whether there is nothing left to do."""
    all_ended = oracle.num_ended >= oracle.max_trials
    return (exhausted or all_ended) and not oracle.ongoing_trials and not oracle._retry_queue


@keras_tuner.synchronized
def _take_back(oracle, name: str) -> str | None:
    """Put the trial of a worker that has gone at the front of the queue; return its number."""
    oracle.tuner_ids.discard(name)
    trial = oracle.ongoing_trials.pop(name, None)
    if trial is None:
        return None
    trial.metrics = type(trial.metrics)()
    oracle._retry_queue.append(trial.trial_id)
    oracle.save()
    return trial.trial_id
