#!/usr/bin/env python3
"""Trains the models of the examples in the engine and in PyTorch, with the same weights, data and
Adam, and compares the loss of every step.

    tests/parity/compare_examples.py [--steps 100] [--seed 0] [--run-examples PATH]

regression: the MLP of examples/regression.cpp on Friedman's first function. transformer, gru: those
of examples/character_model.hpp on characters of docs/design.md. Losses may differ by 1e-3.

Needs torch. Exit status: 0 all agree, 1 some do not, 2 it could not start, 77 no torch.
"""
import argparse
import os
import pathlib
import sys

import driver

driver.need("torch")

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

TOLERANCE = 1e-3
WIDTH, LENGTH, BATCH, LR = 128, 32, 16, 1e-3


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, WIDTH // 32, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        y, n = self.norm1(x), x.shape[1]
        unseen = torch.ones(n, n, dtype=torch.bool).triu(1)
        x = x + self.attention(y, y, y, attn_mask=unseen, need_weights=False)[0]
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class CharacterModel(nn.Module):
    def __init__(self, characters, gru):
        super().__init__()
        self.embedding, self.norm = nn.Embedding(characters, WIDTH), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, characters)
        self.gru = gru
        if gru:
            self.body = nn.Sequential(nn.GRU(WIDTH, WIDTH, batch_first=True))
        else:
            self.position = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
            self.body = nn.Sequential(Block(), Block())

    def forward(self, x):
        x = self.embedding(x)
        x = self.body(x)[0] if self.gru else self.body(x + self.position)
        return self.head(self.norm(x))


def regression(steps):
    layers = [nn.Linear(7, 64), nn.ReLU(), nn.Dropout(0), nn.Linear(64, 64), nn.ReLU(),
              nn.Dropout(0), nn.Linear(64, 1)]
    x = torch.rand(steps, BATCH, 7)
    y = (10 * torch.sin(np.pi * x[..., 0] * x[..., 1]) + 20 * (x[..., 2] - 0.5) ** 2
         + 10 * x[..., 3] + 5 * x[..., 4] - 14) / 5 + 0.2 * torch.randn(steps, BATCH)
    return nn.Sequential(*layers), x, y, lambda out, y: F.mse_loss(out[:, 0], y)


def characters(steps, gru):
    text = np.frombuffer((driver.REPOSITORY / "docs" / "design.md").read_bytes(), np.uint8)
    known, ids = np.unique(text, return_inverse=True)
    starts = torch.randint(len(ids) - LENGTH - 1, (steps, BATCH, 1))
    windows = torch.from_numpy(ids)[starts + torch.arange(LENGTH + 1)]
    return (CharacterModel(len(known), gru), windows[..., :-1], windows[..., 1:],
            lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()))


def main():
    p = argparse.ArgumentParser(description="Trains the examples' models here and in PyTorch.")
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--run-examples", type=pathlib.Path,
                   default=driver.default_program("run_examples"))
    a = p.parse_args()
    if os.environ.get("ANTHER_LONG_TESTS"):
        a.steps = p.get_default("steps")
    driver.check_program(a.run_examples)
    failed = 0
    for kind in ("regression", "transformer", "gru"):
        torch.manual_seed(a.seed)
        model, inputs, targets, loss_of = (regression(a.steps) if kind == "regression"
                                           else characters(a.steps, kind == "gru"))
        tensors = {name: t.detach().numpy().copy() for name, t in model.state_dict().items()}
        tensors |= {"data.inputs": inputs.numpy().astype(np.float32),
                    "data.targets": targets.numpy().astype(np.float32)}
        optimiser, theirs = torch.optim.Adam(model.parameters(), lr=LR), []
        for x, y in zip(inputs, targets):
            optimiser.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimiser.step()
            theirs.append(loss.item())
        try:
            ours = driver.call([a.run_examples, kind], tensors, "float32",
                               ["--lr", LR])["losses"]
        except driver.RunError as e:
            print(f"{kind:<12} FAILED: {e}")
            failed += 1
            continue
        worst = driver.difference(ours, np.array(theirs)) if len(ours) == a.steps else np.inf
        ok = worst <= TOLERANCE
        failed += not ok
        print(f"{kind:<12} {a.steps} losses, {theirs[0]:.4f} to {theirs[-1]:.4f}: the largest "
              f"difference is {worst:.1e} {'ok' if ok else 'FAILED'}")
    print("all agree" if not failed else f"{failed} FAILED")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
