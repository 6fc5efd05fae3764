#!/usr/bin/env python3
"""Compares exported models in ONNX Runtime with the engine.

    tests/parity/compare_onnx.py [--variants xxs,xs,s] [--models improved,original,in]
                                 [--img-sizes 224,160] [--batches 1,5] [--num-classes 10]
    tests/parity/compare_onnx.py --zoo resnet18,unet [--img-sizes 64] [--batches 1,5]
    tests/parity/compare_onnx.py --checkpoint best.safetensors --data-dir DIR [--limit 200]

For each variant and model (a preset, or `in`: InstanceNorm in its norms' place) it draws weights,
norms and running statistics, exports them with examples/export_onnx, has the file checked by
onnx.checker with shape inference, and runs it on batches of different sizes. The logits must be
those of the engine (tests/parity/run_logits) within 1e-4 of their largest, and the five best
classes the same in the same order; once with the preprocessing in the graph, on bytes. Before that
it does so with small models of all ops (tests/parity/run_onnx_ops). --zoo compares registered models of those names
instead. With a checkpoint it compares
on test images of a data set.

Needs numpy, onnx and onnxruntime. Exit status: 0 all agree, 1 some do not, 2 it could not start,
77 a module is missing.
"""
import argparse
import json
import pathlib
import sys
import tempfile

import driver

driver.need("onnx")
driver.need("onnxruntime")

import numpy as np
import onnx
import onnxruntime

import tensorfile

TOLERANCE = 1e-4
MODELS = {"improved": dict(preset="improved"), "original": dict(preset="original"),
          "in": {"preset": "improved", "norm": "in"}}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)  # of the checkpoints that run_logits draws


class Comparison:
    def __init__(self, programs, folder):
        self.programs, self.folder, self.failed = programs, folder, 0

    def logits(self, weights, *options):
        out = self.folder / "out.safetensors"
        driver.run([self.programs.run_logits, weights, out, *options])
        return tensorfile.load(out)

    def logits_of(self, weights, images, *options):
        source = self.folder / "images.safetensors"
        tensorfile.save(source, {"images": images})
        return self.logits(weights, "--images", source, *options)["logits"]

    def exported(self, weights, *options):
        path = self.folder / "model.onnx"
        driver.run([self.programs.export_onnx, weights, path, *options])
        return self.session(path)

    @staticmethod
    def session(path):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])

    def row(self, name, got, expected, remark=""):
        error = driver.difference(got, expected) / driver.largest(expected)
        best = [np.argsort(-a, axis=1, kind="stable")[:, :5] for a in (got, expected)]
        same = int((best[0] == best[1]).all(axis=1).sum())
        ok = got.shape == expected.shape and error <= TOLERANCE and same == len(expected)
        self.failed += not ok
        print(f"{name:<34} {error:9.1e}  top-5 {same}/{len(expected)}  {'ok' if ok else 'FAILED'}"
              f"{remark}", flush=True)


def run_session(session, inputs):
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def compare_ops(comparison):
    driver.run([comparison.programs.run_onnx_ops, comparison.folder])
    for path in sorted(comparison.folder.glob("*.onnx")):
        tensors = tensorfile.load(path.with_suffix(".safetensors"))
        got = run_session(comparison.session(path), tensors["input"])
        expected = tensors["output"]
        rows = len(expected) if expected.ndim else 1
        comparison.row(path.stem, *(a.reshape(rows, -1) for a in (got, expected)))


def compare_zoo(comparison, model, size, batches, num_classes):
    options = dict(model=model, num_classes=num_classes)
    weights = comparison.folder / "weights.safetensors"
    rng = np.random.default_rng(size)
    images = rng.normal(size=(max(batches), 3, size, size)).astype(np.float32)
    expected = comparison.logits_of(weights, images, "--options", json.dumps(options),
                                    "--random", 1)
    session = comparison.exported(weights, "--img-size", size)
    for batch in batches:
        got = run_session(session, images[:batch])
        if got.ndim == 4 and got.shape[1:] != expected.shape[1:]:  # maps: NCHW there
            got = got.transpose(0, 2, 3, 1)
        rows = expected[:batch].reshape(-1, num_classes)
        comparison.row(f"{model} {size}x{size} batch {batch}", got.reshape(-1, num_classes), rows)


