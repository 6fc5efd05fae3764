#!/usr/bin/env python3
"""Takes weights from PyTorch to the engine and back.

    tests/parity/compare_weights.py [--variants xxs,xs,s] [--presets original,improved]
                                    [--img-size 224] [--num-classes 10]

For each variant, preset and naming scheme (edgevit_torch.py's, and the authors', by a table of its
own below):

    in    a PyTorch model, norms and running statistics at random, saved as a .pth with the scheme's
          names; examples/convert_pth.py; examples/convert_weights; its logits in the engine
    out   weights that the engine drew, norms and statistics too; convert_weights --names SCHEME;
          loaded by PyTorch with strict=True; its logits
    back  what came in, put out again: the same bits
    pth   what examples/convert_pth.py says of files that are no checkpoints, or cut short

Logits must agree within 1e-4 of their largest. For the first variant the same from float64, and from
float16 and bfloat16, of which the engine must make the numbers that PyTorch makes; and out in
float16. Needs torch and numpy. Exit status: 0 all agree, 1 some do not, 2 it could not start,
77 a module is missing.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import driver

driver.need("torch")

import numpy as np
import torch

import tensorfile
from compare_models import draw_state, edgevit_torch

TOLERANCE = 1e-4
LOCAL = {"pos_embed": "pos", "norm1": "norm1", "conv1": "pw_in", "attn": "dw", "conv2": "pw_out",
         "norm2": "norm2", "mlp.fc1": "ffn.expand", "mlp.fc2": "ffn.reduce"}
GLOBAL = {"pos_embed": "pos", "norm1": "norm1", "attn.qkv": "attn.qkv",
          "attn.LocalProp": "attn.spread", "attn.norm": "attn.norm", "attn.proj": "attn.proj",
          "norm2": "norm2", "mlp.fc1": "ffn.expand", "mlp.fc2": "ffn.reduce"}


def official_modules(depths):
    """The authors' names of all modules with weights, and edgevit_torch.py's."""
    modules = {"norm": "norm", "head": "head"}
    for stage in range(4):
        modules[f"patch_embed{stage + 1}.proj"] = f"stages.{stage}.0.conv"
        modules[f"patch_embed{stage + 1}.norm"] = f"stages.{stage}.0.norm"
        layer = 1
        for block in range(depths[stage]):
            for part, table in (("LocalAgg", LOCAL), ("SelfAttn", GLOBAL)):
                if part == "LocalAgg" and stage == 3:
                    continue
                for there, here in table.items():
                    modules[f"blocks{stage + 1}.{block}.{part}.{there}"] = \
                        f"stages.{stage}.{layer}.{here}"
                layer += 1
    return modules


def renamed(state, modules):
    """A state dict with its modules' names translated; every name must have a translation."""
    parts = {name: name.rpartition(".") for name in state}
    return {f"{modules[module]}.{last}": state[name] for name, (module, _, last) in parts.items()}


class Comparison:
    def __init__(self, programs, folder):
        self.programs, self.folder, self.failed = programs, folder, 0

    def path(self, name):
        return self.folder / name

    def row(self, name, ok, text):
        self.failed += not ok
        print(f"{name:<34} {text:<12} {'ok' if ok else 'FAILED'}", flush=True)

    def logits_row(self, name, got, expected):
        error = driver.difference(got, expected) / driver.largest(expected)
        self.row(name, error <= TOLERANCE, f"{error:.1e}")

    def logits(self, weights, images, *options):
        tensorfile.save(self.path("images"), {"images": images})
        driver.run([self.programs.run_logits, weights, self.path("logits"), "--images",
                    self.path("images"), *options])
        return tensorfile.load(self.path("logits"))["logits"]

    def take_in(self, state, model_options):
        """A state dict as a checkpoint of the engine's."""
        torch.save({"model": {f"module.{n}": t for n, t in state.items()}, "epoch": 3},
                   self.path("model.pth"))
        script = driver.REPOSITORY / "examples" / "convert_pth.py"
        driver.run([sys.executable, script, self.path("model.pth"), self.path("model")])
        driver.run([self.programs.convert_weights, self.path("model"), self.path("checkpoint"),
                    *model_options])
        return self.path("checkpoint")

    def put_out(self, checkpoint, *options):
        driver.run([self.programs.convert_weights, checkpoint, self.path("out"), *options])
        return {n: torch.from_numpy(a) for n, a in tensorfile.load(self.path("out")).items()}


def torch_logits(model, images):
    with torch.no_grad():
        return model(torch.from_numpy(images)).double().numpy()


