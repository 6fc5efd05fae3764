#!/usr/bin/env python3
"""Trains EdgeViT with each normalisation and compares what they reach: the table and the figure of
docs/norms.md.

    scripts/compare_norms.py --data-dir DIR --output DIR [--programs build/release/examples]
                             [--recipe seed|flowers] [--seeds 1,2] [--threads 0]
                             [--svg docs/norms_compared.svg]

The recipe is examples/recipes/seed.json: XXS, 20 epochs of Adam at a constant rate, no
augmentation; at 128 px. Or it is flowers.json in 10 epochs, of 96, 128 and 160 px, in mixed precision. A run that is
complete is not repeated and one that was cut off goes on, so the script may be stopped and called
again. Of each run the last epoch's weights (of flowers.json, their average) are evaluated on valid
and test. All runs together take about four hours on two cores, those of flowers.json one.

--collect trains nothing, and makes table and figure of the runs that are complete.
"""
import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
EVERYWHERE = ["--norm", "bn", "--local-norm", "bn"]
# folder, name, batch, options
SEED_VARIANTS = [
    ("gn12", "GroupNorm, 12 channels a group", 128, []),
    ("gn1", "GroupNorm, one group", 128, ["--gn-groups", "1"]),
    ("ln", "LayerNorm", 128, ["--norm", "ln", "--local-norm", "ln"]),
    ("in", "InstanceNorm", 128, ["--norm", "in", "--local-norm", "in"]),
    ("gnbn", "GroupNorm, BatchNorm kept", 128, ["--norm", "gn", "--local-norm", "bn"]),
    ("original", "original: LayerNorm, BatchNorm", 128, ["--preset", "original"]),
    ("bnbn", "BatchNorm", 128, EVERYWHERE),
    ("gn12-b8", "GroupNorm, 12 channels a group", 8, []),
    ("bnbn-b8", "BatchNorm", 8, EVERYWHERE),
]
# The recipe keeps BatchNorm, with the statistics of 8 images at a time.
FLOWERS_VARIANTS = [
    ("gn12", "GroupNorm, 12 channels a group", 32, ["--local-norm", "gn", "--bn-group", "0"]),
    ("gnbn", "GroupNorm, BatchNorm kept", 32, []),
    ("original", "original: LayerNorm, BatchNorm", 32, ["--preset", "original"]),
    ("bnbn", "BatchNorm", 32, EVERYWHERE),
]
# name: variants, epochs, weights, options
RECIPES = {
    "seed": (SEED_VARIANTS, 20, "last", ["--img-size", "128", "--val-interval", "5", "--cache",
                                         "images"]),
    "flowers": (FLOWERS_VARIANTS, 10, "last_ema", ["--img-size", "96@5:128@3:160@2", "--epochs",
                                                   "10", "--val-interval", "5", "--amp"]),
}


def train(arguments, folder, batch, options, seed):
    program = str(Path(arguments.programs) / "train_flowers")
    threads = ["--threads", str(arguments.threads)]
    if (folder / "weights/last.state.safetensors").exists():
        command = [program, "--resume", str(folder), *threads]
    else:
        recipe = ROOT / "examples/recipes" / f"{arguments.recipe}.json"
        command = [program, "--config", str(recipe), "--data-dir", arguments.data_dir, *threads,
                   *RECIPES[arguments.recipe][3], "--batch-size", str(batch), "--seed", str(seed),
                   "--output", str(folder), *options]
    subprocess.run(command, check=True)


