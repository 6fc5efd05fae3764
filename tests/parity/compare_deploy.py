#!/usr/bin/env python3
"""Runs the Python and the C++ of docs/deploy.md, and compares what it says with `classify`.

    tests/parity/compare_deploy.py [--checkpoint FILE] [--pictures 32] [--compiler c++]

The page's blocks are written to files of the names that their first lines give (`# prepare.py: ...`,
`// main.cpp: ...`), and run as the page says, with a model exported to ONNX and to a C++ header. On
pictures of many sizes, half of which have an odd border to cut off, the classes must be those of
`classify`, and the probabilities of what prepare.py makes of a picture the same within 1e-4.

Needs numpy, onnxruntime and Pillow. Exit status: 0 all agree, 1 some do not, 2 it could not start,
77 a module is missing.
"""
import argparse
import importlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import driver

driver.need("onnxruntime")
driver.need("PIL")

import numpy as np
import onnxruntime
from PIL import Image

TOLERANCE = 1e-4


def write_blocks(page, folder):
    """The page's files; gives their names."""
    names = []
    for block in re.findall(r"^```(?:python|cpp)\n(.*?)^```$", page.read_text(), re.M | re.S):
        named = re.match(r"(?:#|//) (\w+\.(?:py|cpp))\b", block)
        if not named:
            raise driver.RunError(f"{page}: a block without a name: {block.splitlines()[0]}")
        (folder / named[1]).write_text(block)
        names.append(named[1])
    return names


def draw_pictures(folder, count):
    """Coarse noise, enlarged: PNG files, which all decoders read alike."""
    rng = np.random.default_rng(17)
    paths = []
    for i in range(count):
        width, height = (int(side) for side in rng.integers(170, 420, 2))
        noise = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        path = folder / f"{i}.png"
        Image.fromarray(noise).resize((width, height), Image.BICUBIC).save(path)
        paths.append(path)
    return paths


def probabilities(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def compare(a, folder):
    names = write_blocks(a.page, folder)
    if sorted(names) != ["main.cpp", "prepare.py", "which.py"]:
        raise driver.RunError(f"{a.page}: expected prepare.py, which.py and main.cpp, got {names}")
    pictures = draw_pictures(folder, a.pictures)
    driver.run([a.classify, "--checkpoint", a.checkpoint, "-k", 5, "--json", folder / "all.json",
                *pictures])
    expected = [each["top"] for each in json.loads((folder / "all.json").read_text())]
    classes = [top[0]["class"] for top in expected]

    driver.run([a.export_onnx, a.checkpoint, folder / "flowers_bytes.onnx", "--preprocess"])
    said = subprocess.run([sys.executable, "which.py", *map(str, pictures)], cwd=folder, text=True,
                          capture_output=True, check=False)
    if said.returncode != 0:
        raise driver.RunError(f"which.py: {said.stderr.strip()}")
    same = sum(x == y for x, y in zip(said.stdout.splitlines(), classes, strict=True))
    failed = same != len(pictures)
    print(f"which.py: {same} of {len(pictures)} classes are classify's")

    session = onnxruntime.InferenceSession(folder / "flowers_bytes.onnx",
                                           providers=["CPUExecutionProvider"])
    how = json.loads(session.get_modelmeta().custom_metadata_map["preprocess"])
    size = how["image_size"]
    short = how["resize_size"] or int(size / how["crop_pct"])
    sys.path.insert(0, str(folder))
    prepare = importlib.import_module("prepare").prepare
    worst = 0.0
    for path, top in zip(pictures, expected):
        pixels = np.asarray(prepare(path, size, short))[None]
        got = probabilities(session.run(None, {"images": pixels})[0][0].astype(np.float64))
        worst = max(worst, *(abs(got[each["label"]] - each["probability"]) for each in top))
    failed |= worst > TOLERANCE
    print(f"prepare.py: probabilities differ from classify's by {worst:.1e}")

    driver.run([a.embed, a.checkpoint, folder / "flowers.hpp"])
    driver.run([a.compiler, "-O2", "-std=c++20", folder / "main.cpp", "-o", folder / "which"])
    same = 0
    for path, name in zip(pictures, classes):
        done = subprocess.run([sys.executable, "prepare.py", path, str(size), str(short)],
                              cwd=folder, capture_output=True, check=True)
        said = subprocess.run([folder / "which"], input=done.stdout, capture_output=True,
                              check=True)
        same += said.stdout.decode().strip() == name
    failed |= same != len(pictures)
    print(f"main.cpp: {same} of {len(pictures)} classes are classify's")
    return failed


def main():
    p = argparse.ArgumentParser(description="Runs docs/deploy.md's code beside classify.")
    p.add_argument("--page", type=pathlib.Path, default=driver.REPOSITORY / "docs" / "deploy.md")
    p.add_argument("--checkpoint", type=pathlib.Path,
                   default=driver.REPOSITORY / "data" / "flowers102-xxs.safetensors")
    p.add_argument("--pictures", type=int, default=32)
    p.add_argument("--compiler", default="c++")
    for name in ("classify", "export_onnx", "embed"):
        p.add_argument(f"--{name.replace('_', '-')}", type=pathlib.Path,
                       default=driver.default_program(name, "examples"))
    a = p.parse_args()
    for path in (a.page, a.checkpoint, a.classify, a.export_onnx, a.embed):
        driver.check_program(path)
    with tempfile.TemporaryDirectory(prefix="anther-deploy-") as folder:
        try:
            failed = compare(a, pathlib.Path(folder))
        except driver.RunError as e:
            print(f"FAILED: {e}")
            failed = True
    print("FAILED" if failed else "all agree")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
