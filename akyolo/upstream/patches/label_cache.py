"""What a scan of images and labels found, kept for the next start: outside the data, and without pickle.

Upstream's `labels.cache` lies among the data and is unpickled before it is looked at, so that whoever gives you a data
set can run what he likes. Ours lies in the user's cache folder; a `.cache` file in a data set is neither read nor
deleted. Upstream still compares the hash of all paths, sizes and times, so what changed is scanned again.
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
    """Ours in place of upstream's."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    return user_cache_path("akyolo") / "labels" / f"{name}.npz"


def load(path: Path) -> dict[str, Any]:
    """What was kept for upstream's `path`; whatever cannot be read is an exception, and upstream scans again."""
    with np.load(file_of(path), allow_pickle=False) as kept:
        structure, data = kept["structure"].tobytes().decode(), kept["data"].tobytes()
    return dict(_unpack(json.loads(structure), data))


def save(path: Path, content: dict[str, Any]) -> None:
    """Keep `content`: mappings, lists, tuples, texts, numbers and arrays."""
    file = file_of(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray()
    structure = json.dumps(_pack(content, data)).encode()
    buffer = io.BytesIO()
    np.savez(buffer, structure=np.frombuffer(structure, np.uint8), data=np.frombuffer(bytes(data), np.uint8))
    write(file, buffer.getvalue())


def _pack(value: Any, data: bytearray) -> Any:
    """The same with arrays moved into `data`, and named in their place by type, shape and offset."""
    if isinstance(value, np.ndarray):
        place = [value.dtype.str, value.shape, len(data)]
        data += value.tobytes()
        return {ARRAY: place}
    if isinstance(value, dict):
        return {key: _pack(one, data) for key, one in value.items()}
    if isinstance(value, tuple):
        return {TUPLE: [_pack(one, data) for one in value]}
    if isinstance(value, list):
        return [_pack(one, data) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpack(value: Any, data: bytes) -> Any:
    if isinstance(value, list):
        return [_unpack(one, data) for one in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        kind, shape, offset = value[ARRAY]
        count = int(np.prod(shape))
        return np.frombuffer(data, np.dtype(kind), count, offset).reshape(shape).copy()
    if TUPLE in value:
        return tuple(_unpack(one, data) for one in value[TUPLE])
    return {key: _unpack(one, data) for key, one in value.items()}
