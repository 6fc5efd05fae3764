#!/usr/bin/env python3
"""Writes the golden files: what PyTorch computes for EdgeViT, for the C++ tests to compare with.

    /usr/bin/python3 tests/golden/generate.py            write tests/golden/*.json
    /usr/bin/python3 tests/golden/generate.py --check    compute again and compare with the files
                              ... --check --steps 2      the same, but only two of Adam's ten steps

Needs torch (1.13 or 2.x) and numpy, and ../reference/edgevit_torch.py. Everything is computed in
float64 on one thread. README.md beside this file describes the fields of the files.

No weight and no image is stored: both sides compute them. Element i (the flat index in row-major
order of PyTorch's shape) of the tensor called `name` is

    h     = fnv1a64(name) + i                           all mod 2^64
    u     = (splitmix64(h) >> 11) / 2^53                in [0, 1)
    v     = 2 u - 1                                     in [-1, 1)
    value = float32(offset + scale * v)                 computed in double, no fused multiply-add

    fnv1a64(name)   h = 0xCBF29CE484222325; for each byte: h = (h ^ byte) * 0x100000001B3
    splitmix64(x)   x += 0x9E3779B97F4A7C15
                    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
                    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
                    return x ^ (x >> 31)

    tensor                                              offset   scale
    "images" (batch, 3, size, size)                     0        1
    *.weight of rank 2 or more (convolution, linear)    0        sqrt(3 / fan_in),
                                                                 fan_in = product of shape[1:]
    *.spread.weight (depth-wise transposed)             0        1
    *.weight of rank 1 (norms)                          1        0.2
    *.bias                                              0        0.1
    *.running_mean                                      0        0.1
    *.running_var                                       1        0.2

The value is rounded to float32 so that runs in float and in double have the same inputs. The label
of image i is (3 i + 1) mod num_classes.

A tensor t is digested to its norm, its largest absolute value, and its dot products with the four
vectors called `name#dot0` to `name#dot3`: the same formula, offset 0 and scale 1, not rounded.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "parity"), str(HERE.parent / "reference")]
import driver  # noqa: E402

driver.need("torch")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import edgevit_torch  # noqa: E402  (found by the line above)

BATCH, SIZE, CLASSES, DOTS = 4, 64, 10, 4
ADAM = dict(beta1=0.9, beta2=0.999, eps=1e-8)
# At 1e-3, the rate that the models are trained with, four images are learned by heart in a few
# steps; at 3e-5 the loss still says something in the tenth.
RATES, STEPS = (1e-3, 3e-5), 10

# --- The formula ---------------------------------------------------------------------------------


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def splitmix64(x):
    """Of an array of uint64, in which NumPy's arithmetic wraps round."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def raw(name, count):
    """v above: `count` doubles in [-1, 1)."""
    h = np.array([fnv1a64(name)], np.uint64) + np.arange(count, dtype=np.uint64)
    return 2.0 * ((splitmix64(h) >> np.uint64(11)).astype(np.float64) / 2.0**53) - 1.0


def offset_and_scale(name, shape):
    last = name.rpartition(".")[2]
    if name == "images":
        return 0.0, 1.0
    if last == "weight":
        if len(shape) == 1:
            return 1.0, 0.2
        return 0.0, 1.0 if name.endswith("spread.weight") else math.sqrt(3.0 / math.prod(shape[1:]))
    return {"bias": (0.0, 0.1), "running_mean": (0.0, 0.1), "running_var": (1.0, 0.2)}[last]


def tensor(name, shape, dtype):
    offset, scale = offset_and_scale(name, shape)
    value = (offset + scale * raw(name, math.prod(shape))).astype(np.float32)
    return torch.from_numpy(value.reshape(shape)).to(dtype)


def digest(name, t):
    t = t.detach().double().numpy().ravel()
    return dict(norm=math.sqrt(float((t * t).sum())), max=float(np.abs(t).max()),
                dots=[float((t * raw(f"{name}#dot{k}", t.size)).sum()) for k in range(DOTS)])


# --- bfloat16 ------------------------------------------------------------------------------------


