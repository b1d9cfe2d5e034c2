"""Weights in TensorFlow.js format: a JSON file that lists arrays, with their data next to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def read_tensorflow_js(
    manifest: str | Path, data: str | Path | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of a TensorFlow.js model.

    Quantised arrays are restored as `value * scale + min`.

    Args:
        manifest: A weights manifest (a JSON list), or a model's JSON that holds one under
            `weightsManifest`.
        data: File with the bytes of all arrays, little-endian, in the order of the manifest; None
            for the files next to the manifest that it names.

    Returns:
        Name -> array, float32 (int32 if the manifest says so).

    Raises:
        FileNotFoundError: If a file that the manifest names is not next to it.
        ValueError: If the JSON is not a manifest, or the number of bytes differs from its list.
    """
    manifest = Path(manifest)
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        groups = content["weightsManifest"] if isinstance(content, dict) else content
        listed = [weight for group in groups for weight in group["weights"]]
        layout = [_layout(weight) for weight in listed]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected a TensorFlow.js manifest of weights. Received: {manifest} ({error!r})."
        ) from error
    # Without folders, as only files next to the manifest are read.
    named = [Path(path).name for group in groups for path in group.get("paths", [])]
    files = [Path(data)] if data else [manifest.with_name(name) for name in named]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"Expected the bytes that {manifest.name} lists beside it. Received: no {missing}."
        )
    content = b"".join(file.read_bytes() for file in files)
    expected = sum(int(np.prod(shape)) * stored.itemsize for _, shape, stored, _ in layout)
    if len(content) != expected:
        raise ValueError(
            f"Expected {expected:,} bytes of weights, as {manifest.name} lists. "
            f"Received: {len(content):,} in {', '.join(map(str, files))}."
        )
    arrays, start = {}, 0
    for name, shape, stored, quantisation in layout:
        count = int(np.prod(shape))
        values = np.frombuffer(content, stored, count, start).reshape(shape)
        start += count * stored.itemsize
        if quantisation:
            values = values * np.float32(quantisation["scale"]) + np.float32(quantisation["min"])
        arrays[name] = values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
    return arrays


def _layout(weight: dict) -> tuple[str, tuple[int, ...], np.dtype, dict | None]:
    quantisation = weight.get("quantization")
    stored = quantisation["dtype"] if quantisation else weight["dtype"]
    if quantisation and not quantisation.keys() >= {"scale", "min"}:
        raise KeyError(f"scale and min of {weight['name']}")
    return (
        weight["name"],
        tuple(weight["shape"]),
        np.dtype(stored).newbyteorder("<"),
        quantisation,
    )
