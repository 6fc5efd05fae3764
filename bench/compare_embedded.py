#!/usr/bin/env python3
"""The generated header against the engine: a forward pass of one image on one thread.

    python3 bench/compare_embedded.py --models xxs,xs,s

Both run in turn (A B A B ...), each in a process of its own; a round's figure is the median of its
passes, and what is printed is the median of the rounds and their ratio; then what compiling the
header takes. Needs nothing but Python. Let nothing else run meanwhile.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
#include "model.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int, char** argv) {
  using clock = std::chrono::steady_clock;
  static model::Model net;
  static unsigned char rgb[model::image_height * model::image_width * 3];
  for (unsigned i = 0; i < sizeof rgb; ++i) rgb[i] = static_cast<unsigned char>(i * 7919ul / 13);
  for (int i = 0; i < 3; ++i) net.classify(rgb);
  std::vector<double> times;
  const auto began = clock::now();
  const std::chrono::duration<double> whole(std::atof(argv[1]));
  while (times.size() < 20 || clock::now() - began < whole) {
    const auto start = clock::now();
    net.classify(rgb);
    times.push_back(std::chrono::duration<double, std::milli>(clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  std::printf("%f", times[times.size() / 2]);
}
"""


def run(command):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        sys.exit(f"compare_embedded: {command[0]}: {lines[-1]}")
    return done.stdout


def engine_ms(options, model):
    out = run([ROOT / options.build / "bench" / "bench_model", "--model", model, "--preset",
               options.preset, "--mode", "infer", "--batch", 1, "--img-size", options.img_size,
               "--dtype", "bf16" if options.dtype == "bf16" else "float", "--threads", 1,
               "--benchmark_format=json",
               f"--benchmark_min_time={options.seconds}"])
    return 1e3 / json.loads(out)["benchmarks"][0]["images_per_s"]


def compile_header(options, model, folder):
    """Gives the program, and the seconds and the MB that compiling took."""
    header, source, program = folder / "model.hpp", folder / "main.cpp", folder / f"{model}.out"
    run([ROOT / options.build / "examples" / "embed", "--model", model, "--preset", options.preset,
         "--num-classes", 102, "--img-size", options.img_size, "--dtype", options.dtype, "--name",
         "model", header])
    source.write_text(PROGRAM)
    start = time.perf_counter()
    run([options.compiler, "-std=c++20", "-O2", source, "-o", program])
    seconds = time.perf_counter() - start
    # The largest so far: of the compilers, whose memory grows with the model.
    return program, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def compare(options, model, folder):
    program, seconds, megabytes = compile_header(options, model, folder)
    engine, embedded = [], []
    for _ in range(options.rounds):
        engine.append(engine_ms(options, model))
        embedded.append(float(run([program, options.seconds])))
    a, b = statistics.median(engine), statistics.median(embedded)
    size = (folder / "model.hpp").stat().st_size / 1e6
    print(f"{model + ' ' + options.preset + ' ' + options.dtype:<24} {a:8.2f} {b:9.2f} {b / a:7.3f}"
          f" {size:9.1f} {program.stat().st_size / 1e6:10.1f} {seconds:10.1f} {megabytes:7.0f}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="from the project's folder")
    parser.add_argument("--compiler", default="c++", help="the engine's own, for a fair comparison")
    parser.add_argument("--models", default="xxs,xs,s")
    parser.add_argument("--preset", default="improved", choices=("improved", "original"))
    parser.add_argument("--dtype", default="f32", choices=("f32", "f16", "bf16"))
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round and program")
    options = parser.parse_args()
    for program in ("bench/bench_model", "examples/embed"):
        if not (ROOT / options.build / program).exists():
            sys.exit(f"compare_embedded: no {options.build}/{program}; build it first")
    print(f"{'one image, one thread':<24} {'engine':>8} {'header':>9} {'ratio':>7} {'header':>9}"
          f" {'program':>10} {'compiling':>10} {'':>7}")
    print(f"{'':<24} {'ms':>8} {'ms':>9} {'':>7} {'MB':>9} {'MB':>10} {'s':>10} {'MB':>7}")
    with tempfile.TemporaryDirectory(prefix="anther-embedded-") as folder:
        for model in options.models.split(","):
            compare(options, model, Path(folder))


if __name__ == "__main__":
    main()
