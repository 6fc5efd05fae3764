#!/usr/bin/env python3
"""Compares the engine's ops with PyTorch's on random shapes.

    tests/parity/compare_pytorch.py [--ops conv2d,gelu] [--cases 24] [--seed 0] [--run-op PATH]

For each case it draws attributes, inputs and the gradient of the output, lets

    run_op OP ATTRIBUTES_JSON IN.safetensors OUT.safetensors --dtype float32|float64

compute the output and the inputs' gradients, and compares with PyTorch in float64 on the same
inputs. The first cases of an op are chosen by hand (the model's own shapes, and odd ones), the
others are drawn from the seed; case i of an op depends on nothing but the seed, the op and i.

A tensor may be off by 2e-5 (float32) or 1e-10 (float64) of its largest element. Two things are
granted where that would ask for the impossible: "largest" is at least 1e-2 of the largest number
that the case puts out at all (gradients can be zero but for rounding), and where PyTorch's own
float32 is off by more than a quarter of the tolerance (norms of few, nearly equal numbers), four
times its error is allowed. The table counts the cases that needed the latter.

The element-wise ops come from the rows of tests/op_cases.hpp, which `run_op --cases` prints: a row's
attributes, and shapes of any kind.

OP and its attributes are named as in torch.nn.functional, with these differences: layer_norm
normalises over the last dimension; mul and subsample, which
torch.nn.functional lacks, are input * other and input[:, :, ::stride, ::stride].

Needs torch (1.13 or 2.x) and numpy. Exit status: 0 all agree, 1 some do not, 2 it
could not start, 77 no torch.
"""
import argparse
import json
import pathlib
import sys
import zlib

import driver
import tensorfile

driver.need("torch")

import numpy as np
import torch
from torch.nn import functional as F

TOLERANCE = {"float32": 2e-5, "float64": 1e-10}

# --- What PyTorch computes -----------------------------------------------------------------------


def attention(query, key, value, attn_mask=None, is_causal=False, bool_mask=False):
    """F.scaled_dot_product_attention, which torch 1.13 lacks."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if bool_mask:
        scores = scores.masked_fill(attn_mask == 0, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0]).triu(1).bool(), -torch.inf)
    return scores.softmax(dim=-1) @ value


def rms_norm(x, weight, eps):
    """F.rms_norm, which torch 1.13 lacks."""
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def recurrent(op):
    """torch.lstm and torch.gru, whose weight_ih is the identity: the input is what it gives to the
    gates."""
    def call(t, a):
        width, hidden = t["weight"].shape
        like = dict(dtype=t["input"].dtype)
        samples = t["input"].shape[0 if a["batch_first"] else 1]
        state = [t[n][None] if n in t else torch.zeros(1, samples, hidden, **like)
                 for n in ("h0", "c0")]
        bias = t["bias"] if "bias" in t else torch.zeros(width, **like)
        weights = [torch.eye(width, **like), t["weight"], torch.zeros(width, **like), bias]
        options = (True, 1, 0.0, False, False, a["batch_first"])
        if op == "gru":
            return torch.gru(t["input"], state[0], weights, *options)[0]
        y, _, cell = torch.lstm(t["input"], state, weights, *options)
        return torch.cat([y, cell.transpose(0, 1) if a["batch_first"] else cell],
                         1 if a["batch_first"] else 0)
    return call


def loss(op):
    """A loss of input and target, whose lists of weights become tensors."""
    def call(t, a):
        lists = {n: torch.tensor(v, dtype=t["input"].dtype) for n, v in a.items()
                 if isinstance(v, list)}
        return getattr(F, op)(t["input"], t["target"], **{**a, **lists})
    return call


# Of each op: a function of its tensors by name (t) and its attributes (a).
REFERENCE = {
    "conv2d": lambda t, a: F.conv2d(t["input"], t["weight"], t.get("bias"), **a),
    "conv_transpose2d": lambda t, a: F.conv_transpose2d(
        t["input"], t["weight"], t.get("bias"), **a),
    "linear": lambda t, a: F.linear(t["input"], t["weight"], t.get("bias")),
    "group_norm": lambda t, a: F.group_norm(
        t["input"], a["num_groups"], t["weight"], t["bias"], a["eps"]),
    "layer_norm": lambda t, a: F.layer_norm(
        t["input"], t["input"].shape[-1:], t["weight"], t["bias"], a["eps"]),
    "instance_norm": lambda t, a: F.instance_norm(
        t["input"], weight=t["weight"], bias=t["bias"], eps=a["eps"]),
    "batch_norm": lambda t, a: F.batch_norm(
        t["input"], t["running_mean"], t["running_var"], t["weight"], t["bias"], **a),
    "scaled_dot_product_attention": lambda t, a: attention(
        t["query"], t["key"], t["value"], t.get("attn_mask"), **a),
    "matmul": lambda t, a: torch.matmul(t["input"], t["other"]),
    "rms_norm": lambda t, a: rms_norm(t["input"], t["weight"], **a),
    "softmax": lambda t, a: F.softmax(t["input"], **a),
    "log_softmax": lambda t, a: F.log_softmax(t["input"], **a),
    "gru": recurrent("gru"),
    "lstm": recurrent("lstm"),
    "embedding": lambda t, a: F.embedding(t["input"], t["weight"], **a),
    "topk": lambda t, a: torch.topk(t["input"], **a)[0],
    "cosine_similarity": lambda t, a: F.cosine_similarity(t["x1"], t["x2"], **a),
    "triplet_margin_loss": lambda t, a: F.triplet_margin_loss(
        t["anchor"], t["positive"], t["negative"], **a),
    "adaptive_avg_pool2d": lambda t, a: F.adaptive_avg_pool2d(t["input"], a["output_size"]),
    "where": lambda t, a: torch.where(t["condition"] != 0, t["input"], t["other"]),
    "prelu": lambda t, a: F.prelu(t["input"], t["weight"]),
    "cat": lambda t, a: torch.cat((t["input"], t["other"]), **a),
    "stack": lambda t, a: torch.stack((t["input"], t["other"]), **a),
    "chunk": lambda t, a: torch.chunk(t["input"], **a)[1],
    "reshape": lambda t, a: t["input"].reshape(a["shape"]),
    "index_select": lambda t, a: torch.index_select(t["input"], a["dim"], t["index"]),
    "norm": lambda t, a: torch.linalg.vector_norm(t["input"], 2, **a),
    "var": lambda t, a: torch.var(t["input"], **a),
    "conv1d": lambda t, a: F.conv1d(t["input"], t["weight"], t.get("bias"), **a),
    "interpolate": lambda t, a: F.interpolate(t["input"], **a),
    "max_pool2d": lambda t, a: F.max_pool2d(t["input"], **a),
    "avg_pool2d": lambda t, a: F.avg_pool2d(t["input"], **a),
    # In double, PyTorch multiplies the gradient by a sixth in float.
    "hardsigmoid": lambda t, a: (t["input"] / 6 + 0.5).clamp(0, 1),
    "subsample": lambda t, a: t["input"][:, :, ::a["stride"], ::a["stride"]],
    "dropout": lambda t, a: F.dropout(t["input"], **a),
}


LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div",
          "binary_cross_entropy_with_logits")
CLASS_LOSSES = ("cross_entropy", "nll_loss")
REFERENCE.update((op, loss(op)) for op in LOSSES + CLASS_LOSSES)


def by_name(op):
    """The function of torch.nn.functional, or of torch, that has an op's name."""
    function = getattr(torch, op, None) or getattr(F, op)
    return lambda t, a: function(*t.values(), **a)


