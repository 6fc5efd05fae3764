#!/usr/bin/env python3
"""Converts a PyTorch checkpoint (.pth, .pt) to safetensors. Needs torch and nothing else.

    python3 examples/convert_pth.py model.pth model.safetensors [--key model_ema] [--trust]

Takes a state dict or a whole module, or a checkpoint that holds one under `model`, `state_dict`,
`model_ema`, `state_dict_ema` or the key that is given. A prefix that all names share (`module.`,
`_orig_mod.`, `model.`) is dropped. A .pth file is a pickle, and may run code when it is read: that
is refused unless you say that you trust the file.
"""
import argparse
import ctypes
import json
import pickletools
import struct
import sys

import torch

KEYS = ("model", "state_dict", "model_ema", "state_dict_ema")
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16",
          torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
          torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


# Before PyTorch 1.6 files were pickles, of which the first one is this number.
NUMBER = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def kind_of(start):
    """What a file is that is no checkpoint, and what to do."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "an empty file: the download or the copy broke off; fetch it again"
    if text.startswith(b"version https://git-lfs"):
        return ("a Git LFS pointer, which stands for the file itself: run `git lfs pull` in its "
                "repository, or download the file from its page")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page: the download failed, or was of the page about the file"
    return f"something else, which begins with {start[:16]}"


def is_whole(path):
    """Whether no pickle of a file from before PyTorch 1.6 is cut short. Runs none of them."""
    with open(path, "rb") as f:
        if NUMBER not in f.read(32):
            return True
        f.seek(0)
        try:
            for _ in range(5):  # the number, version, system, the object itself, its tensors' keys
                for _ in pickletools.genops(f):
                    pass
        except ValueError:
            return False
    return True


def read(path, trust):
    with open(path, "rb") as f:
        start = f.read(512)
    # A zip archive, those pickles, or the tar archive that was before them.
    if not (start.startswith(b"PK\3\4") or NUMBER in start[:32] or start[257:262] == b"ustar"):
        sys.exit(f"convert_pth: {path}: expected a checkpoint of PyTorch's, found {kind_of(start)}")
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except Exception as error:  # of whatever kind: also what the file's own code throws
        if "weights_only" in str(error) and is_whole(path):
            sys.exit(f"convert_pth: {path} holds more than tensors, and reading that may run code "
                     "of its author's; --trust reads it all the same")
        reason = str(error).partition("\n")[0].partition(". ")[0]
        sys.exit(f"convert_pth: {path}: cannot be read: it is damaged or cut short, or needs code "
                 f"that is not here ({type(error).__name__}: {reason})")


def plain(value):
    """The state dict of a whole module; all else as it is."""
    return value.state_dict() if isinstance(value, torch.nn.Module) else value


def is_state_dict(value):
    return isinstance(value, dict) and bool(value) and all(
        isinstance(t, torch.Tensor) for t in value.values())


def state_dict_of(checkpoint, path, key):
    checkpoint = plain(checkpoint)
    if isinstance(checkpoint, dict):
        checkpoint = {k: plain(v) for k, v in checkpoint.items()}
    if key is None and is_state_dict(checkpoint):
        return checkpoint
    there = [k for k, v in checkpoint.items() if is_state_dict(v)] if isinstance(
        checkpoint, dict) else []
    key = key or next((k for k in KEYS if k in there), None)
    if key not in there:
        sys.exit(f"convert_pth: {path}: no state dict{f' under {key}' if key else ''}; "
                 f"there: {', '.join(there) or 'none'}")
    others = [k for k in there if k != key]
    print(f"taken from: {key}" + (f" (also there: {', '.join(others)})" if others else ""))
    return checkpoint[key]


def without_prefix(state):
    # AveragedModel's count stands beside its weights.
    state = {name: t for name, t in state.items() if name != "n_averaged"}
    for prefix in ("module.", "_orig_mod.", "model."):
        if state and all(name.startswith(prefix) for name in state):
            return without_prefix({name[len(prefix):]: t for name, t in state.items()})
    return state


def write(path, state):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    tensors = {name: t.detach().contiguous() for name, t in state.items()}
    for name, t in tensors.items():
        if t.dtype not in DTYPES:
            sys.exit(f"convert_pth: {name}: {t.dtype} has no form in safetensors")
        size = t.numel() * t.element_size()
        header[name] = {"dtype": DTYPES[t.dtype], "shape": list(t.shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(ctypes.string_at(t.data_ptr(), t.numel() * t.element_size()))


def main():
    p = argparse.ArgumentParser(description="Converts a PyTorch checkpoint to safetensors.")
    p.add_argument("source")
    p.add_argument("target")
    p.add_argument("--key", help="where in the checkpoint the state dict is")
    p.add_argument("--trust", action="store_true", help="read it even though it may run code")
    a = p.parse_args()
    try:
        state = without_prefix(state_dict_of(read(a.source, a.trust), a.source, a.key))
        write(a.target, state)
    except OSError as error:
        sys.exit(f"convert_pth: {error.filename}: {error.strerror}")
    print(f"{a.target}: {len(state)} tensors, "
          f"{sum(t.numel() for t in state.values()):,} numbers")


if __name__ == "__main__":
    main()
