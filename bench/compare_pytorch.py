#!/usr/bin/env python3
"""Anther against the PyTorch that is installed: a model's training step, forward pass and memory,
and single ops, forward and backward. The models are EdgeViT's, torchvision's and timm's.

    python3 bench/compare_pytorch.py --model xxs --threads 2
    python3 bench/compare_pytorch.py --model mobilenet_v2 --classes 1000 --batch 32 --only train
    python3 bench/compare_pytorch.py --only ops

Both run in turn (A B A B ...), each in a process of its own, on random images of the same size;
what is printed is the median of the rounds and their ratio. PyTorch gets its best setting: channels
last or not, and the micro-batch, are tried first, and with --dtype bf16 autocast or not. Its memory is taken twice: in that setting, and
with the whole batch at once, as a training script without gradient accumulation has it. Let nothing
else run meanwhile.
"""
import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EDGEVIT = ("xxs", "xs", "s")


def torch_model(job):
    if job["model"] in EDGEVIT:
        sys.path.insert(0, str(ROOT / "tests" / "reference"))
        from edgevit_torch import edgevit
        return edgevit(job["model"], job["classes"], job["preset"] or "improved")
    if job["model"] in ("vit_tiny", "efficientnet_lite0"):
        import timm
        name = {"vit_tiny": "vit_tiny_patch16_224"}.get(job["model"], job["model"])
        return timm.create_model(name, num_classes=job["classes"])
    import torchvision
    return getattr(torchvision.models, job["model"])(num_classes=job["classes"])


def torch_worker(job):
    """Runs one job in this process and prints its figures."""
    import torch

    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    train = job["mode"] == "train"
    model = torch_model(job).train(train)
    layout = torch.channels_last if job["channels_last"] else torch.contiguous_format
    model = model.to(memory_format=layout)
    batch, micro = job["batch"], min(job["micro_batch"], job["batch"])
    images = torch.rand(micro, 3, job["img_size"], job["img_size"]).contiguous(memory_format=layout)
    labels = torch.arange(micro) % job["classes"]
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=job["autocast"])

    def step():
        if not train:
            with torch.inference_mode(), autocast():
                model(images)
            return
        adam.zero_grad(set_to_none=True)
        for _ in range(batch // micro):
            with autocast():
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            (loss * (micro / batch)).backward()
        adam.step()

    step()
    times = []
    began = time.perf_counter()
    while len(times) < job["least"] or time.perf_counter() - began < job["seconds"]:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(json.dumps({
        "images_per_s": batch / statistics.median(times),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "version": torch.__version__,
    }))


# Of each op: its rows in bench_ops, and in PyTorch.
OPS = {
    "depth-wise 3x3, 8x28x28x72": (
        "depthwise_conv2d_3x3", "8x28x28x72",
        lambda nn: nn.Conv2d(72, 72, 3, padding=1, groups=72)),
    "depth-wise 5x5, 8x28x28x72": (
        "depthwise_conv2d_5x5", "8x28x28x72",
        lambda nn: nn.Conv2d(72, 72, 5, padding=2, groups=72)),
    "transposed 2x2, 8x14x14x72": (
        "depthwise_conv_transpose2d_2x2", "8x28x28x72",
        lambda nn: nn.ConvTranspose2d(72, 72, 2, stride=2, groups=72)),
    "GroupNorm, 64x56x56x72": ("group_norm", "64x56x56x72", lambda nn: nn.GroupNorm(6, 72)),
    "BatchNorm, 64x56x56x72": ("batch_norm", "64x56x56x72", lambda nn: nn.BatchNorm2d(72)),
    "LayerNorm, 64x56x56x72": ("layer_norm", "64x56x56x72", lambda nn: nn.LayerNorm(72)),
    "GELU, 64x56x56x72": ("gelu", "64x56x56x72", lambda nn: nn.GELU()),
}


def torch_op_worker(job):
    """Microseconds of one op's forward pass and backward, in this process."""
    import torch

    torch.set_num_threads(job["threads"])
    name, shape, build = OPS[job["op"]]
    n, h, w, c = map(int, shape.split("x"))
    if name.startswith("depthwise_conv_transpose"):
        h, w = h // 2, w // 2  # bench_ops names the result's shape
    layer = build(torch.nn)
    if name == "layer_norm":
        x = torch.rand(n, h, w, c)
    else:
        layout = torch.channels_last if job["channels_last"] else torch.contiguous_format
        x = torch.rand(n, c, h, w).contiguous(memory_format=layout)
        layer = layer.to(memory_format=layout)
    x.requires_grad_()
    dy = torch.rand_like(layer(x))

    def step():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x).backward(dy)

    step()
    times = []
    began = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < 0.5:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(json.dumps({"us": 1e6 * statistics.median(times), "version": torch.__version__}))


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise RuntimeError(f"{command[0]}: {lines[-1]}")
    return done.stdout