NOT_DIFFERENTIABLE = ("running_mean", "running_var")


def reference(op, attributes, arrays, dtype):
    """All that OUT should hold, as float64 arrays; `arrays` has no grad_output where only the
    output's shape is wanted."""
    tensors = {n: torch.from_numpy(a.copy()) for n, a in driver.cast(arrays, dtype).items()}
    grad_output = tensors.pop("grad_output", None)
    wanted = [n for n, t in tensors.items()
              if n not in NOT_DIFFERENTIABLE and t.is_floating_point()]
    for name in wanted:
        tensors[name].requires_grad_()
    output = REFERENCE[op](tensors, attributes)
    results = {"output": output.detach()}
    if grad_output is not None:
        output.backward(grad_output.reshape(output.shape))
        results.update((f"grad_{n}", tensors[n].grad) for n in wanted)
    if op == "batch_norm" and attributes["training"]:
        results.update((n, tensors[n]) for n in ("running_mean", "running_var"))
    return {n: t.double().numpy() for n, t in results.items()}


# --- Shapes and attributes -----------------------------------------------------------------------
# Of each op: a function of a random generator and the case's number that returns the attributes and
# the inputs' shapes. The numbers in the lists are the cases chosen by hand.


def pair(value):
    return list(value) if isinstance(value, (list, tuple)) else [value, value]


def int_or_pair(rng, low, high):
    """A number or a pair of numbers, low to high."""
    drawn = [int(v) for v in rng.integers(low, high + 1, 2)]
    return drawn[0] if rng.random() < 0.5 else drawn


CHANNELS = (1, 2, 3, 5, 7, 8, 12, 15, 16, 17, 31, 33, 36, 47, 48, 65, 72, 100)


def draw_channels(rng):
    return int(rng.choice(CHANNELS))


def draw_map(rng, high=20):
    """N, H, W."""
    return int(rng.integers(1, 4)), int(rng.integers(1, high)), int(rng.integers(1, high))


CONV2D = [  # input's shape, output channels, kernel, stride, padding, groups
    ((2, 3, 32, 32), 36, 4, 4, 0, 1),  # the model's own: both embeddings, 3x3, 5x5, 1x1
    ((2, 36, 16, 16), 72, 2, 2, 0, 1),
    ((2, 36, 14, 14), 36, 3, 1, 1, 36),
    ((2, 48, 14, 14), 48, 5, 1, 2, 48),
    ((1, 72, 28, 28), 288, 1, 1, 0, 1),
    ((1, 1, 1, 1), 1, 1, 1, 0, 1),
    ((2, 17, 1, 1), 17, 3, 1, 1, 17),  # the map smaller than the kernel
    ((1, 5, 2, 3), 5, 5, 1, 2, 5),
    ((3, 4, 1, 2), 6, 3, 1, 1, 1),
    ((2, 3, 7, 10), 13, 2, 2, 0, 1),  # rows and columns that no window covers
    ((2, 13, 9, 8), 19, 1, 2, 0, 1),  # 1x1, but not one product over all rows
    ((2, 13, 5, 4), 19, 1, 1, 1, 1),
    ((2, 9, 8, 7), 6, 3, 1, 1, 3),  # groups neither 1 nor all; two outputs a channel
    ((2, 7, 8, 9), 14, 3, 2, 1, 7),
    ((2, 5, 9, 12), 8, (3, 5), (2, 1), (0, 2), 1),
    ((2, 33, 11, 6), 33, (5, 3), (1, 2), (3, 0), 33),
    ((2, 24, 13, 13), 24, 7, 1, 3, 24),
    ((1, 65, 9, 9), 65, 3, 2, 1, 65),
    ((2, 64, 13, 14), 48, 3, 1, 1, 1),  # by Winograd's way
    ((1, 256, 14, 14), 256, 3, 1, 1, 1),
    ((1, 32, 17, 20), 128, 3, 1, (0, 2), 1),
]