def compare(comparison, variant, preset, size, num_classes):
    model = edgevit_torch.edgevit(variant, num_classes, preset)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in draw_state(model, 1).items()},
                          strict=False)
    model.eval()
    images = np.random.default_rng(2).normal(size=(2, 3, size, size)).astype(np.float32)
    to_ours = official_modules(edgevit_torch.VARIANTS[variant]["depths"])
    to_official = {ours: theirs for theirs, ours in to_ours.items()}
    model_options = ("--model", variant, "--preset", preset)
    expected = torch_logits(model, images)
    options = json.dumps({"variant": variant, "preset": preset, "num_classes": num_classes})
    drawn = comparison.path("drawn")
    drawn_logits = comparison.logits(drawn, images, "--options", options, "--random", 5)
    for scheme in ("anther", "official"):
        head = f"{variant} {preset} {scheme}"
        state = model.state_dict()
        if scheme == "official":
            state = renamed(state, to_official)
        checkpoint = comparison.take_in(state, model_options)
        comparison.logits_row(f"{head} in", comparison.logits(checkpoint, images), expected)
        back = comparison.put_out(checkpoint, "--names", scheme)
        same = back.keys() == state.keys() and all(
            torch.equal(back[n], t) or n.endswith("num_batches_tracked")
            for n, t in state.items())
        comparison.row(f"{head} back", same, "bits")

        out = comparison.put_out(drawn, "--names", scheme)
        if scheme == "official":
            out = renamed(out, to_ours)
        other = edgevit_torch.edgevit(variant, num_classes, preset).eval()
        other.load_state_dict(out, strict=True)
        comparison.logits_row(f"{head} out", drawn_logits, torch_logits(other, images))
    return model, images, model_options


def compare_dtypes(comparison, model, images, model_options):
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        state = {n: t.to(dtype) if t.is_floating_point() else t
                 for n, t in model.state_dict().items()}
        checkpoint = comparison.take_in(state, model_options)
        model.load_state_dict({n: t.float() for n, t in state.items()})
        comparison.logits_row(f"in as {str(dtype)[6:]}", comparison.logits(checkpoint, images),
                              torch_logits(model, images))
    out = comparison.put_out(checkpoint, "--dtype", "f16")
    same = all(torch.equal(out[n], t.half()) for n, t in model.state_dict().items()
               if t.is_floating_point())
    comparison.row("out as float16", same, "bits")


def check_messages(comparison):
    """convert_pth.py of what is no checkpoint: says so, and never that --trust would help."""
    module, cut = torch.nn.Linear(2, 3), comparison.path("cut.pth")
    files = {"page.pth": (b"<!DOCTYPE html>\n<html>", "found an HTML page"),
             "lfs.pth": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
             "empty.pth": (b"", "an empty file"), "text.pth": (b"some text", "something else"),
             "missing.pth": (None, "No such file")}
    for new in (True, False):
        torch.save(module.state_dict(), cut, _use_new_zipfile_serialization=new)
        files[f"cut{new:d}.pth"] = (cut.read_bytes()[:165], "damaged or cut short")
    for name, (content, words) in files.items():
        if content is not None:
            comparison.path(name).write_bytes(content)
        for trust in ([], ["--trust"]):
            said = convert_pth(comparison, name, *trust)
            comparison.row(f"pth {name} {' '.join(trust)}",
                           words in said and "Traceback" not in said and "--trust" not in said, "")
    torch.save(module, comparison.path("module.pth"))
    said = convert_pth(comparison, "module.pth")
    comparison.row("pth module.pth", "--trust reads it" in said, "")
    said = convert_pth(comparison, "module.pth", "--trust")
    comparison.row("pth module.pth --trust", "2 tensors, 9 numbers" in said, "")


def convert_pth(comparison, name, *options):
    command = [sys.executable, driver.REPOSITORY / "examples" / "convert_pth.py",
               comparison.path(name), comparison.path("none.safetensors"), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


def main():
    p = argparse.ArgumentParser(description="Takes weights from PyTorch to the engine and back.")
    p.add_argument("--variants", default=",".join(edgevit_torch.VARIANTS))
    p.add_argument("--presets", default=",".join(edgevit_torch.PRESETS))
    p.add_argument("--img-size", type=int, default=224)
    p.add_argument("--num-classes", type=int, default=10)
    p.add_argument("--run-logits", type=pathlib.Path, default=driver.default_program("run_logits"))
    p.add_argument("--convert-weights", type=pathlib.Path,
                   default=driver.default_program("convert_weights", "examples"))
    a = p.parse_args()
    for program in (a.run_logits, a.convert_weights):
        driver.check_program(program)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="anther-weights-") as folder:
        comparison = Comparison(a, pathlib.Path(folder))
        try:
            first = None
            for variant in a.variants.split(","):
                for preset in a.presets.split(","):
                    done = compare(comparison, variant, preset, a.img_size, a.num_classes)
                    first = first or done
            compare_dtypes(comparison, *first)
            check_messages(comparison)
        except driver.RunError as e:
            print(f"FAILED: {e}")
            comparison.failed += 1
    print("all agree" if not comparison.failed else f"{comparison.failed} FAILED")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
