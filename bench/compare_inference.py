#!/usr/bin/env python3
"""Anther against ONNX Runtime or OpenVINO on the model that Anther exports: a forward pass of one
image.

    python3 bench/compare_inference.py --models xxs,xs,s --threads 1,2
    python3 bench/compare_inference.py --models resnet18,mobilenet_v2,vit_tiny --classes 1000
    python3 bench/compare_inference.py --engine openvino --dtype bf16

Both run in turn (A B A B ...), each in a process of its own; a round's figure is the median of its
passes, and what is printed is the median of the rounds and their ratio. The other engine has all its
graph optimisations; OpenVINO its hint for latency. Needs numpy, and onnxruntime or openvino. Let
nothing else run meanwhile.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def images_of(job):
    import numpy as np
    return np.random.default_rng(1).random((1, 3, job["img_size"], job["img_size"]), np.float32)


def times_of(job, call):
    for _ in range(3):
        call()
    times = []
    began = time.perf_counter()
    while len(times) < 20 or time.perf_counter() - began < job["seconds"]:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def onnxruntime_times(job):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(job["path"], options,
                                           providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: images_of(job)}
    times = times_of(job, lambda: session.run(None, inputs))
    return times, f"ONNX Runtime {onnxruntime.__version__}"


def openvino_times(job):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(job["path"], "CPU", {
        "INFERENCE_PRECISION_HINT": {"float": "f32", "bf16": "bf16"}[job["dtype"]],
        "INFERENCE_NUM_THREADS": job["threads"], "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    images = images_of(job)
    return times_of(job, lambda: request.infer([images])), f"OpenVINO {openvino.__version__}"


ENGINES = {"onnxruntime": onnxruntime_times, "openvino": openvino_times}


def work(job):
    times, version = ENGINES[job["engine"]](job)
    print(json.dumps({"ms": 1e3 * statistics.median(times), "version": version}))


def run(command):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        sys.exit(f"compare_inference: {command[0]}: {lines[-1]}")
    return done.stdout


def preset(options):
    return ["--preset", options.preset] if options.preset else []


def anther_ms(options, model, threads):
    out = run([ROOT / options.build / "bench" / "bench_model", "--model", model, *preset(options),
               "--classes", options.classes, "--mode", "infer", "--batch", 1,
               "--img-size", options.img_size, "--threads", threads, "--dtype", options.dtype,
               "--benchmark_format=json",
               f"--benchmark_min_time={options.seconds}"])
    return 1e3 / json.loads(out)["benchmarks"][0]["images_per_s"]


def others_ms(options, path, threads):
    job = dict(path=str(path), threads=threads, img_size=options.img_size, seconds=options.seconds,
               engine=options.engine, dtype=options.dtype)
    return json.loads(run([sys.executable, __file__, "--worker", json.dumps(job)]))


def compare(options, model, path):
    run([ROOT / options.build / "examples" / "export_onnx", "--model", model, *preset(options),
         "--num-classes", options.classes, "--img-size", options.img_size, path])
    for threads in map(int, options.threads.split(",")):
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(anther_ms(options, model, threads))
            theirs.append(others_ms(options, path, threads))
        a = statistics.median(ours)
        b = statistics.median(r["ms"] for r in theirs)
        name = f"{model}{options.preset and ' ' + options.preset}, {threads} thread{'s' * (threads > 1)}"
        print(f"{name:<28} {a:9.2f} {b:13.2f} {b / a:7.2f}   {theirs[0]['version']}",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--build", default="build/release", help="from the project's folder")
    parser.add_argument("--engine", default="onnxruntime", choices=ENGINES)
    parser.add_argument("--dtype", default="float", choices=("float", "bf16"),
                        help="bf16 is OpenVINO's alone")
    parser.add_argument("--models", default="xxs,xs,s")
    parser.add_argument("--preset", choices=("improved", "original"),
                        default="", help="EdgeViT's")
    parser.add_argument("--classes", type=int, default=102)
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round and engine")
    options = parser.parse_args()
    if options.worker:
        return work(json.loads(options.worker))
    if options.dtype == "bf16" and options.engine != "openvino":
        parser.error("ONNX Runtime has no bf16 on the CPU: --engine openvino")
    try:
        import numpy  # noqa: F401
        __import__(options.engine)
    except ImportError as error:
        sys.exit(f"compare_inference: {sys.executable}: {error}")
    for program in ("bench/bench_model", "examples/export_onnx"):
        if not (ROOT / options.build / program).exists():
            sys.exit(f"compare_inference: no {options.build}/{program}; build it first")
    print(f"{'one image, milliseconds':<28} {'Anther':>9} {options.engine:>13} {'ratio':>7}")
    with tempfile.TemporaryDirectory(prefix="anther-inference-") as folder:
        for model in options.models.split(","):
            compare(options, model, Path(folder) / f"{model}.onnx")


if __name__ == "__main__":
    main()