class RoundedProduct(torch.autograd.Function):
    """A linear layer, or a convolution, as Anther's mixed precision has it: both operands of each
    of the three products are rounded to bfloat16; sums, biases and all else are not."""

    @staticmethod
    def forward(ctx, product, channels, x, weight, bias):
        x, weight = rounded(x), rounded(weight)
        ctx.product = product
        ctx.save_for_backward(x, weight)
        y = product(x, weight, bias)
        ctx.bias_axes = None if bias is None else [
            axis for axis in range(y.dim()) if axis != channels % y.dim()]
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight = (t.detach().requires_grad_() for t in ctx.saved_tensors)
        with torch.enable_grad():
            y = ctx.product(x, weight, None)
        dx, dweight = torch.autograd.grad(y, (x, weight), rounded(dy))
        dbias = None if ctx.bias_axes is None else dy.sum(ctx.bias_axes)
        return None, None, dx, dweight, dbias


def rounded(t):
    return t.to(torch.bfloat16).to(t.dtype)


class StoredMap(torch.autograd.Function):
    """A map that is stored in bfloat16, as its gradient is."""

    @staticmethod
    def forward(ctx, x):
        return rounded(x)

    @staticmethod
    def backward(ctx, dy):
        return rounded(dy)


class StoredSum(torch.autograd.Function):
    """The same where several read the map: its gradient is a sum of floats."""

    @staticmethod
    def forward(ctx, x):
        return rounded(x)

    @staticmethod
    def backward(ctx, dy):
        return dy


