#!/usr/bin/env python3
"""Decodes pictures with Anther and with Pillow, and compares.

    python3 tests/parity/compare_pillow.py --dump-image build/release/tests/dump_image FOLDER...
        [--list] [--seed N]

Takes every JPEG, PNG, BMP, WebP and GIF under the folders that Pillow opens, as
ImageOps.exif_transpose(Image.open(file)).convert("RGB"). Fails where Anther and Pillow differ by
more than 2 levels (JPEG: 4, or 0.5 in the mean; pictures that it draws itself: at all), where Anther
gives no reason for refusing a picture, or where it crashes. Without a folder it draws pictures
itself, and has Pillow write them.

Pillow's `Tests/images` (in its source archive) and PngSuite are what it was made for; they are not
in this repository.
"""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    from PIL import Image, ImageOps, features
except ImportError as error:
    print(f"skipped: {error.name} is not installed")
    sys.exit(77)

warnings.simplefilter("ignore")
Image.MAX_IMAGE_PIXELS = 125_000_000  # it refuses twice as many, as Anther does
Image.init()
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "GIF")


class Dumper:
    """The program, started again after a crash."""

    def __init__(self, program):
        self.program, self.process = program, None

    def decode(self, path):
        """(pixels, None) or (None, why not); why not is None after a crash."""
        if self.process is None:
            self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE)
        name = os.fsencode(path)  # names need not be UTF-8
        self.process.stdin.write(name + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.process = None
            return None, None
        answer = json.loads(line)
        if "error" in answer:
            return None, answer["error"].removeprefix(name.decode("utf-8", "replace") + ": ")
        shape = (answer["height"], answer["width"], 3)
        data = self.process.stdout.read(shape[0] * shape[1] * 3)
        return np.frombuffer(data, np.uint8).reshape(shape), None

    def decoders(self):
        return subprocess.run([self.program, "--decoder"], capture_output=True, text=True,
                              check=True).stdout.strip()


def pillow_pixels(path):
    """(pixels, format, mode), or None where Pillow does not open the file as one of the formats."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            kind, mode = image.format, image.mode
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                # Pillow's convert("RGB") cuts 16 bits off at 255, which leaves white. The upper 8.
                grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2), kind, mode
            return np.asarray(image.convert("RGB")), kind, mode
    except Exception:  # whatever a damaged file makes of it
        return None


def written_by_pillow(folder, seed):
    """Pictures of every kind that Pillow writes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:67, 0:93]
    smooth = np.stack([128 + 100 * np.sin(x / 17 + y / 31 + c) for c in range(3)], -1)
    pixels = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    rgb = Image.fromarray(pixels)
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.fromarray((x * 2).astype(np.uint8)))
    pictures = []

    def save(name, image, **options):
        try:
            image.save(folder / name, **options)
            pictures.append(folder / name)
        except (OSError, KeyError, ValueError):
            pass  # this Pillow cannot write it

    for quality in (30, 75, 95, 100):
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                save(f"q{quality}s{subsampling}p{int(progressive)}.jpg", rgb, quality=quality,
                     subsampling=subsampling, progressive=progressive)
    save(os.fsdecode(b"fl\xe4che.png"), rgb)  # a name that is not UTF-8
    save("restart.jpg", rgb, restart_marker_blocks=3)
    for width, height in ((1, 1), (2, 7), (3, 5), (8, 40), (17, 2), (31, 33)):
        for subsampling in (0, 1, 2):
            save(f"{width}x{height}s{subsampling}.jpg", rgb.crop((0, 0, width, height)),
                 subsampling=subsampling)
    for name, mode in (("grey", "L"), ("cmyk", "CMYK")):
        save(f"{name}.jpg", rgb.convert(mode), quality=90)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = alpha.convert(mode) if mode != "I;16" else Image.fromarray(
            (pixels[:, :, 0].astype(np.uint16) << 8) + pixels[:, :, 1])
        save(f"{mode.replace(';', '')}.png", image)
        if mode in ("1", "L", "P", "RGB", "RGBA"):
            save(f"{mode}.bmp", image)
        if mode in ("L", "P", "RGB", "RGBA"):
            save(f"{mode}.gif", image)
    for name, image in (("rgb", rgb), ("alpha", alpha)):
        save(f"{name}.webp", image, quality=80)
        save(f"{name}_lossless.webp", image, lossless=True)
        save(f"{name}_animated.webp", image, save_all=True, append_images=[image.rotate(90)])
        save(f"{name}_animated.gif", image, save_all=True, append_images=[image.rotate(90)])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for ending in ("jpg", "png", "webp"):
            save(f"turned{orientation}.{ending}", rgb, exif=exif)
    return pictures


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--dump-image", required=True)
    p.add_argument("--list", action="store_true", help="a line for each picture")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("folders", nargs="*", type=pathlib.Path)
    options = p.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")
    dumper = Dumper(options.dump_image)
    print(f"Pillow {Image.__version__} (libjpeg-turbo {features.version('libjpeg_turbo')}, "
          f"WebP {features.version('webp')}); Anther: {dumper.decoders()}")
    with tempfile.TemporaryDirectory() as temporary:
        if options.folders:
            files = sorted(f for folder in options.folders for f in folder.rglob("*")
                           if f.is_file() and "\n" not in str(f))
        else:
            files = written_by_pillow(pathlib.Path(temporary), options.seed)
        failed = compare(files, dumper, options)
    return 1 if failed else 0


def compare(files, dumper, options):
    counts = collections.defaultdict(collections.Counter)
    refused = collections.defaultdict(list)
    worst = collections.defaultdict(lambda: (0, 0.0, ""))
    only_anther = failed = 0
    for file in files:
        theirs = pillow_pixels(file)
        ours, why = dumper.decode(file)
        if ours is None and why is None:
            print(f"CRASH: {file}")
            failed += 1
            continue
        if theirs is None:
            only_anther += ours is not None
            continue
        pixels, kind, mode = theirs
        kind = "JPEG" if kind == "MPO" else kind
        counts[kind]["Pillow opens"] += 1
        if ours is None:
            counts[kind]["Anther names why not"] += 1
            refused[why].append(file.name)
            continue
        if ours.shape != pixels.shape:
            print(f"FAILED: {file} ({kind}, {mode}): {ours.shape}, Pillow {pixels.shape}")
            failed += 1
            continue
        difference = np.abs(ours.astype(int) - pixels.astype(int))
        largest, mean = int(difference.max(initial=0)), float(difference.mean())
        counts[kind]["same" if largest == 0 else "near"] += 1
        worst[kind] = max(worst[kind], (largest, mean, file.name))
        ok = largest <= 2
        if kind == "JPEG":
            ok = largest <= (4 if options.folders else 0) and mean < 0.5
        if not ok:
            counts[kind]["FAILED"] += 1
            failed += 1
        if options.list or not ok:
            print(f"{'ok' if ok else 'FAILED'}: {file} ({kind}, {mode}): largest {largest}, "
                  f"mean {mean:.3f}")
    for why, names in sorted(refused.items()):
        print(f"refused: {why}: {', '.join(names)}")
    for kind, count in sorted(counts.items()):
        largest, mean, name = worst[kind]
        print(f"{kind}: {', '.join(f'{k} {v}' for k, v in count.items())}; largest difference "
              f"{largest} (mean {mean:.3f}, {name})")
    print(f"{len(files)} files, {only_anther} that only Anther opens, {failed} failed")
    if sum(c["Pillow opens"] for c in counts.values()) == 0:
        print("no picture was compared")
        return True
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
