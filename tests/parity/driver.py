"""What the comparisons share: running a program of ours on tensors."""
import importlib
import pathlib
import subprocess
import sys
import tempfile


def need(module):
    """Ends the program, as skipped, where Python lacks a module."""
    try:
        importlib.import_module(module)
    except ImportError as e:
        print(f"skipped: {sys.executable}: {e}")
        sys.exit(77)  # CTest's SKIP_RETURN_CODE can say what that means


need("numpy")

import numpy as np  # noqa: E402

import tensorfile  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def default_program(name, folder="tests"):
    return REPOSITORY / "build" / "release" / folder / name


def check_program(path):
    if not path.is_file():
        print(f"{path}: no such program; build it, or name another")
        sys.exit(2)


class RunError(Exception):
    """The program failed, or its output is not what was asked for."""


def run(command, timeout=600):
    """Runs a command, whose parts may be anything that has a text, and returns what it prints."""
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise RunError(f"took more than {timeout} s") from None
    if done.returncode != 0:
        raise RunError(f"exit status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def call(head, tensors, dtype, tail=(), timeout=600):
    """Runs `head IN OUT --dtype dtype tail` on the tensors (arrays; those of floats are given the
    dtype) and returns the arrays of OUT."""
    with tempfile.TemporaryDirectory(prefix="anther-parity-") as folder:
        source, target = f"{folder}/in.safetensors", f"{folder}/out.safetensors"
        tensorfile.save(source, cast(tensors, dtype))
        run([*head, source, target, "--dtype", dtype, *tail], timeout)
        try:
            return tensorfile.load(target)
        except (OSError, ValueError) as e:
            raise RunError(str(e)) from None


def cast(tensors, dtype):
    return {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in tensors.items()}


def fetch(results, name, shape, dtype):
    """One array of the results as float64. Where PyTorch has a scalar, [1] will do too."""
    if name not in results:
        there = sorted(results)
        more = f" and {len(there) - 8} more" if len(there) > 8 else ""
        raise RunError(f"{name} is missing; there: {', '.join(there[:8]) or 'nothing'}{more}")
    array = results[name]
    if array.shape != tuple(shape) and not (shape == () and array.shape == (1,)):
        raise RunError(f"{name}: expected shape {list(shape)}, got {list(array.shape)}")
    if array.dtype != np.dtype(dtype):
        raise RunError(f"{name}: expected dtype {dtype}, got {array.dtype}")
    return array.reshape(shape).astype(np.float64)


def largest(array):
    return float(np.abs(array).max()) if array.size else 0.0


def difference(a, b):
    """The largest difference of two arrays; infinite where either is not finite."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return largest(a - b)