class RoundedAttention(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v of heads (N, heads, n, d) whose products are of rounded numbers.
    Backward has the probabilities as a map in bfloat16."""

    @staticmethod
    def forward(ctx, q, k, v):
        q, k, v = rounded(q), rounded(k), rounded(v)
        ctx.scale = q.shape[-1] ** -0.5
        p = rounded(torch.softmax(ctx.scale * (q @ k.transpose(-1, -2)), -1))
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx, do):
        q, k, v, p = ctx.saved_tensors
        do = rounded(do)
        dp = do @ v.transpose(-1, -2)
        ds = rounded(ctx.scale * p * (dp - (p * dp).sum(-1, keepdim=True)))
        return ds @ k, ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ do


class GeluOfMaps(torch.autograd.Function):
    """GELU of a map that is stored in bfloat16, as the gradient of that is, by the polynomials of
    kernels/gelu_bf16.inl: those of exact numbers would be rounded to other sides here and there."""
    VALUE = (-0.00193053205, 0.00496270834, -0.00607019337, 0.00965321437, -0.0184839759,
             0.0288576558, -0.040236976, 0.054637488, -0.0771858841, 0.156906039)
    DERIVATIVE = (0.0119352657, -0.0293628536, 0.0284602474, -0.0362113826, 0.0697617307,
                  -0.0938373357, 0.0978995264, -0.093922019, 0.086987406, -0.0900131986,
                  0.159431547)

    @staticmethod
    def of(x, coefficients):
        c = x.clamp(-4.5, 4.5)
        t, p = 2 * c * c / 4.5**2 - 1, 0
        for coefficient in coefficients:
            p = p * t + coefficient
        return 0.5 + c * p

    @staticmethod
    def forward(ctx, x):
        x = rounded(x)
        ctx.save_for_backward(x)
        return x.clamp(min=-4.5) * GeluOfMaps.of(x, GeluOfMaps.VALUE)

    @staticmethod
    def backward(ctx, dy):
        x, = ctx.saved_tensors
        return rounded(dy * GeluOfMaps.of(x, GeluOfMaps.DERIVATIVE))


def stored(model, x, kind=StoredMap):
    """A map that is in bfloat16 in training alone."""
    return kind.apply(x) if model.training else x


@contextlib.contextmanager
def bf16_products(on):
    """Linear layers and convolutions in bfloat16, but for depth-wise ones."""
    linear, conv2d = F.linear, F.conv2d

    def rounded_conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if groups > 1:
            return conv2d(x, weight, bias, stride, padding, dilation, groups)
        return RoundedProduct.apply(lambda a, b, c: conv2d(a, b, c, stride, padding, dilation), 1,
                                    x, weight, bias)

    if on:
        F.linear = lambda x, w, b=None: RoundedProduct.apply(linear, -1, x, w, b)
        F.conv2d = rounded_conv2d
    try:
        yield
    finally:
        F.linear, F.conv2d = linear, conv2d


# --- The cases -----------------------------------------------------------------------------------


def options(variant, preset, **changes):
    """All of the model's options, written out."""
    o = dict(variant=variant, num_classes=CLASSES, gn_groups=0, ffn_kernel=1, table=False)
    o.update((k, v) for k, v in edgevit_torch.PRESETS[preset].items() if k != "init")
    o.update(changes)
    return o


def cases():
    """Yields name, options, and whether Adam's steps are taken."""
    for variant in edgevit_torch.VARIANTS:
        for preset in edgevit_torch.PRESETS:
            yield f"{variant}_{preset}", options(variant, preset), True
    yield "xxs_instance_norm", options("xxs", "improved", norm="in", local_norm="in"), False
    yield "xxs_literal", options("xxs", "improved", local_norm="bn"), False
    yield "xxs_swapped", options("xxs", "original", norm="bn", local_norm="ln"), False
    yield "xxs_gn_groups_1", options("xxs", "improved", gn_groups=1), False
    yield "xxs_ffn_kernel_3", options("xxs", "improved", ffn_kernel=3), False
    yield "xs_table", options("xs", "improved", table=True), False
    yield "small_bf16", SmallNet, False
    yield "maps_bf16", MapsNet, False
    yield "norms_bf16", NormsNet, False
    yield "stream_bf16", StreamNet, False


class SmallNet(torch.nn.Module):
    """What mixed precision is compared with. In deeper models PyTorch in float32 and in float64
    round other operands to other sides: they are as far from each other as from no rounding."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Conv2d(3, 16, 4, stride=4)
        self.expand = torch.nn.Conv2d(16, 40, 3, padding=1)
        self.reduce = torch.nn.Conv2d(40, 17, 1)
        self.head = torch.nn.Linear(17, CLASSES)

    def forward(self, x):
        x = self.reduce(GeluOfMaps.apply(self.expand(self.embed(x))))
        return self.head(x.mean((2, 3)))


class MapsNet(torch.nn.Module):
    """GELU between two linear layers: what it reads, and the gradient of that, are in bfloat16."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Conv2d(3, 16, 4, stride=4)
        self.fc1 = torch.nn.Linear(16, 40)
        self.fc2 = torch.nn.Linear(40, 17)
        self.head = torch.nn.Linear(17, CLASSES)

    def forward(self, x):
        x = stored(self, self.embed(x)).permute(0, 2, 3, 1)
        return self.head(self.fc2(GeluOfMaps.apply(self.fc1(x))).mean((1, 2)))


class NormsNet(torch.nn.Module):
    """Convolutions whose results norms or other convolutions read: in training these maps, and the
    gradients of them, are in bfloat16."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Conv2d(3, 16, 4, stride=4, bias=False)
        self.expand = torch.nn.Conv2d(16, 24, 1, bias=False)
        self.norm1 = torch.nn.BatchNorm2d(24)
        self.dw1 = torch.nn.Conv2d(24, 24, 3, stride=2, padding=1, groups=24)
        self.norm2 = torch.nn.GroupNorm(4, 24)
        self.mix = torch.nn.Conv2d(24, 20, 1)
        self.dw2 = torch.nn.Conv2d(20, 20, 5, padding=2, groups=20)
        self.project = torch.nn.Conv2d(20, 17, 1)
        self.head = torch.nn.Linear(17, CLASSES)

    def forward(self, x):
        x = F.relu6(self.norm1(stored(self, self.expand(stored(self, self.embed(x))))))
        x = self.norm2(stored(self, self.dw1(x)))
        x = self.project(stored(self, self.dw2(stored(self, self.mix(x)))))
        return self.head(x.mean((2, 3)))


class StreamNet(torch.nn.Module):
    """A stream of residuals, and attention: in training the sums are in bfloat16."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Conv2d(3, 16, 16, stride=16)
        self.norm0 = torch.nn.GroupNorm(4, 16)
        self.pos = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm1 = torch.nn.GroupNorm(2, 16)
        self.qkv = torch.nn.Conv2d(16, 48, 1)
        self.proj = torch.nn.Conv2d(16, 16, 1)
        self.norm2 = torch.nn.GroupNorm(4, 16)
        self.mix = torch.nn.Conv2d(16, 16, 1)
        self.norm3 = torch.nn.GroupNorm(8, 16)
        self.head = torch.nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.norm0(stored(self, self.embed(x)))
        x = stored(self, x, StoredSum)
        x = stored(self, x + self.pos(x), StoredSum)
        qkv = stored(self, self.qkv(self.norm1(x)), StoredSum)
        n, channels, height, width = x.shape
        q, k, v = qkv.reshape(n, 3, 2, channels // 2, height * width).transpose(-1, -2).unbind(1)
        o = RoundedAttention.apply(q, k, v).transpose(-1, -2).reshape(x.shape)
        x = stored(self, x + self.proj(stored(self, o)), StoredSum)
        x = stored(self, x + self.mix(self.norm2(x)), StoredSum)
        return self.head(self.norm3(x).mean((2, 3)))


def build(o, dtype):
    """The model, EdgeViT with options or a class, with weights and running statistics from the
    formula."""
    model = (edgevit_torch.edgevit(**o) if isinstance(o, dict) else o()).to(dtype)
    with torch.no_grad():
        for name, t in model.state_dict().items():
            if t.is_floating_point():  # num_batches_tracked is not
                t.copy_(tensor(name, tuple(t.shape), dtype))
    return model


def batch(dtype):
    return (tensor("images", (BATCH, 3, SIZE, SIZE), dtype),
            torch.tensor([(3 * i + 1) % CLASSES for i in range(BATCH)]))


def run(o, dtype):
    """Logits in evaluation and in training, and a training step's loss, gradients, statistics."""
    model = build(o, dtype)
    images, labels = batch(dtype)
    with torch.no_grad():
        eval_logits = model.eval()(images)
    logits = model.train()(images)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    return dict(labels=labels, eval_logits=eval_logits, train_logits=logits.detach(),
                loss=loss.item(), gradients={n: p.grad for n, p in model.named_parameters()},
                statistics={n: b for n, b in model.named_buffers() if b.is_floating_point()})


def adam_losses(o, dtype, lr, steps=STEPS):
    """The loss before each of so many steps of Adam, always on the same batch."""
    model = build(o, dtype).train()
    images, labels = batch(dtype)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, eps=ADAM["eps"],
                                 betas=(ADAM["beta1"], ADAM["beta2"]))
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def case_json(name, o, result, losses):
    def digests(tensors):
        return [dict(name=n, shape=list(t.shape), **digest(n, t)) for n, t in tensors.items()]

    case = dict(case=name, options=o if isinstance(o, dict) else None, batch=BATCH, img_size=SIZE,
                labels=result["labels"].tolist(),
                eval_logits=result["eval_logits"].tolist(),
                train_logits=result["train_logits"].tolist(), loss=result["loss"],
                gradients=digests(result["gradients"]))
    if result["statistics"]:
        case["running_statistics"] = digests(result["statistics"])
    if losses:
        case["adam"] = [dict(lr=lr, **ADAM, losses=x) for lr, x in losses.items()]
    return case


def formula_json():
    """A few values of the formula, so that the other side can test its own first."""
    shapes = {"images": (BATCH, 3, SIZE, SIZE), "stages.0.0.conv.weight": (36, 3, 4, 4),
              "stages.0.2.attn.spread.weight": (36, 1, 4, 4), "stages.0.0.norm.weight": (36,),
              "stages.0.0.conv.bias": (36,), "norm.running_mean": (288,),
              "norm.running_var": (288,)}
    tensors = []
    for name, shape in shapes.items():
        flat = tensor(name, shape, torch.float64).flatten()
        dot0 = raw(f"{name}#dot0", flat.numel())
        tensors.append(dict(
            name=name, shape=list(shape), fnv1a64=f"{fnv1a64(name):016x}",
            splitmix64=f"{int(splitmix64(np.array([fnv1a64(name)], np.uint64))[0]):016x}",
            first=flat[:4].tolist(), last=flat[-1].item(), sum=float(flat.numpy().sum()),
            dot0_first=dot0[:4].tolist(), dot0_last=float(dot0[-1])))
    return dict(case="formula", tensors=tensors)


# --- Files ---------------------------------------------------------------------------------------


def dump(value):
    """JSON, an entry of the object or of a list of objects to a line, so that diffs can be read."""
    def one(v):
        if isinstance(v, list) and v and isinstance(v[0], (dict, list)):
            return "[\n" + ",\n".join("  " + json.dumps(x) for x in v) + "\n ]"
        return json.dumps(v)

    return "{\n" + ",\n".join(f' "{k}": {one(v)}' for k, v in value.items()) + "\n}\n"


def difference(a, b, floor):
    """The largest difference of two JSON values, relative to the greater of the number's own size
    and `floor`; infinite where anything but a number's value differs."""
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        return max((difference(a[k], b[k], floor) for k in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((difference(x, y, floor) for x, y in zip(a, b)), default=0.0)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) / max(abs(a), floor)
    return 0.0 if a == b else math.inf


def relative_error(a, truth, floor=0.0):
    truth = truth.double()
    return ((a.double() - truth).abs().max() / max(truth.abs().max().item(), floor)).item()


def print_float32(o, result, losses):
    """How far PyTorch's own float32 is from float64 on this case: what a test can ask of float."""
    single = run(o, torch.float32)
    largest = max(g.abs().max().item() for g in result["gradients"].values())
    gradients = {n: relative_error(single["gradients"][n], g, 1e-3 * largest)
                 for n, g in result["gradients"].items()}
    worst = max(gradients, key=gradients.get)
    logits = relative_error(single["train_logits"], result["train_logits"])
    print(f"    float32: logits {logits:.1e}, gradients {gradients[worst]:.1e} ({worst})")
    for lr, x in losses.items():
        error = max(abs(a - b) for a, b in zip(adam_losses(o, torch.float32, lr), x))
        print(f"    float32: losses at rate {lr:g} {error:.1e}", flush=True)


def main():
    p = argparse.ArgumentParser(description="Writes the golden files, or checks them.")
    p.add_argument("--check", action="store_true",
                   help="compare with the files (to 1e-9) instead of writing them")
    p.add_argument("--steps", type=int, default=STEPS, metavar="N",
                   help="with --check: compute only the first N steps of Adam (of %(default)s)")
    p.add_argument("--float32", action="store_true",
                   help="also print how far PyTorch in float32 is from float64")
    p.add_argument("--output", type=pathlib.Path, default=HERE, metavar="DIR")
    a = p.parse_args()
    if os.environ.get("ANTHER_LONG_TESTS"):
        a.steps = p.get_default("steps")
    if not 1 <= a.steps <= STEPS or (a.steps < STEPS and (a.float32 or not a.check)):
        p.error(f"--steps: expected 1 to {STEPS}, and --check")
    torch.set_num_threads(1)
    torch.manual_seed(0)  # the models' own initialisation, which is overwritten
    good = True

    def emit(case, floor):
        nonlocal good
        path = a.output / f"{case['case']}.json"
        if a.check:
            there = json.loads(path.read_text()) if path.exists() else {}
            for adam in there.get("adam", []):
                del adam["losses"][a.steps:]
            error = difference(case, there, floor)
            good = good and error <= 1e-9
            print(f"{path.name}: {'same' if error <= 1e-9 else 'DIFFERENT'} ({error:.1e})",
                  flush=True)
        else:
            path.write_text(dump(case))
            print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB", flush=True)

    emit(formula_json(), 1e-3)
    for name, o, adam in cases():
        bf16 = name.endswith("_bf16")
        with bf16_products(bf16):
            result = run(o, torch.float64)
        losses = {r: adam_losses(o, torch.float64, r, a.steps) for r in RATES} if adam else {}
        # A gradient that is zero but for rounding is compared on the scale of the others.
        emit(case_json(name, o, result, losses),
             1e-3 * max(g.norm().item() for g in result["gradients"].values()))
        if a.float32 and not bf16:
            print_float32(o, result, losses)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
