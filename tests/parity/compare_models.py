#!/usr/bin/env python3
"""Compares the engine's EdgeViT with the PyTorch reference, ../reference/edgevit_torch.py.

    tests/parity/compare_models.py [--variants xxs,xs,s] [--presets original,improved]
                                   [--img-size 224] [--batch 2] [--num-classes 10] [--steps 10]
                                   [--dtypes float32,float64] [--seed 0] [--run-model PATH]

For each variant and preset it draws weights (the model's own initialisation, then norms and running
statistics at random), images and labels, lets

    run_model OPTIONS_JSON IN.safetensors OUT.safetensors --dtype float32|float64 --steps N

compute logits, loss, every parameter's gradient and the losses of N steps of Adam (betas 0.9 and
0.999, eps 1e-8, rate 1e-3; the loss before each step, always the same batch), and compares with
PyTorch in the same dtype. Models with BatchNorm are compared in evaluation too, where the running
statistics are used (no steps).

    quantity   may be off by      of
    logits     1e-4, in float64   their largest
    loss       1e-9               the loss, or 1 if that is more
    gradient                      that tensor's largest element, or 1e-3 of the model's largest,
                                  whichever is greater (some gradients are zero but for rounding)
    losses                        the first loss, or 1 if that is more

For float32 the table also shows how far both results are from PyTorch in float64: the engine's, and
in brackets PyTorch's own, with "!" where that is more than the tolerance itself. Where it is more
than a quarter of it, four times it is allowed, and the table says "granted" instead of "ok": at
Adam's rate of 1e-3 a few noisy images make the loss leap, and each leap magnifies what rounding
left. (At 224 that stays within the tolerance; at 64 it often does not.)

IN holds the state dict (running statistics included; no num_batches_tracked), images (NCHW) and
labels (int64); OUT holds logits, loss [1], grad.NAME for each parameter NAME, and losses [N].
Needs torch (1.13 or 2.x) and numpy. Exit status: 0 all agree, 1 some do not,
2 it could not start, 77 no torch.
"""
import argparse
import json
import os
import pathlib
import sys
import time

import driver

driver.need("torch")

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, str(driver.REPOSITORY / "tests" / "reference"))
import edgevit_torch  # noqa: E402  (found by the line above)

ADAM = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
QUANTITIES = ("logits", "loss", "gradients", "losses")


def draw_state(model, seed):
    """The model's weights as they are, but norms and running statistics at random, as arrays."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, t in model.state_dict().items():
        if not t.is_floating_point():
            continue
        a = t.double().numpy()
        module = model.get_submodule(name.rpartition(".")[0])
        if not isinstance(module, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            centre = 0.0 if name.endswith(("bias", "running_mean")) else 1.0
            a = centre + 0.2 * rng.uniform(-1, 1, a.shape)
        state[name] = a.astype(np.float32)  # both dtypes have the same inputs
    return state


def draw_batch(batch, size, num_classes, seed):
    rng = np.random.default_rng([seed, 1])
    return {"images": rng.normal(size=(batch, 3, size, size)).astype(np.float32),
            "labels": rng.integers(0, num_classes, batch)}


def pytorch(model, state, data, dtype, training, steps,
            make_optimiser=lambda parameters: torch.optim.Adam(parameters, **ADAM)):
    """What OUT should hold, as arrays."""
    model = model.to(dtype).train(training)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in state.items()}, strict=False)
    images, labels = torch.from_numpy(data["images"]).to(dtype), torch.from_numpy(data["labels"])
    optimiser = make_optimiser(model.parameters())
    results, losses = {}, []
    for _ in range(max(steps, 1)):
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        if not results:
            results = {"logits": logits.detach(), "loss": loss.detach().reshape(1)}
            results.update((f"grad.{n}", p.grad.clone()) for n, p in model.named_parameters())
            results = {n: t.double().numpy() for n, t in results.items()}
        if steps:
            losses.append(loss.item())
            optimiser.step()
    if steps:
        results["losses"] = np.array(losses)
    return results


def errors(got, expected):
    """Of each quantity the worst error, and the name of the worst gradient."""
    worst = {"logits": (driver.difference(got["logits"], expected["logits"])
                        / driver.largest(expected["logits"]), "")}
    for name in ("loss", "losses"):
        if name in expected:
            scale = max(1.0, abs(expected[name][0]))
            worst[name] = driver.difference(got[name], expected[name]) / scale, ""
    gradients = {n: a for n, a in expected.items() if n.startswith("grad.")}
    floor = 1e-3 * max(map(driver.largest, gradients.values()))
    worst["gradients"] = max((driver.difference(got[n], a) / max(driver.largest(a), floor), n)
                             for n, a in gradients.items())
    return worst


def compare(run_model, options, state, data, dtype, steps, truth, expected, tolerances={}):
    """Prints the rows of one model and dtype; returns how many quantities are wrong. tolerances:
    those that are not the dtype's, by quantity."""
    head = f"{options['title']:<13} {'train' if options['training'] else 'eval':<5} {dtype:<7}"
    wire = {k: v for k, v in options.items() if k != "title"}
    begin = time.monotonic()
    try:
        results = driver.call([run_model, json.dumps(wire)], {**state, **data}, dtype,
                              ["--steps", steps], timeout=3600)
        got = {n: driver.fetch(results, n, a.shape, dtype) for n, a in expected.items()}
    except driver.RunError as e:
        print(f"{head} FAILED: {e}", flush=True)
        return sum(q in expected or q == "gradients" for q in QUANTITIES)
    seconds = time.monotonic() - begin
    failed = 0
    worst, from_truth, pytorch_own = (errors(got, expected), errors(got, truth),
                                      errors(expected, truth))
    for quantity in QUANTITIES:
        if quantity not in worst:
            continue
        error, where = worst[quantity]
        tolerance = tolerances.get(quantity, driver.TOLERANCE[dtype])
        own = pytorch_own[quantity][0]
        verdict = ("ok" if error <= tolerance else "granted" if error <= 4 * own else "FAILED")
        failed += verdict == "FAILED"
        row = f"{head} {quantity:<9} {error:>9.1e} {verdict:<7}"
        if dtype == "float32":
            row += f" {from_truth[quantity][0]:>9.1e} ({own:.1e}){'!' if own > tolerance else ' '}"
        else:
            row += " " * 21
        print(f"{row} {where}".rstrip(), flush=True)
        head = " " * len(head)
    print(f"{head} in {seconds:.1f} s", flush=True)
    return failed


