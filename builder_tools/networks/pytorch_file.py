"""Read arrays from a PyTorch file, without PyTorch and without running code from the file."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


def read_pytorch(path: str | Path) -> dict[str, np.ndarray]:
    """Return the tensors of a state dictionary written by `torch.save` before PyTorch 1.6.

    The pickles inside may refer to tensors, their storages and ordered dictionaries; anything else
    is refused before it is called.

    Args:
        path: A `.pth` file with a dictionary of tensors.

    Returns:
        Name -> array.

    Raises:
        ValueError: If the file is something else, refers to anything but tensors, or is truncated.
    """
    with Path(path).open("rb") as file:
        try:
            return _read(file)
        except (
            pickle.UnpicklingError,
            struct.error,
            ArithmeticError,
            AttributeError,
            EOFError,
            LookupError,
            MemoryError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise ValueError(
                f"Expected a whole file of tensors as PyTorch saved them before 1.6. "
                f"Received: {path} ({str(error) or type(error).__name__})."
            ) from error


class _Storage(NamedTuple):
    kind: str
    key: str
    count: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _TensorsOnly(pickle.Unpickler):
    """An unpickler that knows only tensors and ordered dictionaries."""

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new one each time, as a pickle can set attributes on what it gets.
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, shape, strides
            )
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid) -> _Storage:
        _, kind, key, _, count, view = pid
        if kind not in STORAGES.values() or view is not None:
            raise pickle.UnpicklingError("a storage of an unknown kind")
        return _Storage(kind, str(key), int(count))


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _TensorsOnly(file).load() != MAGIC or _TensorsOnly(file).load() != VERSION:
        raise ValueError("its first numbers are others")
    machine = _TensorsOnly(file).load()
    if not machine["little_endian"]:
        raise ValueError("it is big-endian")
    tensors = _TensorsOnly(file).load()
    keys = _TensorsOnly(file).load()
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise ValueError("it holds other things than named tensors")
    kinds = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    contents = {}
    for key in keys:
        stored, announced = np.dtype(kinds[key].kind), kinds[key].count
        (count,) = struct.unpack("<q", file.read(8))
        if count != announced:
            raise ValueError(f"{count} numbers where {announced} were announced")
        content = file.read(max(count, 0) * stored.itemsize)
        if len(content) != count * stored.itemsize:
            raise ValueError("it ends too early")
        contents[key] = np.frombuffer(content, stored)
    if file.read(1):
        raise ValueError("it goes on after its last tensor")
    return {name: _array(contents[t.storage.key], t) for name, t in tensors.items()}


def _array(content: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """Copy a tensor out of its storage; strides may be in any order but must stay within it."""
    sides = [(int(n), int(step)) for n, step in zip(tensor.shape, tensor.strides, strict=True)]
    count = int(np.prod([n for n, _ in sides], dtype=object))
    last = tensor.offset + sum((n - 1) * step for n, step in sides)
    if min([tensor.offset, *(v for side in sides for v in side)]) < 0 or count > content.size:
        raise ValueError("a tensor of an impossible shape")
    if count and last >= content.size:
        raise ValueError("a tensor reaches outside its storage")
    places = np.full((), tensor.offset)
    for n, step in sides:
        places = places[..., None] + np.arange(n) * step
    return content[places]
