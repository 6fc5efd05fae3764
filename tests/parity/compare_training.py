#!/usr/bin/env python3
"""Trains EdgeViT in the engine and in PyTorch, with the same weights, images, order and Adam, and
compares the loss of every step.

    tests/parity/compare_training.py [--data-dir painted] [--img-size 32] [--limit 1280]
                                     [--epochs 10] [--batch-size 128] [--dtype float32]
                                     [--starts anther:42,pytorch:1] [--threads 1] [--csv FILE]

A start is the weights, and the order of the images in each epoch. anther:42 is what train_flowers
draws for --seed 42; pytorch:1 is what a PyTorch script draws after manual_seed(1): the weights of
edgevit_torch.py, then a randperm for each epoch. The images are the training part of whatever
train_flowers takes as --data-dir, as its loader makes them; an epoch's last batch is the rest.

Of each start it prints the epochs' mean losses in the engine and in PyTorch, and in how many steps
from the first on the two agree within 1e-4. It need not be all: what rounding leaves grows from
step to step. So PyTorch trains once more, with the gradients of a batch added up in parts of 16,
which is the same but for rounding, and how long it agrees with itself is printed beside. Wrong is
where the engine leaves PyTorch in the first ten steps, or in less than half of those (in float64,
where rounding is 1e-9 times as large, the default's hundred steps all agree).
At the end, where there are several starts, the last epoch's loss of each program, over the starts.

First of all train_flowers itself trains the first epoch of the first start of the engine's own: its
steps.csv must have the losses of the engine here, to the bit.

Needs torch (1.13 or 2.x) and numpy. Exit status: 0 all agree, 1 some do not, 2 it could not start,
77 a module is missing.
"""
import argparse
import csv
import json
import pathlib
import sys
import tempfile

import driver

driver.need("torch")

import numpy as np
import torch
from torch.nn import functional as F

import tensorfile
from compare_models import ADAM, edgevit_torch

TOLERANCE = 1e-4
MICRO_BATCH = 16
DAY = 24 * 60 * 60


def new_model(options):
    return edgevit_torch.edgevit(options["variant"], options["num_classes"])


def pytorch(options, images, labels, start, batch_size, part):
    """The loss of every step; a batch's gradients are added up in parts of so many images."""
    model = new_model(options)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in start.items() if n != "order"})
    model.to(images.dtype, memory_format=torch.channels_last).train()
    optimiser = torch.optim.Adam(model.parameters(), **ADAM)
    losses = []
    for order in torch.from_numpy(start["order"]):
        for batch in order.split(batch_size):
            optimiser.zero_grad()
            losses.append(0.0)
            for own in batch.split(part):
                loss = F.cross_entropy(model(images[own]), labels[own], reduction="sum")
                (loss / len(batch)).backward()
                losses[-1] += loss.item() / len(batch)
            optimiser.step()
    return np.array(losses)


class Comparison:
    def __init__(self, arguments, folder):
        self.a, self.folder, self.failed = arguments, folder, 0
        seeds = [seed for kind, seed in arguments.starts if kind == "anther"]
        self.own_seed = seeds[0] if seeds else None
        driver.run([self.a.run_training, "data", self.path("data"), "--data-dir", self.a.data_dir,
                    "--img-size", self.a.img_size, "--limit", self.a.limit,
                    *(("--seed", seeds[0]) if seeds else ())], DAY)  # of the painted flowers
        data = tensorfile.load(self.path("data"))
        self.count = len(data["labels"])
        self.options = dict(variant=self.a.variant, num_classes=int(data["num_classes"][0]))
        self.images = torch.from_numpy(data["images"]).to(
            getattr(torch, self.a.dtype), memory_format=torch.channels_last)
        self.labels = torch.from_numpy(data["labels"])
        self.sizes = [min(self.a.batch_size, self.count - first)
                      for first in range(0, self.count, self.a.batch_size)]

    def path(self, name):
        return self.folder / name

    def row(self, name, text, ok=None):
        self.failed += ok is False
        print(f"{name:<12} {text}", *([] if ok is None else ["ok" if ok else "FAILED"]), flush=True)

    def start(self, kind, seed):
        """Writes a start; returns its tensors."""
        if kind == "anther":
            driver.run([self.a.run_training, "start", json.dumps(self.options), self.path("start"),
                        "--seed", seed, "--count", self.count, "--epochs", self.a.epochs])
            return tensorfile.load(self.path("start"))
        torch.manual_seed(seed)
        start = {n: t.numpy() for n, t in new_model(self.options).state_dict().items()}
        start["order"] = np.stack([torch.randperm(self.count).numpy()
                                   for _ in range(self.a.epochs)])
        tensorfile.save(self.path("start"), start)
        return start

    def engine(self):
        driver.run(["env", f"OMP_NUM_THREADS={self.a.threads}", self.a.run_training, "train",
                    json.dumps(self.options), self.path("data"), self.path("start"),
                    self.path("out"), "--batch-size", self.a.batch_size, "--micro-batch",
                    MICRO_BATCH, "--dtype", self.a.dtype], DAY)
        return tensorfile.load(self.path("out"))["losses"]

    def train_flowers(self, losses):
        """The program itself makes the same losses in its first epoch."""
        driver.run([self.a.train_flowers, "--data-dir", self.a.data_dir, "--img-size",
                    self.a.img_size, "--limit", self.a.limit, "--model", self.a.variant,
                    "--batch-size", self.a.batch_size, "--micro-batch", MICRO_BATCH,
                    "--epochs", 1, "--seed", self.own_seed, "--threads", self.a.threads,
                    "--output", self.path("run")], DAY)
        with open(self.path("run") / "steps.csv", newline="") as file:
            own = [float(row["train/loss"]) for row in csv.DictReader(file)]
        same = own == list(losses[:len(self.sizes)])
        self.row("", f"train_flowers: the first epoch's {len(own)} losses, to the bit", same)

    def epochs(self, losses):
        """Mean losses of the epochs' images."""
        return np.average(losses.reshape(self.a.epochs, -1), axis=1, weights=self.sizes)

    def compare(self, kind, seed):
        """Trains from a start; returns the losses of all steps, the engine's and PyTorch's."""
        print(f"{kind}:{seed}")
        start = self.start(kind, seed)
        engine = self.engine()
        if kind == "anther" and seed == self.own_seed and self.a.dtype == "float32":
            self.train_flowers(engine)
        train = (self.options, self.images, self.labels, start, self.a.batch_size)
        losses = {"engine": engine, "PyTorch": pytorch(*train, self.a.batch_size)}
        steps = len(engine)
        agree = steps_that_agree(engine, losses["PyTorch"])
        self_agree = steps
        if self.a.again:
            losses["again"] = pytorch(*train, MICRO_BATCH)
            self_agree = steps_that_agree(losses["again"], losses["PyTorch"])
        for name, own in losses.items():
            self.row(name, " ".join(f"{loss:.3f}" for loss in self.epochs(own)))
        again = f", PyTorch's with itself in {self_agree}" if self.a.again else ""
        self.row("", f"of {steps} steps the engine's and PyTorch's agree in {agree}{again}",
                 agree >= min(10, steps) and (not self.a.again or 2 * agree >= self_agree))
        return losses