def main():
    p = argparse.ArgumentParser(description="Compares the engine's EdgeViT with PyTorch's.")
    p.add_argument("--variants", default=",".join(edgevit_torch.VARIANTS))
    p.add_argument("--presets", default=",".join(edgevit_torch.PRESETS))
    p.add_argument("--dtypes", default=",".join(driver.TOLERANCE))
    p.add_argument("--img-size", type=int, default=224)
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--num-classes", type=int, default=10)
    p.add_argument("--steps", type=int, default=10, help="of Adam (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0, help="of PyTorch (default: its own choice)")
    for option in ("norm", "local-norm"):
        p.add_argument(f"--{option}", choices=("ln", "gn", "bn", "in"),
                       help="instead of the preset's")
    p.add_argument("--gn-groups", type=int, default=0)
    p.add_argument("--ffn-kernel", type=int, default=1, choices=(1, 3))
    p.add_argument("--table", action="store_true")
    p.add_argument("--run-model", type=pathlib.Path, default=driver.default_program("run_model"),
                   metavar="PATH", help="default: %(default)s")
    a = p.parse_args()
    if os.environ.get("ANTHER_LONG_TESTS"):
        a.steps = p.get_default("steps")
    dtypes = a.dtypes.split(",")
    for value, known in ((a.variants, edgevit_torch.VARIANTS), (a.presets, edgevit_torch.PRESETS),
                         (a.dtypes, driver.TOLERANCE)):
        if not set(value.split(",")) <= set(known):
            p.error(f"expected some of {','.join(known)}, got {value}")
    driver.check_program(a.run_model)
    if a.threads:
        torch.set_num_threads(a.threads)

    print(f"{'model':<13} {'mode':<5} {'dtype':<7} {'quantity':<9} {'error':>9} {'':<7} "
          f"{'from float64 (PyTorch)':<22}")
    failed = 0
    for variant in a.variants.split(","):
        for preset in a.presets.split(","):
            options = dict(edgevit_torch.PRESETS[preset], variant=variant, gn_groups=a.gn_groups,
                           num_classes=a.num_classes, ffn_kernel=a.ffn_kernel, table=a.table)
            options.update((k, v) for k, v in (("norm", a.norm), ("local_norm", a.local_norm)) if v)
            torch.manual_seed(a.seed)
            model = edgevit_torch.edgevit(**options)
            del options["init"]  # the weights are given
            state = draw_state(model, a.seed)
            data = draw_batch(a.batch, a.img_size, a.num_classes, a.seed)
            has_batch_norm = any(n.endswith("running_var") for n in state)
            for training in (True, False) if has_batch_norm else (True,):
                steps = a.steps if training else 0
                shown = dict(options, training=training, title=f"{variant} {preset}")
                results = {d: pytorch(model, state, data, getattr(torch, d), training, steps)
                           for d in driver.TOLERANCE if d in dtypes or d == "float64"}
                for dtype in dtypes:
                    failed += compare(a.run_model, shown, state, data, dtype, steps,
                                      results["float64"], results[dtype])
    print(f"{failed} failed" if failed else "all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