class Comparison:
    def __init__(self, options):
        self.options = options
        self.bench = ROOT / options.build / "bench" / "bench_model"

    def torch(self, mode, batch, threads, micro_batch, channels_last, autocast, least=1,
              seconds=0.0):
        job = dict(model=self.options.model, preset=self.options.preset,
                   classes=self.options.classes, mode=mode, batch=batch,
                   threads=threads, micro_batch=micro_batch, channels_last=channels_last,
                   autocast=autocast, img_size=self.options.img_size, least=least, seconds=seconds)
        return json.loads(run([sys.executable, __file__, "--worker", json.dumps(job)]))

    def anther(self, mode, batch, threads):
        arguments = [self.bench, "--model", self.options.model,
                     "--classes", self.options.classes, "--mode", mode, "--batch", batch,
                     "--img-size", self.options.img_size, "--threads", threads,
                     "--dtype", self.options.dtype, "--benchmark_format=json"]
        if self.options.preset:
            arguments += ["--preset", self.options.preset]
        if mode == "train" and self.options.micro_batch:
            arguments += ["--micro-batch", self.options.micro_batch]
        return json.loads(run([str(a) for a in arguments]))["benchmarks"][0]

    def best_setting(self, mode, threads):
        """(micro-batch, channels last, autocast) with which PyTorch is fastest."""
        best, found = 0.0, None
        micro_batches = (1,) if mode == "infer" else (4, 8, 16, 32)
        autocasts = (False, True) if self.options.dtype == "bf16" else (False,)
        for setting in itertools.product(micro_batches, (False, True), autocasts):
            try:
                speed = self.torch(mode, setting[0], threads, *setting, least=3,
                                   seconds=1.0)["images_per_s"]
            except RuntimeError as error:
                print(f"  PyTorch, micro-batch {setting[0]}: {error}", file=sys.stderr)
                continue
            if speed > best:
                best, found = speed, setting
        return found

    def row(self, name, mode, batch, threads):
        setting = self.best_setting(mode, threads)
        ours, theirs = [], []
        for _ in range(self.options.rounds):
            ours.append(self.anther(mode, batch, threads))
            theirs.append(self.torch(mode, batch, threads, *setting,
                                     least=1 if mode == "train" else 20))
        a = statistics.median(r["images_per_s"] for r in ours)
        b = statistics.median(r["images_per_s"] for r in theirs)
        share = statistics.median(r["fma_peak_share"] for r in ours)
        layout = ("channels-last" if setting[1] else "NCHW") + (", bf16" if setting[2] else "")
        print(f"{name:<28} {a:9.2f} {b:9.2f} {a / b:7.2f}   "
              f"{100 * share:.1f} % of {ours[0]['peak_gflops']:.0f} GFLOP/s; PyTorch "
              f"{theirs[0]['version']}: {layout}, micro-batch {setting[0]}", flush=True)
        if mode == "train":
            self.memory_row(f"{name}, MB", max(r["peak_rss_mb"] for r in ours),
                            max(r["peak_rss_mb"] for r in theirs))
            try:
                whole = self.torch(mode, batch, threads, batch, *setting[1:])["peak_rss_mb"]
                self.memory_row("  PyTorch at a true batch", ours[0]["peak_rss_mb"], whole)
            except RuntimeError as error:
                print(f"  PyTorch at a true batch of {batch}: {error}")

    def op_row(self, op):
        def torch(channels_last):
            job = dict(op=op, threads=self.options.threads, channels_last=channels_last)
            return json.loads(run([sys.executable, __file__, "--op-worker", json.dumps(job)]))

        def anther():
            name, shape, _ = OPS[op]
            os.environ["OMP_NUM_THREADS"] = str(self.options.threads)
            rows = json.loads(run([
                str(self.bench.with_name("bench_ops")), "--benchmark_format=json",
                f"--benchmark_filter=^{name}/(forward|backward)/{shape}/"]))["benchmarks"]
            unit = {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}
            return sum(row["real_time"] * unit[row["time_unit"]] for row in rows)

        best = min((False, True), key=lambda channels_last: torch(channels_last)["us"])
        ours, theirs = [], []
        for _ in range(self.options.rounds):
            ours.append(anther())
            theirs.append(torch(best))
        a = statistics.median(ours)
        b = statistics.median(r["us"] for r in theirs)
        print(f"{op:<28} {a:9.0f} {b:9.0f} {b / a:7.2f}   PyTorch {theirs[0]['version']}: "
              f"{'channels-last' if best else 'NCHW'}", flush=True)

    @staticmethod
    def memory_row(name, a, b):
        print(f"{name:<28} {a:9.0f} {b:9.0f} {b / a:7.2f}   PyTorch / Anther", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--op-worker", help=argparse.SUPPRESS)
    parser.add_argument("--build", default="build/release", help="from the project's folder")
    parser.add_argument("--model", default="xxs", help="xxs, xs, s, or one of the registry")
    parser.add_argument("--preset", choices=("improved", "original"), default="", help="EdgeViT's")
    parser.add_argument("--classes", type=int, default=102)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--micro-batch", type=int, default=0, help="Anther's; 0: its default")
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--dtype", choices=("float", "bf16"), default="float")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("train", "infer", "ops"))
    options = parser.parse_args()
    if options.worker:
        return torch_worker(json.loads(options.worker))
    if options.op_worker:
        return torch_op_worker(json.loads(options.op_worker))
    comparison = Comparison(options)
    if not comparison.bench.exists():
        sys.exit(f"compare_pytorch: no {comparison.bench}; build it first")
    if options.only in (None, "ops"):
        print(f"{'forward and backward, us':<28} {'Anther':>9} {'PyTorch':>9} {'ratio':>7}")
        for op in OPS:
            comparison.op_row(op)
    if options.only == "ops":
        return
    name = "EdgeViT-" + options.model.upper() if options.model in EDGEVIT else options.model
    print(f"{name + ', images/s':<28} {'Anther':>9} {'PyTorch':>9} "
          f"{'ratio':>7}")
    if options.only != "infer":
        comparison.row(f"train, batch {options.batch}", "train", options.batch, options.threads)
    if options.only != "train":
        for threads in sorted({1, options.threads}):
            comparison.row(f"infer, batch 1, {threads} thread{'s' * (threads > 1)}", "infer", 1,
                           threads)


if __name__ == "__main__":
    main()