def draw_conv2d(rng, i):
    if i < len(CONV2D):
        shape, c_out, kernel, stride, padding, groups = CONV2D[i]
        dilation = 1
    else:
        while True:
            n, h, w = draw_map(rng)
            kernel, stride = pair(int_or_pair(rng, 1, 5)), int_or_pair(rng, 1, 3)
            padding, groups = int_or_pair(rng, 0, 2), int(rng.integers(1, 4))
            c_in, c_out = groups * draw_channels(rng), groups * draw_channels(rng)
            dilation = int_or_pair(rng, 1, 3) if rng.random() < 0.3 else 1
            if rng.random() < 0.5:  # depth-wise
                groups = c_out = c_in
            shape = (n, c_in, h, w)
            spans = [(k - 1) * d + 1 for k, d in zip(kernel, pair(dilation))]
            if all(s + 2 * p >= k for s, p, k in zip((h, w), pair(padding), spans)):
                break
    shapes = dict(input=shape, weight=(c_out, shape[1] // groups, *pair(kernel)))
    if rng.random() < 0.75:
        shapes["bias"] = (c_out,)
    return dict(stride=stride, padding=padding, dilation=dilation, groups=groups), shapes


def draw_pool2d(rng, op):
    """Windows of max_pool2d and avg_pool2d: in gaps, overlapping, padded, to the ceiling."""
    while True:
        n, h, w = draw_map(rng)
        kernel = int_or_pair(rng, 1, 5)
        a = dict(kernel_size=kernel, ceil_mode=bool(rng.random() < 0.5),
                 padding=[int(rng.integers(0, k // 2 + 1)) for k in pair(kernel)])
        if rng.random() < 0.7:
            a["stride"] = int_or_pair(rng, 1, 4)
        dilation = [1, 1]
        if op == "max_pool2d":
            a["dilation"] = int_or_pair(rng, 1, 3) if rng.random() < 0.3 else 1
            dilation = pair(a["dilation"])
        else:
            a["count_include_pad"] = bool(rng.random() < 0.5)
        spans = [(k - 1) * d + 1 for k, d in zip(pair(kernel), dilation)]
        if all(s + 2 * p >= k for s, p, k in zip((h, w), a["padding"], spans)):
            return a, dict(input=(n, draw_channels(rng), h, w))


CONV_TRANSPOSE2D = [  # input's shape, kernel, stride, padding, output padding
    ((2, 36, 14, 14), 4, 4, 0, 0),  # the model's own
    ((2, 72, 7, 7), 2, 2, 0, 0),
    ((1, 1, 1, 1), 1, 1, 0, 0),
    ((1, 5, 1, 3), 3, 3, 0, 0),
    ((2, 17, 4, 5), 3, 2, 1, 1),  # windows that overlap
    ((2, 33, 5, 3), 2, 3, 0, 0),  # gaps between the windows
    ((2, 12, 5, 4), (3, 2), (1, 2), (1, 0), (0, 1)),
    ((1, 240, 4, 3), 2, 2, 0, 0),
]


def draw_conv_transpose2d(rng, i):
    if i < len(CONV_TRANSPOSE2D):
        shape, kernel, stride, padding, output_padding = CONV_TRANSPOSE2D[i]
        groups, group_out, dilation = shape[1], 1, 1
    else:
        while True:
            n, h, w = draw_map(rng, 12)
            shape = (n, draw_channels(rng), h, w)
            kernel, stride = pair(int_or_pair(rng, 1, 4)), int_or_pair(rng, 1, 4)
            groups, group_out, dilation = shape[1], 1, 1
            if rng.random() < 0.5:  # not depth-wise
                groups = int(rng.integers(1, 4))
                shape = (n, groups * draw_channels(rng), h, w)
                group_out = draw_channels(rng)
                dilation = int_or_pair(rng, 1, 3) if rng.random() < 0.3 else 1
            elif rng.random() < 0.5:  # as in the model
                kernel, padding, output_padding = pair(stride), 0, 0
                break
            padding = int_or_pair(rng, 0, 1)
            output_padding = [int(rng.integers(0, s)) for s in pair(stride)]
            if all((m - 1) * s - 2 * p + d * (k - 1) + 1 + o > 0 for m, s, p, d, k, o in zip(
                    (h, w), pair(stride), pair(padding), pair(dilation), kernel, output_padding)):
                break
    shapes = dict(input=shape, weight=(shape[1], group_out, *pair(kernel)))
    if rng.random() < 0.75:
        shapes["bias"] = (group_out * groups,)
    return dict(stride=stride, padding=padding, output_padding=output_padding, groups=groups,
                dilation=dilation), shapes


def draw_conv1d(rng, i):
    while True:
        groups, kernel, padding = int(rng.integers(1, 4)), *(int(v) for v in rng.integers(0, 5, 2))
        dilation, length = (int(v) for v in rng.integers(1, (4, 40)))
        kernel += 1
        if length + 2 * padding >= (kernel - 1) * dilation + 1:
            break
    c_in, c_out = groups * draw_channels(rng), groups * draw_channels(rng)
    shapes = dict(input=(int(rng.integers(1, 4)), c_in, length),
                  weight=(c_out, c_in // groups, kernel))
    if rng.random() < 0.75:
        shapes["bias"] = (c_out,)
    return dict(stride=int(rng.integers(1, 4)), padding=padding, dilation=dilation,
                groups=groups), shapes


def draw_interpolate(rng, i):
    while True:
        n, h, w = draw_map(rng)
        a = dict(mode="bilinear" if rng.random() < 0.6 else "nearest")
        if a["mode"] == "bilinear":
            a["align_corners"] = bool(rng.random() < 0.5)
        if rng.random() < 0.5:
            a["size"] = int_or_pair(rng, 1, 30)
        else:  # some of them whole numbers
            a["scale_factor"] = [float(v) for v in rng.choice(
                (0.3, 0.5, 0.77, 1.0, 1.05, 1.5, 2.0, 2.3, 3.0, 3.05), 2)]
            sizes = [(s, f, int(s * f)) for s, f in zip((h, w), a["scale_factor"])]
            # PyTorch before 2 heeds such a factor even where the size stays or is doubled.
            if any(out < 1 or (out == s) != (f == 1) or (out == 2 * s) != (f == 2)
                   for s, f, out in sizes):
                continue
        return a, dict(input=(n, draw_channels(rng), h, w))


LINEAR = [  # input's shape, output features
    ((2, 49, 36), 108), ((5, 288), 10), ((2, 7, 7, 48), 48), ((1, 1), 1), ((1, 1), 37),
    ((64, 1), 1), ((1, 129), 1), ((3, 17), 65), ((197, 31), 15), ((9, 100), 200),
]


def draw_linear(rng, i):
    if i < len(LINEAR):
        shape, features = LINEAR[i]
    else:
        lead = [int(v) for v in rng.integers(1, 40, int(rng.integers(1, 3)))]
        shape, features = (*lead, draw_channels(rng)), draw_channels(rng)
    shapes = dict(input=shape, weight=(features, shape[-1]))
    if rng.random() < 0.75:
        shapes["bias"] = (features,)
    return {}, shapes


def draw_eps(rng):
    return float(rng.choice([1e-5, 1e-5, 1e-6, 1e-3]))


def norm_shapes(shape, channels, *more):
    return dict({"input": shape}, **{n: (channels,) for n in (*more, "weight", "bias")})


GROUP_NORM = [  # input's shape, groups
    ((2, 36, 14, 14), 3), ((2, 48, 7, 7), 4), ((2, 72, 7, 7), 1), ((1, 1, 3, 2), 1),
    ((3, 5, 4, 3), 5), ((2, 24, 1, 1), 2), ((2, 21, 5, 1), 3), ((1, 240, 3, 3), 20),
]


def draw_group_norm(rng, i):
    if i < len(GROUP_NORM):
        shape, groups = GROUP_NORM[i]
    else:
        while True:
            n, h, w = draw_map(rng)
            groups, width = int(rng.integers(1, 9)), int(rng.integers(1, 20))
            shape = (n, groups * width, h, w)
            if width * h * w >= 4:
                break
    return dict(num_groups=groups, eps=draw_eps(rng)), norm_shapes(shape, shape[1])


LAYER_NORM = [(2, 196, 36), (2, 7, 7, 48), (3, 384), (1, 4), (5, 3), (4, 5, 17), (1, 1, 1, 33)]


def draw_layer_norm(rng, i):
    if i < len(LAYER_NORM):
        shape = LAYER_NORM[i]
    else:
        lead = [int(v) for v in rng.integers(1, 20, int(rng.integers(1, 4)))]
        shape = (*lead, int(rng.integers(4, 130)))
    return dict(eps=draw_eps(rng)), norm_shapes(shape, shape[-1])


INSTANCE_NORM = [(2, 36, 14, 14), (1, 1, 2, 2), (3, 17, 1, 9), (2, 72, 7, 7), (1, 65, 2, 3)]


def draw_instance_norm(rng, i):
    if i < len(INSTANCE_NORM):
        shape = INSTANCE_NORM[i]
    else:
        while True:
            n, h, w = draw_map(rng)
            shape = (n, draw_channels(rng), h, w)
            if h * w >= 4:
                break
    return dict(eps=draw_eps(rng)), norm_shapes(shape, shape[1])


BATCH_NORM = [  # input's shape, training
    ((4, 36, 14, 14), True), ((4, 36, 14, 14), False), ((2, 288, 2, 2), True),
    ((1, 1, 1, 1), False), ((1, 1, 2, 3), True), ((4, 17, 1, 1), True), ((3, 33, 5, 7), True),
    ((3, 33, 5, 7), False),
]


def draw_batch_norm(rng, i):
    if i < len(BATCH_NORM):
        shape, training = BATCH_NORM[i]
    else:
        training = bool(rng.random() < 0.6)
        while True:
            n, h, w = draw_map(rng)
            shape = (n, draw_channels(rng), h, w)
            if not training or n * h * w >= 4:
                break
    momentum = float(rng.choice([0.1, 0.1, 0.3, 1.0]))
    return (dict(training=training, momentum=momentum, eps=draw_eps(rng)),
            norm_shapes(shape, shape[1], "running_mean", "running_var"))


MAPS = [(2, 36, 14, 14), (1, 1, 1, 1), (3, 5, 1, 7), (2, 17, 9, 6), (1, 100, 3, 3), (5, 33),
        (2, 49, 7)]


def draw_shape(rng, i):
    """For ops that take a tensor of any rank element by element."""
    if i < len(MAPS):
        return MAPS[i]
    n, h, w = draw_map(rng)
    return (n, draw_channels(rng), h, w)


def draw_nchw(rng, i):
    shape = draw_shape(rng, i)
    return (*shape, 1, 1)[:4]


ATTENTION = [  # N, heads, L, E
    (2, 1, 196, 36), (1, 2, 196, 48), (2, 4, 49, 36), (1, 8, 49, 48), (1, 1, 1, 1), (2, 3, 1, 7),
    (1, 1, 5, 1), (2, 2, 3, 17), (1, 3, 65, 33), (1, 1, 257, 16),
]


def draw_attention(rng, i):
    if i < len(ATTENTION):
        shape = ATTENTION[i]
    else:
        shape = tuple(int(rng.integers(1, high)) for high in (4, 6, 80, 70))
    n, heads, length, width = shape
    keys = shape if i % 2 == 0 else (n, heads, int(rng.integers(1, 80)), width)
    shapes = dict(query=shape, key=keys, value=keys)
    if i % 4 == 3:
        mask = (n, heads, length, keys[2])
        # One number for all keys would change nothing, and its gradient be rounding alone.
        shapes["attn_mask"] = (*(1 if rng.random() < 0.4 else m for m in mask[:3]), mask[3])
    bool_mask = i % 8 == 3
    return dict(is_causal=bool(i % 3 == 2), bool_mask=bool_mask), shapes


def draw_matmul(rng, i):
    m, k, n = (int(rng.choice([1, 2, 3, 5, 8, 17, 33, 64, 100])) for _ in range(3))
    if i % 8 == 7:
        return {}, [dict(input=(k,), other=(k,)), dict(input=(k,), other=(3, k, n)),
                    dict(input=(2, m, k), other=(k,))][int(rng.integers(0, 3))]
    batch = [int(v) for v in rng.integers(1, 5, int(rng.integers(0, 5)))]

    def part():
        own = [1 if rng.random() < 0.3 else v for v in batch]
        return own[int(rng.integers(0, len(own) + 1)) if rng.random() < 0.3 else 0:]
    return {}, dict(input=(*part(), m, k), other=(*part(), k, n))


def draw_softmax(rng, i):
    shape = draw_shape(rng, i)
    return dict(dim=int(rng.integers(-len(shape), len(shape)))), dict(input=shape)


def draw_rms_norm(rng, i):
    attributes, shapes = draw_layer_norm(rng, i)
    del shapes["bias"]
    return attributes, shapes


def draw_loss(op):
    def draw(rng, i):
        shape = draw_shape(rng, i)
        attributes = dict(reduction=["mean", "sum", "none"][i % 3])
        if op == "smooth_l1_loss":
            attributes["beta"] = float(rng.choice([0, 0.3, 1, 2]))
        if op == "huber_loss":
            attributes["delta"] = float(rng.choice([0.3, 1, 2]))
        if op == "kl_div":
            attributes["log_target"] = bool(rng.random() < 0.5)
        if op == "binary_cross_entropy_with_logits" and rng.random() < 0.5:
            attributes["pos_weight"] = [float(v) for v in rng.uniform(0.1, 4, shape[-1])]
        return attributes, dict(input=shape, target=shape)
    return draw


def draw_embedding(rng, i):
    rows, columns = int(rng.integers(1, 60)), draw_channels(rng)
    indices = tuple(int(v) for v in rng.integers(1, 12, int(rng.integers(1, 4))))
    attributes = dict(padding_idx=int(rng.integers(0, rows))) if i % 2 else {}
    return attributes, dict(input=indices, weight=(rows, columns))


def draw_recurrent(op):
    def draw(rng, i):
        samples, steps = int(rng.integers(1, 40)), int(rng.integers(1, 12))
        hidden, batch_first = int(rng.choice([1, 3, 8, 16, 17, 40, 70])), bool(rng.random() < 0.6)
        width = (4 if op == "lstm" else 3) * hidden
        shapes = dict(input=(samples, steps, width) if batch_first else (steps, samples, width),
                      weight=(width, hidden))
        if rng.random() < 0.7:
            shapes["bias"] = (width,)
        if rng.random() < 0.5:
            shapes["h0"] = (samples, hidden)
            if op == "lstm":
                shapes["c0"] = (samples, hidden)
        return dict(batch_first=batch_first), shapes
    return draw


def draw_topk(rng, i):
    shape = draw_shape(rng, i)
    dim = int(rng.integers(-len(shape), len(shape)))
    return (dict(k=int(rng.integers(1, shape[dim] + 1)), dim=dim, largest=bool(rng.random() < 0.5)),
            dict(input=shape))


def draw_cosine_similarity(rng, i):
    shape = list(draw_shape(rng, i))
    dim = int(rng.integers(-len(shape), len(shape)))
    shape[dim] = max(shape[dim], 2)  # of one number each the similarity is constant
    return dict(dim=dim), dict(x1=tuple(shape), x2=tuple(shape))


def draw_triplet_margin_loss(rng, i):
    shape = (int(rng.integers(1, 30)), int(rng.integers(1, 100)))
    attributes = dict(margin=float(rng.choice([0.2, 1, 5])), p=float(rng.choice([1, 2, 2, 3])),
                      swap=bool(rng.random() < 0.5), reduction=["mean", "sum", "none"][i % 3])
    return attributes, dict.fromkeys(("anchor", "positive", "negative"), shape)


CROSS_ENTROPY = [(4, 10), (128, 102), (1, 2), (7, 1000), (1, 17), (33, 3)]  # input's shape


def draw_cross_entropy(rng, i):
    if i < len(CROSS_ENTROPY):
        shape = CROSS_ENTROPY[i]
    else:
        shape = (int(rng.integers(1, 70)), int(rng.integers(2, 150)))
    attributes = dict(label_smoothing=float(rng.choice([0.0, 0.1, 0.3])))
    if rng.random() < 0.4:
        attributes["weight"] = [float(v) for v in rng.uniform(0.1, 4, shape[1])]
    if rng.random() < 0.4 and shape[0] > 8:
        attributes["ignore_index"] = int(rng.integers(0, shape[1]))
    if i >= len(CROSS_ENTROPY):
        attributes["reduction"] = ["mean", "sum", "none"][i % 3]
        if i % 4 == 3:
            shape = (*shape[:2], 3, 2)
    return attributes, dict(input=shape, target=(shape[0], *shape[2:]))


def draw_nll_loss(rng, i):
    attributes, shapes = draw_cross_entropy(rng, i)
    del attributes["label_smoothing"]
    return attributes, shapes


def draw_tensor(rng, rank=None, high=9):
    """A shape of a few small axes; a long one now and then."""
    rank = int(rng.integers(1, 5)) if rank is None else rank
    shape = [int(v) for v in rng.integers(1, high, rank)]
    if rng.random() < 0.3:
        shape[int(rng.integers(0, rank))] = int(rng.integers(10, 300))
    return tuple(shape)


def draw_axis(rng, rank):
    return int(rng.integers(-rank, rank))


def draw_pair(rng):
    """Shapes that are broadcast: axes of extent 1, or none in front."""
    whole = draw_tensor(rng)

    def part():
        shape = [1 if rng.random() < 0.3 else extent for extent in whole]
        return tuple(shape[int(rng.integers(0, len(shape) + 1)):] if rng.random() < 0.3 else shape)

    pair = [whole, part()] if rng.random() < 0.6 else [part(), part()]
    return dict(zip(("input", "other"), pair if rng.random() < 0.5 else pair[::-1]))


def draw_where(rng, i):
    shapes = draw_pair(rng)
    whole = np.broadcast_shapes(*shapes.values())
    condition = [1 if rng.random() < 0.3 else extent for extent in whole]
    return {}, dict(condition=tuple(condition[int(rng.integers(0, 2)):]), **shapes)


def draw_arithmetic(rng, i):
    if i % 4 == 0:
        return dict(other=float(rng.choice([-1, 1]) * rng.uniform(0.3, 2))), dict(
            input=draw_tensor(rng))
    return {}, draw_pair(rng)


def draw_prelu(rng, i):
    n, h, w = draw_map(rng)
    channels = draw_channels(rng)
    return {}, dict(input=(n, channels, h, w), weight=(channels if i % 2 else 1,))


def draw_reduction(rng, i):
    shape = draw_tensor(rng)
    count = int(rng.integers(1, len(shape) + 1))
    dims = [int(v) for v in rng.permutation(len(shape))[:count]]
    if i % 5 == 0:
        shape, dims = (3, 1 + int(rng.integers(2, 40)) * 100, 2), [1]
    extent = int(np.prod([shape[d] for d in dims]))
    if extent < 2:
        shape, dims = (2, 3), [1]
    return dict(dim=dims, keepdim=bool(rng.random() < 0.5)), dict(input=shape)


def draw_permute(rng, i):
    shape = draw_tensor(rng)
    return dict(dims=[int(v) for v in rng.permutation(len(shape))]), dict(input=shape)


def draw_transpose(rng, i):
    shape = draw_tensor(rng)
    return (dict(dim0=draw_axis(rng, len(shape)), dim1=draw_axis(rng, len(shape))),
            dict(input=shape))


def draw_narrow(rng, i):
    shape = draw_tensor(rng)
    dim = draw_axis(rng, len(shape))
    start = int(rng.integers(0, shape[dim]))
    return (dict(dim=dim, start=start, length=int(rng.integers(1, shape[dim] - start + 1))),
            dict(input=shape))


def draw_cat(rng, i):
    shape = list(draw_tensor(rng))
    dim, other = draw_axis(rng, len(shape)), list(shape)
    other[dim] = int(rng.integers(1, 9))
    return dict(dim=dim), dict(input=tuple(shape), other=tuple(other))


def draw_stack(rng, i):
    shape = draw_tensor(rng)
    return dict(dim=draw_axis(rng, len(shape) + 1)), dict(input=shape, other=shape)


def draw_chunk(rng, i):
    shape = list(draw_tensor(rng))
    dim = draw_axis(rng, len(shape))
    shape[dim] += 1
    return dict(chunks=int(rng.integers(2, shape[dim] + 1)), dim=dim), dict(input=tuple(shape))


def draw_pixel_shuffle(rng, i):
    n, h, w = draw_map(rng, 8)
    r = int(rng.integers(1, 4))
    return dict(upscale_factor=r), dict(input=(n, r * r * int(rng.integers(1, 9)), h, w))


def draw_index_select(rng, i):
    shape = draw_tensor(rng)
    return dict(dim=draw_axis(rng, len(shape))), dict(input=shape,
                                                      index=(int(rng.integers(1, 20)),))


def draw_pad(rng, i):
    n, h, w = draw_map(rng, 12)
    mode = ("constant", "reflect", "replicate")[i % 3]
    most = {"constant": (7, 7), "reflect": (w, h), "replicate": (9, 9)}[mode]
    pad = [int(rng.integers(0, most[side // 2])) for side in range(4)]
    attributes = dict(pad=pad, mode=mode)
    if mode == "constant":
        attributes["value"] = float(rng.normal())
    return attributes, dict(input=(n, draw_channels(rng), h, w))


DRAW = {
    "conv2d": draw_conv2d,
    "conv_transpose2d": draw_conv_transpose2d,
    "linear": draw_linear,
    "group_norm": draw_group_norm,
    "layer_norm": draw_layer_norm,
    "instance_norm": draw_instance_norm,
    "batch_norm": draw_batch_norm,
    "scaled_dot_product_attention": draw_attention,
    "cross_entropy": draw_cross_entropy,
    "nll_loss": draw_nll_loss,
    "matmul": draw_matmul,
    "softmax": draw_softmax,
    "log_softmax": draw_softmax,
    "rms_norm": draw_rms_norm,
    "gru": draw_recurrent("gru"),
    "lstm": draw_recurrent("lstm"),
    "embedding": draw_embedding,
    "topk": draw_topk,
    "cosine_similarity": draw_cosine_similarity,
    "triplet_margin_loss": draw_triplet_margin_loss,
    **{op: draw_loss(op) for op in LOSSES},
    **dict.fromkeys(("add", "sub", "mul", "div"), draw_arithmetic),
    **dict.fromkeys(("maximum", "minimum"), lambda rng, i: ({}, draw_pair(rng))),
    "where": draw_where,
    "prelu": draw_prelu,
    **dict.fromkeys(("sum", "mean", "amax", "amin", "norm", "var"), draw_reduction),
    "permute": draw_permute,
    "transpose": draw_transpose,
    "reshape": lambda rng, i: (dict(shape=[-1, int(rng.integers(1, 2))]),
                               dict(input=draw_tensor(rng))),
    "narrow": draw_narrow,
    "cat": draw_cat,
    "stack": draw_stack,
    "chunk": draw_chunk,
    "pixel_shuffle": draw_pixel_shuffle,
    "index_select": draw_index_select,
    "pad": draw_pad,
    "adaptive_avg_pool2d": lambda rng, i: (
        dict(output_size=int_or_pair(rng, 1, 9) if i % 2 else 1), dict(input=draw_nchw(rng, i))),
    "conv1d": draw_conv1d,
    "interpolate": draw_interpolate,
    "max_pool2d": lambda rng, i: draw_pool2d(rng, "max_pool2d"),
    "avg_pool2d": lambda rng, i: draw_pool2d(rng, "avg_pool2d"),
    "subsample": lambda rng, i: (dict(stride=int(rng.integers(1, 5))),
                                 dict(input=draw_nchw(rng, i))),
    "dropout": lambda rng, i: (dict(p=float(rng.random()), training=False),
                               dict(input=draw_shape(rng, i))),
}


# Rows of elementwise ops, by op: filled by read_cases.
ROWS = {}


def read_cases(run_op):
    for row in json.loads(driver.run([run_op, "--cases"])):
        if row["elementwise"]:
            ROWS.setdefault(row["op"], []).append(row)
    for op in ROWS:
        DRAW[op] = lambda rng, i, rows=ROWS[op]: (rows[i % len(rows)]["attributes"],
                                                  dict(input=draw_shape(rng, i)))


def draw_case(op, seed, i):
    """Attributes and arrays (float64, int64), the gradient of the output among them."""
    rng = np.random.default_rng([seed, zlib.crc32(op.encode()), i])
    attributes, shapes = DRAW[op](rng, i)
    arrays = {n: np.asarray(rng.normal(size=shape)) for n, shape in shapes.items()}
    if op in ROWS:
        low, high = (ROWS[op][i % len(ROWS[op])][name] for name in ("low", "high"))
        if low < high:
            arrays["input"] = rng.uniform(low, high, shapes["input"])
    # Now and then numbers of another size: a mean far from 0 before a norm, which a variance of the
    # form E[x^2] - E[x]^2 does not survive, and large arguments of exponentials.
    if op.endswith("_norm"):
        arrays["input"] = rng.choice([0.5, 1.0, 4.0]) * arrays["input"] + rng.choice([0, 0, 0, 30])
        arrays["weight"] = 1 + 0.3 * arrays["weight"]
    elif op == "binary_cross_entropy_with_logits":
        arrays["input"] *= rng.choice([1.0, 3.0, 30.0])
        arrays["target"] = rng.random(shapes["target"])
    elif op == "kl_div":
        arrays["target"] = np.log(rng.random(shapes["target"])) if attributes["log_target"] \
            else rng.random(shapes["target"])
    elif op in ("softmax", "log_softmax"):
        arrays["input"] *= rng.choice([1.0, 3.0, 300.0])
    elif op in ("gelu", "cross_entropy"):
        arrays["input"] *= rng.choice([1.0, 3.0, 30.0])
        # GELU is all cancellation where x is far below 0: the largest element is not to be there.
        arrays["input"].flat[0] = abs(arrays["input"].flat[0])
    elif op == "scaled_dot_product_attention":
        arrays["query"] *= rng.choice([1.0, 1.0, 10.0])
        if attributes["bool_mask"]:  # every query sees a key: where none is, PyTorch has NaN
            arrays["attn_mask"] = rng.integers(0, 2, shapes["attn_mask"])
            arrays["attn_mask"][..., 0] = 1
    elif op == "where":
        arrays["condition"] = rng.integers(0, 2, shapes["condition"])
    if op == "div" and "other" in arrays:
        arrays["other"] = np.asarray(np.sign(arrays["other"]) * (0.3 + np.abs(arrays["other"])))
    if "index" in arrays:
        arrays["index"] = rng.integers(0, shapes["input"][attributes["dim"]], shapes["index"])
    if "running_var" in arrays:
        arrays["running_var"] = 0.5 + rng.random(shapes["running_var"])
    if op in ("gru", "lstm"):
        arrays["weight"] *= 0.5
    if op == "embedding":
        arrays["input"] = rng.integers(0, shapes["weight"][0], shapes["input"])
    if op in CLASS_LOSSES:
        arrays["target"] = rng.integers(0, shapes["input"][1], shapes["target"])
    output = reference(op, attributes, arrays, "float64")["output"]
    arrays["grad_output"] = rng.normal(size=output.shape or (1,))
    return attributes, arrays


# --- Comparing -----------------------------------------------------------------------------------


class Tally:
    """Of one op and dtype: the worst error, PyTorch's own, and what went wrong."""

    def __init__(self):
        self.worst = self.torch_worst = 0.0
        self.cases = self.failed = self.granted = 0


def compare(run_op, op, attributes, arrays, dtype, tally):
    """Returns what is wrong with a case, or None."""
    tally.cases += 1
    arrays = driver.cast(arrays, dtype)
    truth = reference(op, attributes, arrays, "float64")
    single = reference(op, attributes, arrays, "float32")
    epsilon = np.finfo(dtype).eps / np.finfo("float32").eps  # of the dtype, against float32's
    largest = max(map(driver.largest, truth.values()))
    try:
        results = driver.call([run_op, op, json.dumps(attributes)], arrays, dtype)
        granted = False
        for name, expected in truth.items():
            got = driver.fetch(results, name, expected.shape, dtype)
            scale = max(driver.largest(expected), 1e-2 * largest) or 1.0
            error = driver.difference(got, expected) / scale
            torch_error = epsilon * driver.difference(single[name], expected) / scale
            tally.worst = max(tally.worst, error)
            if dtype == "float32":
                tally.torch_worst = max(tally.torch_worst, torch_error)
            if not error <= max(TOLERANCE[dtype], 4 * torch_error):
                where = np.unravel_index(np.argmax(np.abs(got - expected)), got.shape)
                raise driver.RunError(
                    f"{name}{[int(k) for k in where]}: expected {float(expected[where]):.9g}, got "
                    f"{float(got[where]):.9g} (off by {error:.1e} of the largest)")
            granted = granted or error > TOLERANCE[dtype]
        tally.granted += granted
    except driver.RunError as e:
        tally.failed += 1
        return str(e)
    return None


def describe(attributes, arrays):
    shapes = ", ".join(f"{n} {list(a.shape)}" for n, a in arrays.items())
    return f"{json.dumps(attributes)} {shapes}"


def main():
    p = argparse.ArgumentParser(description="Compares the engine's ops with PyTorch's.")
    p.add_argument("--ops", help="separated by commas (default: all)")
    p.add_argument("--cases", type=int, default=24, help="of each op (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--run-op", type=pathlib.Path, default=driver.default_program("run_op"),
                   metavar="PATH", help="default: %(default)s")
    p.add_argument("--keep", type=pathlib.Path, metavar="DIR",
                   help="write the inputs of failed cases there")
    a = p.parse_args()
    driver.check_program(a.run_op)
    read_cases(a.run_op)
    for op in DRAW:
        if op not in REFERENCE:
            REFERENCE[op] = by_name(op)
    ops = a.ops.split(",") if a.ops else list(DRAW)
    unknown = [op for op in ops if op not in DRAW]
    if unknown or a.cases < 1:
        p.error(f"no op {', '.join(unknown)}; there are {', '.join(DRAW)}" if unknown
                else "--cases must be at least 1")
    torch.set_num_threads(1)

    print(f"{'op':<29} {'cases':>5} {'float32':>9} {'(PyTorch)':>9} {'float64':>9} {'granted':>7} "
          f"{'failed':>6}")
    failures = 0
    for op in ops:
        tallies, messages = {dtype: Tally() for dtype in TOLERANCE}, []
        for i in range(a.cases):
            attributes, arrays = draw_case(op, a.seed, i)
            for dtype, tally in tallies.items():
                wrong = compare(a.run_op, op, attributes, arrays, dtype, tally)
                if wrong is None:
                    continue
                messages.append(f"case {i} {dtype} {describe(attributes, arrays)}\n      {wrong}")
                if a.keep:
                    a.keep.mkdir(parents=True, exist_ok=True)
                    path = a.keep / f"{op}-{i}-{dtype}.safetensors"
                    tensorfile.save(path, driver.cast(arrays, dtype))
                    messages[-1] += (f"\n      {a.run_op} {op} '{json.dumps(attributes)}' {path} "
                                     f"out.safetensors --dtype {dtype}")
        single, double = tallies.values()
        failed = single.failed + double.failed
        failures += failed
        print(f"{op:<29} {a.cases:>5} {single.worst:>9.1e} {single.torch_worst:>9.1e} "
              f"{double.worst:>9.1e} {single.granted + double.granted:>7} {failed:>6}", flush=True)
        for message in messages[:3]:
            print(f"    {message}")
        if len(messages) > 3:
            print(f"    and {len(messages) - 3} more")
    total = 2 * a.cases * len(ops)
    print(f"{total - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
