#!/usr/bin/env python3
"""Writes written_samples.hpp: tiny files of four plain colours, 16 x 8 as WebP, 48 x 32 as JPEG with
restart markers. Needs Pillow of 2023 or later. Run it in this folder; the output is committed."""
import io

from PIL import Image

QUADRANTS = [(200, 30, 40), (30, 180, 60), (40, 60, 210), (230, 220, 90)]


def quadrants(width=16, height=8):
    image = Image.new("RGB", (width, height))
    for i, colour in enumerate(QUADRANTS):
        box = (i % 2 * width // 2, i // 2 * height // 2)
        image.paste(colour, box + (box[0] + width // 2, box[1] + height // 2))
    return image


def saved(image, form="WEBP", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def main():
    image, exif = quadrants(), Image.Exif()
    exif[0x0112] = 6
    alpha = image.convert("RGBA")
    alpha.putalpha(90)
    xmp = (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description tiff:Orientation='6'/>"
           b"</rdf:RDF></x:xmpmeta>")
    large = quadrants(48, 32)
    samples = {
        "jpeg_restart": saved(large, "JPEG", quality=92, restart_marker_blocks=1),
        "jpeg_progressive_restart": saved(large, "JPEG", quality=92, progressive=True,
                                          restart_marker_blocks=2),
        "lossy": saved(image, quality=90),
        "lossless": saved(image, lossless=True),
        "alpha": saved(alpha, lossless=True, exact=True),
        "exif": saved(image, lossless=True, exif=exif),
        "xmp": saved(image, lossless=True, xmp=xmp),
        "animated": saved(image, lossless=True, save_all=True, append_images=[image.rotate(180)]),
    }
    text = "// Written by generate_samples.py.\n#pragma once\n\n#include <cstdint>\n#include <vector>\n\n"
    text += "namespace written_samples {\n\n// clang-format off\n"
    for name, data in samples.items():
        text += f"inline const std::vector<std::uint8_t> {name} = {{\n"
        for i in range(0, len(data), 24):
            text += "    " + ", ".join(str(b) for b in data[i:i + 24]) + ",\n"
        text += "};\n"
    text += "// clang-format on\n\n}  // namespace written_samples\n"
    with open("written_samples.hpp", "w") as f:
        f.write(text)


if __name__ == "__main__":
    main()
