"""Reads and writes .safetensors files with NumPy alone.

A file is the header's length (8 bytes, little endian), the header (JSON: for each name dtype, shape
and data_offsets, counted from the header's end; "__metadata__" maps strings to strings), and the
data: little endian, row-major, without gaps.
"""
import json
import struct

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U8": "u1", "BOOL": "?"}
CODES = {np.dtype(d): code for code, d in DTYPES.items()}


def save(path, tensors, metadata=None):
    """`tensors`: a dict of arrays."""
    header, blobs, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, array in tensors.items():
        array = np.asarray(array, order="C")
        if array.dtype not in CODES:
            raise TypeError(f"{name}: dtype {array.dtype} cannot be written")
        header[name] = dict(dtype=CODES[array.dtype], shape=list(array.shape),
                            data_offsets=[offset, offset + array.nbytes])
        blobs.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)))
        f.write(text)
        f.writelines(blobs)


def load(path):
    """A dict of arrays. A ValueError names the file where it is damaged."""
    with open(path, "rb") as f:
        content = f.read()
    try:
        (length,) = struct.unpack_from("<Q", content)
        if 8 + length > len(content):
            raise ValueError("the header is cut off")
        header = json.loads(content[8:8 + length])
        data = memoryview(content)[8 + length:]
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            if not 0 <= begin <= end <= len(data):
                raise ValueError(f"{name} lies outside the file")
            flat = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"]).copy()
        return tensors
    except (struct.error, KeyError, TypeError, ValueError) as e:
        raise ValueError(f"{path}: not a readable safetensors file: {e}") from None
