#!/usr/bin/env python3
"""Writes jpeg_samples.hpp: small JPEG files of noise over a pattern, of every kind of sampling, and a
digest of the pixels that Pillow (with libjpeg-turbo) makes of each. Needs Pillow of 2023 or later.
Run it in this folder; the output is committed."""
import io
import random

from PIL import Image


def picture(width, height, seed):
    noise = random.Random(seed)
    data = bytes(max(0, min(255, (x * 9 + y * 5 + c * 80) % 256 + noise.randint(-40, 40)))
                 for y in range(height) for x in range(width) for c in range(3))
    return Image.frombytes("RGB", (width, height), data)


def saved(width, height, mode="RGB", sampling=None, quality=80, **options):
    """sampling: luma's, as the file is to state it instead of its own, of as many blocks."""
    out = io.BytesIO()
    picture(width, height, width * 100 + height).convert(mode).save(
        out, "JPEG", optimize=True, quality=quality, **options)
    data = bytearray(out.getvalue())
    if sampling:
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        data[frame + 11] = sampling
    return bytes(data)


def digest(data):
    """FNV-1a of the pixels."""
    value = 14695981039346656037
    for level in Image.open(io.BytesIO(data)).convert("RGB").tobytes():
        value = (value ^ level) * 1099511628211 % 2**64
    return value


def main():
    samples = {}
    for size in ((1, 1), (2, 3), (3, 2), (5, 17), (23, 9), (40, 33)):
        name = f"{size[0]} x {size[1]}"
        samples[f"4:2:0, {name}"] = saved(*size, subsampling=2)
        samples[f"4:2:2, {name}"] = saved(*size, subsampling=1)
    samples |= {
        "4:4:4": saved(19, 13, subsampling=0),
        "4:4:4, progressive": saved(19, 13, subsampling=0, progressive=True),
        "4:2:0, progressive": saved(37, 21, subsampling=2, progressive=True),
        "4:2:2, progressive": saved(37, 21, subsampling=1, progressive=True),
        "4:2:0, restarts": saved(37, 21, subsampling=2, restart_marker_blocks=2),
        "4:2:0, quality 1": saved(24, 24, subsampling=2, quality=1),
        "4:2:0, quality 100": saved(17, 9, subsampling=2, quality=100),
        "4:4:0": saved(24, 24, subsampling=1, sampling=0x12),
        "4:1:1": saved(32, 32, subsampling=2, sampling=0x41),
        "1 x 4": saved(32, 32, subsampling=2, sampling=0x14),
        "grey": saved(21, 11, "L"),
        "grey, progressive": saved(21, 11, "L", progressive=True),
        "RGB": saved(11, 12, keep_rgb=True),
        "CMYK": saved(18, 10, "CMYK", subsampling=0),
        "CMYK, 4:2:0": saved(18, 10, "CMYK", subsampling=2),
    }
    text = ("// Written by generate_jpeg_samples.py.\n#pragma once\n\n#include <cstdint>\n"
            "#include <vector>\n\nnamespace jpeg_samples {\n\nstruct Sample {\n  const char* name;\n"
            "  std::uint64_t pixels;  // FNV-1a of what Pillow decodes\n"
            "  std::vector<std::uint8_t> file;\n};\n\n// clang-format off\n"
            "inline const std::vector<Sample> all = {\n")
    for name, data in samples.items():
        text += f'    {{"{name}", {hex(digest(data))}u, {{\n'
        for i in range(0, len(data), 24):
            text += "        " + ", ".join(str(b) for b in data[i:i + 24]) + ",\n"
        text += "    }},\n"
    text += "};\n// clang-format on\n\n}  // namespace jpeg_samples\n"
    with open("jpeg_samples.hpp", "w") as f:
        f.write(text)


if __name__ == "__main__":
    main()