def epochs_of(folder):
    with open(folder / "results.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_complete(arguments, folder):
    last = str(RECIPES[arguments.recipe][1])
    return (folder / "results.csv").exists() and any(
        row["epoch"] == last and row["val/top1"] for row in epochs_of(folder))


def evaluate(arguments, folder, part):
    """Right answers and images of the last epoch's weights, or of their average."""
    result = folder / f"{part}.json"
    if not result.exists():
        weights = folder / "weights" / f"{RECIPES[arguments.recipe][2]}.safetensors"
        command = [str(Path(arguments.programs) / "evaluate"), str(weights),
                   "--data-dir", arguments.data_dir, "--part", part, "--threads",
                   str(arguments.threads), "--json", str(result)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(result.read_text(encoding="utf-8"))
    return round(found["top1"] * found["images"]), found["images"]


def measure(arguments, folder):
    right, images = map(sum, zip(*(evaluate(arguments, folder, part) for part in ("valid", "test"))))
    return {"accuracy": 100 * right / images, "loss": float(epochs_of(folder)[-1]["train/loss"])}


def table(results):
    print("| normalisation | batch | accuracy of each seed | mean | train loss of each seed |")
    print("| --- | ---: | --- | ---: | --- |")
    for name, batch, runs in results:
        accuracies = [f"{run['accuracy']:.1f} %" for run in runs]
        losses = [f"{run['loss']:.2f}" for run in runs]
        print(f"| {name} | {batch} | {', '.join(accuracies)} "
              f"| {mean(run['accuracy'] for run in runs):.1f} % | {', '.join(losses)} |")


def figure(results):
    """A bar for each mean, with a dot for each seed."""
    left, width, step, top = 290, 480, 30, 34
    scale = width / (10 * (max(run["accuracy"] for _, _, runs in results for run in runs) // 10 + 1))
    size = f"{left + width + 70} {top + step * len(results) + 28}".split()
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{size[0]}" height="{size[1]}" font-family="system-ui, sans-serif" font-size="13" '
        'role="img" aria-label="Accuracy of EdgeViT-XXS with each normalisation">',
        "<style>text{fill:#24292f}.bar{fill:#2f6fbe}.small{fill:#c4622d}.dot{fill:#24292f}"
        ".line{stroke:#d0d7de}@media(prefers-color-scheme:dark){text{fill:#e6edf3}"
        ".bar{fill:#6ea8ee}.small{fill:#e08e5c}.dot{fill:#e6edf3}.line{stroke:#444c56}}</style>",
        f'<text x="{left}" y="20" font-size="14" font-weight="600">Top-1 on valid and test, %: '
        "mean (bar, number) and each seed (dots)</text>",
    ]
    bottom = top + step * len(results)
    for tick in range(0, int(width / scale) + 1, 10):
        x = left + tick * scale
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" class="line"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick}</text>')
    for i, (name, batch, runs) in enumerate(results):
        y = top + step * i + 4
        average = mean(run["accuracy"] for run in runs)
        label = f"{name}, batch {batch}" if batch == 8 else name
        kind = "small" if batch == 8 else "bar"
        out.append(f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{label}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{average * scale:.1f}" height="22" rx="2" '
                   f'class="{kind}"/>')
        for run in runs:
            out.append(f'<circle cx="{left + run["accuracy"] * scale:.1f}" cy="{y + 11}" r="4" '
                       'class="dot"/>')
        end = max([average] + [run["accuracy"] for run in runs])
        out.append(f'<text x="{left + end * scale + 10:.1f}" y="{y + 16}">{average:.1f}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="Flowers-102, as train_flowers takes it")
    parser.add_argument("--output", required=True, help="folder of the runs")
    parser.add_argument("--programs", default=str(ROOT / "build/release/examples"))
    parser.add_argument("--recipe", default="seed", choices=RECIPES)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--threads", type=int, default=0, help="of a run; 0: all cores")
    parser.add_argument("--svg", help="where the figure goes")
    parser.add_argument("--collect", action="store_true", help="of what is there")
    arguments = parser.parse_args()
    results = []
    for short, name, batch, options in RECIPES[arguments.recipe][0]:
        runs = []
        for seed in arguments.seeds.split(","):
            folder = Path(arguments.output) / f"{short}-s{seed}"
            if not arguments.collect and not is_complete(arguments, folder):
                train(arguments, folder, batch, options, seed)
            if is_complete(arguments, folder):
                runs.append(measure(arguments, folder))
        if runs:
            results.append((name, batch, runs))
    if not results:
        sys.exit(f"{arguments.output}: no complete run")
    table(results)
    if arguments.svg:
        Path(arguments.svg).write_text(figure(results), encoding="utf-8")


if __name__ == "__main__":
    main()