def steps_that_agree(a, b):
    """How many from the first on."""
    return int(np.argmin(np.append(np.abs(a - b) <= TOLERANCE, False)))


def summary(comparison, all_losses):
    """The last epoch's loss over the starts."""
    last = {name: np.array([comparison.epochs(losses[name])[-1] for losses in all_losses])
            for name in all_losses[0]}
    print(f"\nThe last epoch's loss over {len(all_losses)} starts: mean, standard deviation")
    for name, values in last.items():
        comparison.row(name, f"{values.mean():.3f} {values.std(ddof=1):.3f}")
    difference = last["engine"] - last["PyTorch"]
    error = difference.std(ddof=1) / len(difference) ** 0.5
    comparison.row("difference", f"{difference.mean():+.3f}, standard error {error:.3f}")


def parse_start(text):
    kind, _, seed = text.partition(":")
    if kind not in ("anther", "pytorch") or not seed.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: expected anther:SEED or pytorch:SEED")
    return kind, int(seed)


def main():
    p = argparse.ArgumentParser(description="Trains EdgeViT in the engine and in PyTorch.")
    p.add_argument("--data-dir", default="painted")
    p.add_argument("--img-size", type=int, default=32)
    p.add_argument("--limit", type=int, default=1280, help="only the first images; 0: all")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--batch-size", type=int, default=128)
    p.add_argument("--variant", default="xxs", choices=edgevit_torch.VARIANTS)
    p.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    p.add_argument("--starts", default="anther:42,pytorch:1",
                   type=lambda text: [parse_start(part) for part in text.split(",")])
    p.add_argument("--no-again", dest="again", action="store_false",
                   help="leave out PyTorch's comparison with itself")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--csv", type=pathlib.Path, help="writes every step's losses")
    p.add_argument("--run-training", type=pathlib.Path,
                   default=driver.default_program("run_training"))
    p.add_argument("--train-flowers", type=pathlib.Path,
                   default=driver.default_program("train_flowers", "examples"))
    a = p.parse_args()
    for program in (a.run_training, a.train_flowers):
        driver.check_program(program)
    torch.set_num_threads(a.threads)
    rows, all_losses = [], []
    with tempfile.TemporaryDirectory(prefix="anther-training-") as folder:
        try:
            comparison = Comparison(a, pathlib.Path(folder))
            for kind, seed in a.starts:
                all_losses.append(comparison.compare(kind, seed))
                for step, values in enumerate(zip(*all_losses[-1].values()), 1):
                    rows.append([f"{kind}:{seed}", step, *map(float, values)])
            failed = comparison.failed
        except driver.RunError as e:
            print(f"FAILED: {e}")
            return 1
    if a.csv:
        with open(a.csv, "w", newline="") as file:
            csv.writer(file).writerows([["start", "step", *all_losses[0]], *rows])
    if len(all_losses) > 1:
        summary(comparison, all_losses)
    print("all agree" if not failed else f"{failed} FAILED")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
