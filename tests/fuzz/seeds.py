#!/usr/bin/env python3
"""Writes the seeds that the fuzzers start from: tests/fuzz/seeds/TARGET/*, small files of each kind.

They are in the tree; this says how they were made. Needs numpy, Pillow and scipy.
"""
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

root = Path(__file__).resolve().parent / "seeds"


def write(target, name, content):
    path = root / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


card = {"architecture": "edgevit", "options": '{"variant": "xxs"}', "class_names": '["a", "b"]',
        "preprocess": "{}", "sample": "[4, 4, 3]"}
write("safetensors", "weights", safetensors(
    {"w": ("F32", [2, 2], struct.pack("<4f", 1, 2, 3, 4)), "h": ("F16", [1], b"\0\x3c"),
     "b": ("BF16", [1], b"\x80\x3f"), "n": ("I64", [], struct.pack("<q", 7))}, card))
write("safetensors", "state", safetensors(
    {"w": ("F64", [1], struct.pack("<d", 1)), "u": ("U8", [0], b"")},
    {"optimizer_steps": "3", "progress": '{"epochs": 1, "metric_sums": {"top1": [1, 2]}}'}))
write("safetensors", "checksum", safetensors(
    {"w": ("BOOL", [2], b"\0\1")}, {"crc32": "0123456789abcdef"}))

for compressed in (False, True):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"labels": np.arange(6, dtype=np.uint8).reshape(1, 6)},
                     do_compression=compressed)
    write("mat", "compressed" if compressed else "plain", buffer.getvalue())
buffer = io.BytesIO()
scipy.io.savemat(buffer, {"other": np.ones((2, 1)), "labels": np.array([[1.5, -2]])})
write("mat", "two", buffer.getvalue())

write("idx", "labels", struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes([1, 2, 3]))
write("idx", "images", struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 2, 1) + bytes(4))
write("cifar", "one", bytes([3]) + bytes(range(256)) * 12)
write("csv", "results", "epoch,train/loss,name\n1,0.5,\"a, \"\"b\"\"\"\n2,nan,x\n3,1e-3")
write("csv", "odd", "\xef\xbb\xbfa,b\r\n1,2\r\n")
write("json", "options", json.dumps({"variant": "xxs", "num_classes": 3, "dims": [12, 24, 36, 48],
                                     "norm": "bn", "local_norm": "ln", "drop_path": 0.1}))
write("json", "preprocess", json.dumps({"image_size": 64, "resize": "short-side", "resize_size": 72,
                                        "crop_pct": 0.875, "mean": [0, 0, 0], "std": [1, 1, 1]}))
write("json", "progress", json.dumps({
    "epochs": 1, "batches": 2, "step": 2, "samples": 16, "loss": 1.5, "mean_loss": 1.5,
    "metric_sums": {"top1": [3, 16]}, "lr": 0.1, "stall_seconds": 0, "all_steps": 2,
    "epoch_begin": 0, "epoch_seconds": 1, "seconds": 1, "best": 0.1, "best_epoch": 1,
    "finished": False}))

picture = Image.fromarray(np.arange(7 * 5 * 3, dtype=np.uint8).reshape(5, 7, 3) * 2)
exif = Image.Exif()
exif[0x0112] = 6


def saved(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


write("image", "baseline.jpg", saved(picture, format="JPEG", exif=exif.tobytes()))
write("image", "progressive.jpg", saved(picture, format="JPEG", progressive=True, subsampling=2))
write("image", "grey.jpg", saved(picture.convert("L"), format="JPEG"))
write("image", "cmyk.jpg", saved(picture.convert("CMYK"), format="JPEG"))
write("image", "rgb.png", saved(picture, format="PNG", exif=exif.tobytes()))
write("image", "palette.png", saved(picture.convert("P"), format="PNG", bits=4))
write("image", "grey16.png", saved(Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4)),
                                   format="PNG"))
write("image", "rgb.bmp", saved(picture, format="BMP"))
write("image", "palette.bmp", saved(picture.convert("P"), format="BMP"))
write("image", "one.gif", saved(picture.convert("P"), format="GIF"))
write("image", "two.gif", saved(picture.convert("P"), format="GIF", save_all=True,
                                append_images=[picture.convert("P").rotate(180)]))
write("exif", "little", exif.tobytes())
write("exif", "big", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
write("exif", "xmp", '<x:xmpmeta><rdf:Description tiff:Orientation="8"/>'
                     "<tiff:Orientation> 3 </tiff:Orientation></x:xmpmeta>")
write("cgroup", "two", "0::/group\n\0" "150000 100000\n")
write("cgroup", "one", "3:cpu,cpuacct:/group/../x\n2:memory:/\n\0" "max 100000\n")
