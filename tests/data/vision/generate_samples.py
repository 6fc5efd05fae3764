#!/usr/bin/env python3
"""Writes image_samples.hpp: tiny image files, and what Pillow makes of a synthetic picture.

Debian: python3-pil. Run it in this folder; the output is committed.
"""
import io
import zlib

from PIL import Image, ImageEnhance, ImageOps

QUADRANTS = [(200, 30, 40), (30, 180, 60), (40, 60, 210), (230, 220, 90)]


def quadrants(width=48, height=32, mode="RGB"):
    """Four plain colours: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", (width, height))
    for i, colour in enumerate(QUADRANTS):
        box = (i % 2 * width // 2, i // 2 * height // 2)
        image.paste(colour, box + (box[0] + width // 2, box[1] + height // 2))
    return image.convert(mode)


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pattern(width, height):
    """The picture that resize_test.cpp draws by the same formula."""
    data = bytes((x * x * 3 + y * 17 + c * 71 + (x * y) % 29 * 5) % 256
                 for y in range(height) for x in range(width) for c in range(3))
    return Image.frombytes("RGB", (width, height), data)


def array(name, data):
    lines = [f"inline const std::vector<std::uint8_t> {name} = {{"]
    for i in range(0, len(data), 24):
        lines.append("    " + ", ".join(str(b) for b in data[i:i + 24]) + ",")
    return "\n".join(lines) + "};\n"


def main():
    rgba = quadrants(8, 4, "RGBA")
    rgba.putalpha(0)
    samples = {
        "jpeg_rgb": saved(quadrants(), "JPEG", quality=92),
        "jpeg_progressive": saved(quadrants(), "JPEG", quality=92, progressive=True),
        "jpeg_restart": saved(quadrants(), "JPEG", quality=92, subsampling=0, restart_marker_blocks=3),
        "jpeg_grey": saved(quadrants(16, 16, "L"), "JPEG", quality=92),
        "jpeg_cmyk": saved(quadrants(32, 32, "CMYK"), "JPEG", quality=95),
        "png_rgb": saved(quadrants(8, 4), "PNG"),
        "png_rgba": saved(rgba, "PNG"),
        "png_grey": saved(quadrants(8, 4, "L"), "PNG"),
        "png_palette": saved(quadrants(8, 4).convert("P", palette=Image.Palette.ADAPTIVE, colors=4), "PNG"),
        "bmp_rgb": saved(quadrants(8, 4), "BMP"),
    }
    resizes = [(37, 23, 11, 7), (37, 23, 64, 50), (37, 23, 37, 7), (37, 23, 5, 23), (37, 23, 1, 1),
               (200, 150, 96, 72), (200, 150, 31, 140), (3, 300, 16, 40), (1, 1, 4, 4)]
    boxes = [(200, 150, (20.5, 10.25, 120.75, 90.5), 32, 32), (37, 23, (3, 2, 9.5, 20), 64, 16),
             (200, 150, (0, 0, 200, 75), 40, 40), (64, 48, (60.25, 0.125, 63.875, 47.5), 8, 24)]
    exact_changes = {
        "pillow_equalize": ImageOps.equalize,
        "pillow_posterize_2": lambda image: ImageOps.posterize(image, 2),
        "pillow_solarize_100": lambda image: ImageOps.solarize(image, 100),
    }
    changes = {
        "pillow_autocontrast": lambda image: ImageOps.autocontrast(image.point(lambda level: 40 + level // 2)),
        "pillow_color": lambda image: ImageEnhance.Color(image).enhance(1.4),
        "pillow_contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.3),
        "pillow_brightness": lambda image: ImageEnhance.Brightness(image).enhance(1.7),
        "pillow_sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(1.9),
    }
    with open("image_samples.hpp", "w") as out:
        out.write("// Written by generate_samples.py.\n#pragma once\n\n#include <cstdint>\n#include <vector>\n\n"
                  "// clang-format off\nnamespace samples {\n\n")
        for name, data in samples.items():
            out.write(array(name, data) + "\n")
        out.write("// Pillow's pattern(width, height).resize((to_width, to_height), BILINEAR): CRC-32 of its bytes.\n"
                  "struct Resize {\n  int width, height, to_width, to_height;\n  std::uint32_t crc;\n};\n"
                  "inline constexpr Resize pillow_resizes[] = {\n")
        for w, h, to_w, to_h in resizes:
            data = pattern(w, h).resize((to_w, to_h), Image.BILINEAR).tobytes()
            out.write(f"    {{{w}, {h}, {to_w}, {to_h}, 0x{zlib.crc32(data):08X}u}},\n")
        out.write("};\n\n// The same of a box of the picture, (left, top, right, bottom).\n"
                  "struct BoxResize {\n  int width, height;\n  double left, top, right, bottom;\n"
                  "  int to_width, to_height;\n  std::uint32_t crc;\n};\n"
                  "inline constexpr BoxResize pillow_box_resizes[] = {\n")
        for w, h, box, to_w, to_h in boxes:
            data = pattern(w, h).resize((to_w, to_h), Image.BILINEAR, box).tobytes()
            numbers = ", ".join(map(str, (w, h, *box, to_w, to_h)))
            out.write(f"    {{{numbers}, 0x{zlib.crc32(data):08X}u}},\n")
        out.write("};\n\n// Pillow's changes of pattern(37, 23): CRC-32 of the bytes, where they are exact,\n")
        for name, change in exact_changes.items():
            out.write(f"inline constexpr std::uint32_t {name} = 0x{zlib.crc32(change(pattern(37, 23)).tobytes()):08X}u;\n")
        out.write("// and of pattern(11, 7), where Pillow rounds on its way.\n")
        for name, change in changes.items():
            out.write(array(name, change(pattern(11, 7)).tobytes()))
        out.write("\n// The first of pillow_resizes, whole.\n")
        out.write(array("pillow_11x7", pattern(37, 23).resize((11, 7), Image.BILINEAR).tobytes()) + "\n")
        out.write("}  // namespace samples\n// clang-format on\n")


if __name__ == "__main__":
    main()
