"""Save scans of images and labels without pickle.

Upstream's `labels.cache` lies in the data set and is unpickled before it is checked, so the author of a data set can
run any code. Our file lies in the user's cache folder; a `.cache` file in a data set is neither read nor deleted.
Upstream still compares the hash of all paths, sizes and times, so a changed data set is scanned again.
"""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from akyolo.files import write

ARRAY, TUPLE = "__array__", "__tuple__"


def file_of(path: Path) -> Path:
    """Return our file for the path of upstream's cache."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    return user_cache_path("akyolo") / "labels" / f"{name}.npz"


def load(path: Path) -> dict[str, Any]:
    """Return the content that was saved for a path.

    A file that cannot be read raises any exception; upstream then scans again.

    Args:
        path: path of upstream's cache.
    """
    with np.load(file_of(path), allow_pickle=False) as arrays:
        structure, data = arrays["structure"].tobytes().decode(), arrays["data"].tobytes()
    return dict(_unpack(json.loads(structure), data))


def save(path: Path, content: dict[str, Any]) -> None:
    """Save the content of a cache.

    Args:
        path: path of upstream's cache.
        content: mappings, lists, tuples, texts, numbers and arrays.
    """
    file = file_of(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray()
    structure = json.dumps(_pack(content, data)).encode()
    buffer = io.BytesIO()
    np.savez(buffer, structure=np.frombuffer(structure, np.uint8), data=np.frombuffer(bytes(data), np.uint8))
    write(file, buffer.getvalue())


def _pack(value: Any, data: bytearray) -> Any:
    """Move arrays into `data`, and return the rest.

    Args:
        value: content of a cache.
        data: gets the bytes of the arrays.

    Returns:
        `value` with the type, shape and offset of each array in its place.
    """
    if isinstance(value, np.ndarray):
        entry = [value.dtype.str, value.shape, len(data)]
        data += value.tobytes()
        return {ARRAY: entry}
    if isinstance(value, dict):
        return {key: _pack(item, data) for key, item in value.items()}
    if isinstance(value, tuple):
        return {TUPLE: [_pack(item, data) for item in value]}
    if isinstance(value, list):
        return [_pack(item, data) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpack(value: Any, data: bytes) -> Any:
    """Return what `_pack` was given."""
    if isinstance(value, list):
        return [_unpack(item, data) for item in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        dtype, shape, offset = value[ARRAY]
        count = int(np.prod(shape))
        return np.frombuffer(data, np.dtype(dtype), count, offset).reshape(shape).copy()
    if TUPLE in value:
        return tuple(_unpack(item, data) for item in value[TUPLE])
    return {key: _unpack(item, data) for key, item in value.items()}