def compare_random(comparison, variant, model, size, batches, num_classes):
    options = dict(MODELS[model], variant=variant, num_classes=num_classes)
    weights = comparison.folder / "weights.safetensors"
    rng = np.random.default_rng(size)
    images = rng.normal(size=(max(batches), 3, size, size)).astype(np.float32)
    expected = comparison.logits_of(weights, images, "--options", json.dumps(options),
                                    "--random", 1)
    session = comparison.exported(weights, "--img-size", size)
    for batch in batches:
        comparison.row(f"{variant} {model} {size}x{size} batch {batch}",
                       run_session(session, images[:batch]), expected[:batch])
    levels = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    images = ((levels / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    expected = comparison.logits_of(weights, images)
    session = comparison.exported(weights, "--img-size", size, "--preprocess")
    comparison.row(f"{variant} {model} {size}x{size} bytes", run_session(session, levels), expected)


def compare_checkpoint(comparison, path, data_dir, limit):
    found = comparison.logits(path, "--data-dir", data_dir, "--limit", limit)
    session = comparison.exported(path)
    got = np.concatenate([run_session(session, part) for part in
                          np.array_split(found["images"], -(-len(found["images"]) // 8))])
    right = [int((a.argmax(axis=1) == found["labels"]).sum()) for a in (got, found["logits"])]
    comparison.row(f"{path.name}, {len(got)} test images", got, found["logits"],
                   f"; right: {right[0]} and {right[1]}")
    names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    if len(names) != got.shape[1]:
        print(f"FAILED: {len(names)} class names in the metadata, {got.shape[1]} logits")
        comparison.failed += 1


def main():
    p = argparse.ArgumentParser(description="Compares exported models with the engine.")
    p.add_argument("--variants", default="xxs,xs,s")
    p.add_argument("--models", default=",".join(MODELS))
    p.add_argument("--img-sizes", default="224,160")
    p.add_argument("--batches", default="1,5")
    p.add_argument("--num-classes", type=int, default=10)
    p.add_argument("--zoo", help="names of registered models of images")
    p.add_argument("--checkpoint", type=pathlib.Path)
    p.add_argument("--data-dir")
    p.add_argument("--limit", type=int, default=200)
    p.add_argument("--run-logits", type=pathlib.Path, default=driver.default_program("run_logits"))
    p.add_argument("--run-onnx-ops", type=pathlib.Path,
                   default=driver.default_program("run_onnx_ops"))
    p.add_argument("--export-onnx", type=pathlib.Path,
                   default=driver.default_program("export_onnx", "examples"))
    a = p.parse_args()
    for program in (a.run_logits, a.export_onnx, *([] if a.zoo else [a.run_onnx_ops])):
        driver.check_program(program)
    print(f"onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory(prefix="anther-onnx-") as folder:
        comparison = Comparison(a, pathlib.Path(folder))
        try:
            if a.checkpoint:
                compare_checkpoint(comparison, a.checkpoint, a.data_dir, a.limit)
            elif a.zoo:
                for model in a.zoo.split(","):
                    for size in map(int, a.img_sizes.split(",")):
                        compare_zoo(comparison, model, size, [*map(int, a.batches.split(","))],
                                    a.num_classes)
            else:
                compare_ops(comparison)
                for variant in a.variants.split(","):
                    for model in a.models.split(","):
                        for size in map(int, a.img_sizes.split(",")):
                            compare_random(comparison, variant, model, size,
                                           [*map(int, a.batches.split(","))], a.num_classes)
        except driver.RunError as e:
            print(f"FAILED: {e}")
            comparison.failed += 1
    print("all agree" if not comparison.failed else f"{comparison.failed} FAILED")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
