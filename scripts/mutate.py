#!/usr/bin/env python3
"""Do the tests test? Puts one mistake at a time into a header, and reports those that no test finds.

    scripts/mutate.py --seed 1 --count 100 --narrow   draws places, and writes build/mutate/seed1.json
    scripts/mutate.py --seed 1 --again                the survivors once more, with more tests or new ones

A place is drawn by the seed: the folder in turn, then the kind of mistake (a sign, a bound, a comparison, a
constant, a dropped statement), then the line. What does not compile is reported, and another is drawn. The
tree stays as it is: a changed copy of the header stands before it on the include path. The smallest units of
tests that cover the header are compiled and run first, and then, without --narrow, all of its folder and
more. A run that was stopped goes on where it was. Kernels come from the library, unless they are what
changes: build it before (cmake --preset release; cmake --build --preset release --target anther_compiled).
"""
import argparse
import glob
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include" / "anther"
BUILD = ROOT / "build" / "mutate"
GROUPS = {"kernels": ["kernels"], "ops": ["ops"], "optim": ["optim"], "nn": ["nn"], "data": ["data"],
          "train": ["train", "io"]}
NOT_OURS = re.compile(r"vision/(stb|.*_undef|flower_names)")

# Units for headers that none in tests/FOLDER/ is named after, or whose own is not enough: the first that fits.
UNITS = [
    (r"kernels/(attention|softmax)", "ops/attention"),
    (r"kernels/channel_norm", "kernels/group_norm kernels/batch_norm"),
    (r"kernels/(packed_weight|patch_product|winograd)", "kernels/conv2d"),
    (r"kernels/(vec|next_isa|for_each)", "kernels/vec_math kernels/elementwise kernels/gemm"),
    (r"kernels/(gemm|amx|blocks)", "kernels/gemm kernels/gemm_bf16"),
    (r"kernels/(loss|log_sum)", "ops/losses"),
    (r"kernels/(pointwise|binary)", "kernels/pointwise"),
    (r"kernels/recurrent", "nn/recurrent"),
    (r"kernels/cross_entropy", "ops/op_cases"),
    (r"kernels/(embedding|select|topk)", "ops/indices"),
    (r"kernels/(broadcast|map|permute|reduce)", "ops/op_cases"),
    (r"ops/(attention|softmax)", "ops/attention"),
    (r"ops/(loss|distance|cross_entropy)", "ops/losses"),
    (r"ops/(embedding|select|topk|where)", "ops/indices"),
    (r"(ops|nn)/recurrent", "nn/recurrent"),
    (r"optim/optimizer", "optim/more_optimizers optim/adam optim/sgd nn/layers train/ranks"),
    (r"optim/", "optim/more_optimizers optim/adam optim/sgd"),
    (r"nn/inference", "nn/inference"),
    (r"nn/", "nn/layers"),
    (r"data/(batch|dataset|loader)", "data/loader train/ranks"),
    (r"data/vision/(jpeg|exif|webp)", "data/vision/jpeg cases/pictures cases/decoders cases/jpeg_pixels"),
    (r"data/vision/(bmp|gif|png|bytes|decode|image)", "data/vision/image"),
    (r"data/vision/(class|flower|cifar|open|check)", "data/vision/datasets cases/folders"),
    (r"data/vision/", "data/vision/transforms data/vision/augment"),
    (r"train/(checkpoint|averaged|run)", "train/checkpoint train/run_folder"),
    (r"train/agreement", "train/ranks"),
    (r"train/(metrics|evaluation|predictions)", "train/metrics"),
    (r"train/tape_pool", "train/predictor"),
    (r"train/(.*objective|flip)", "train/targets"),
    (r"train/weight", "train/weights"),
    (r"train/", "train/trainer train/fit"),
    (r"io/base85", "export/cpp_header"),
    (r"io/(float16|dtype)", "io/dtype"),
    (r"io/(file|atomic)", "io/atomic_file io/faults"),
    (r"io/", "io/safetensors io/csv"),
]
# Units of other folders, for what survives those of its own.
MORE = {"kernels": "ops/op_cases ops/attention nn/layers", "ops": "nn/layers nn/edgevit export/op_cases",
        "optim": "train/trainer nn/layers", "nn": "models/registry models/zoo",
        "data": "cases/folders cases/pictures cases/decoders", "train": "cases/weights cases/names train/ranks"}

# For each kind of mistake: what it looks for (its first group is replaced), and by what.
OPPOSITE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-",
            "-": "+", "*": "/", "/": "*", "+=": "-=", "-=": "+=", "*=": "/=", "min": "max", "max": "min",
            "true": "false", "false": "true"}
KINDS = {
    "comparison": [r" (<|>|<=|>=|==|!=|&&|\|\|) "],
    "sign": [r" (\+|-|\*|/|\+=|-=|\*=) ", r"[=(,?:] (-)(?=\w)"],
    "bound": [r"\bstd::(min|max)\b", r"= (0|1); \w+ [<>]"],
    "constant": [r"(?<![\w.\[<])(\d+(?:\.\d+)?(?:e-?\d+)?f?)(?![\w.'>])", r"\b(true|false)\b"],
    "statement": [r"^\s+((?!return|using|const|auto|break|else|case|throw|typedef|static|friend)"
                  r"[\w.>\[\]()*:-]+(?: [+*/|-]?= |\().*;)$"],
}


def mistake(kind, pattern, old):
    if kind == "statement":
        return ";"
    if pattern.startswith("[=(,?:]"):
        return ""  # a sign that is dropped
    if old in OPPOSITE:
        return OPPOSITE[old]
    if old.isdigit():
        return str(int(old) + 1)
    return f"({old} * 1.5f)" if old.endswith("f") else f"({old} * 1.5)"


def places(group):
    """{kind: [(file, line, column, old, new, whether it is of one instruction set)]}."""
    found = {kind: [] for kind in KINDS}
    for path in sorted(path for folder in GROUPS[group] for path in (INCLUDE / folder).rglob("*.[hi]*")):
        if NOT_OURS.search(str(path)):
            continue
        conditions, ended = [], True
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("#if"):
                conditions.append(line)
            elif line.startswith(("#elif", "#else")):
                conditions[-1] += line
            elif line.startswith("#endif"):
                conditions.pop()
            if line.startswith("#") or re.search(r"static_assert|^template|R\"|operator|= delete|= default", line):
                continue
            # Texts and comments become blanks, so that columns stay.
            code = re.sub(r'"(\\.|[^"\\])*"|//.*|\'[^\']\'', lambda match: " " * len(match[0]), line)
            whole = ended and code.count("(") == code.count(")")
            ended = re.search(r"[;{}:]\s*$|^\s*$", code) is not None
            own = any("ANTHER_VECTOR_ISA" in condition for condition in conditions)
            for kind, patterns in KINDS.items():
                for pattern in patterns if whole or kind != "statement" else []:
                    for match in re.finditer(pattern, code):
                        old = line[match.start(1):match.end(1)]
                        found[kind].append((str(path.relative_to(INCLUDE)), number, match.start(1), old,
                                            mistake(kind, pattern, old), own))
    return found


def draws(seed):
    """(group, kind, place) without end, no place twice."""
    chance, groups, seen = random.Random(seed), {group: places(group) for group in GROUPS}, set()
    while True:
        for group, kinds in groups.items():
            kind = chance.choice([kind for kind in kinds if kinds[kind]])
            place = chance.choice(kinds[kind])
            if place not in seen:
                seen.add(place)
                yield group, kind, place


def units_for(group, path, own, narrow):
    """(unit, whether for all instruction sets), the likeliest first."""
    stem = path.rsplit(".", 1)[0]
    named = [unit for unit in units_in(os.path.dirname(stem)) if stem.startswith(unit)]
    fitting = next((units.split() for pattern, units in UNITS if re.match(pattern, stem)), [])
    first = sorted(named, key=len)[-1:] + fitting + (["ops/op_cases", "ops/bad_input"] if group == "ops" else [])
    found = [(unit, own) for unit in first]
    if not narrow:
        found += [(unit, True) for unit in first if group == "kernels"]
        found += [(unit, own) for unit in MORE[group].split()]
        folders = ["ops"] if group == "kernels" else GROUPS[group]
        found += [(unit, own) for folder in folders for unit in units_in(f"{folder}/**") if "beside" not in unit]
    return dict.fromkeys(found)


def units_in(folder):
    return [test[6:-9] for test in sorted(glob.glob(f"tests/{folder}/*_test.cpp", recursive=True))]


class Bench:
    """Builds and runs units. sound: the seconds of each that has passed; 0 if it fails by itself."""

    def __init__(self, compiler, archive, sound):
        self.compiler, self.archive, self.sound, self.spent = compiler, archive, sound, 0.0
        self.common = [compiler, "-std=c++20", "-fopenmp", "-w", f"-I{BUILD}/changed", "-Iinclude", "-I.", "-Iexamples"]
        BUILD.mkdir(parents=True, exist_ok=True)
        kernels = "".join(f"#define ANTHER_SCALAR {scalar}\n"
                          '#include "anther/compiled/kernels.inl"\n#undef ANTHER_SCALAR\n'
                          for scalar in ("float", "double"))
        (BUILD / "kernels.hpp").write_text('#include "anther/anther.hpp"\n#define ANTHER_TEMPLATE extern template\n'
                                           + kernels + "#undef ANTHER_TEMPLATE\n")
        (BUILD / "before.hpp").write_text("#include <doctest/doctest.h>\n#include <nlohmann/json.hpp>\n")
        if not (BUILD / "main.o").exists():
            self.command(self.common + ["-x", "c++-header", f"{BUILD}/before.hpp", "-o", f"{BUILD}/before.hpp.gch"])
            self.command(self.common + ["-c", "tests/main.cpp", "-o", f"{BUILD}/main.o"])

    def command(self, command, seconds=600, isa=""):
        """Whether it succeeds in so many seconds of the processor, and what it says."""
        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"} | ({"ANTHER_ISA": isa} if isa else {})
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(BUILD / "log", "w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=limits,
                                       start_new_session=True, env=environment)
            # What waits for ever uses no processor. Turns are counted: no clock, which also runs while all is paused.
            for _ in range(100 * seconds):
                if process.poll() is not None:
                    break
                time.sleep(0.05)
            else:
                os.killpg(process.pid, 9)
            status = process.wait()
            log.seek(0)
            text = log.read()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.spent += self.used
        return status == 0, text

    def build(self, unit, kernels, every_isa):
        flags = ["-O1"] if kernels else ["-O0"]
        flags += ["-include", f"{BUILD}/before.hpp", f'-DANTHER_TEST_COMPILER="{self.compiler}"']
        if not kernels:
            flags += ["-include", f"{BUILD}/kernels.hpp"]
        elif not every_isa:
            flags.append("-DANTHER_TEST_BASELINE_VECTOR_BYTES=16")
        built, text = self.command(self.common + flags + ["-c", f"tests/{unit}_test.cpp", "-o", f"{BUILD}/unit.o"])
        if not built:
            return False, text
        return self.command([self.compiler, "-fopenmp", f"{BUILD}/main.o", f"{BUILD}/unit.o",
                             *([] if kernels else [self.archive]), "-lpthread", "-o", f"{BUILD}/unit"])

    def run(self, unit, every_isa, seconds=120):
        """The test that fails, or None."""
        for isa in ("", "avx2", "baseline") if every_isa else ("",):
            passed, text = self.command([f"{BUILD}/unit", "--abort-after=1", "--no-colors=1"], seconds, isa)
            if not passed and "skipped: this processor" not in text:
                case = re.search(r"^TEST CASE: +(.*)", text, re.M)
                return f"{unit}: {case[1] if case else 'crashed, or was too slow'}"
        return None

    def is_sound(self, key):
        """Whether a unit passes unchanged: one that does not finds nothing."""
        if key not in self.sound:
            unit, kernels, every_isa = key.split()
            built, text = self.build(unit, kernels == "True", every_isa == "True")
            fails = self.run(unit, every_isa == "True") if built else f"{unit} does not build alone: {text[:300]}"
            self.sound[key] = 0 if fails else self.used
            if fails:
                print(f"without any mistake: {fails}", flush=True)
        return self.sound[key] > 0

    def find(self, group, place, narrow):
        """(outcome, what found it, a key of sound)."""
        path, line, column, old, new, own = place
        lines = (INCLUDE / path).read_text().splitlines(keepends=True)
        if not lines[line - 1][column:].startswith(old):
            return "not there any more", "", None
        lines[line - 1] = lines[line - 1][:column] + new + lines[line - 1][column + len(old):]
        changed = BUILD / "changed" / "anther" / path
        tried, kernels = 0, group == "kernels"
        for unit, every_isa in units_for(group, path, own, narrow):
            key = f"{unit} {kernels} {every_isa}"
            if self.sound.get(key) == 0:
                continue
            changed.parent.mkdir(parents=True, exist_ok=True)
            changed.write_text("".join(lines))
            try:
                built, text = self.build(unit, kernels, every_isa)
                # Before it ever passed, nobody knows how long it takes.
                found = built and self.run(unit, every_isa, int(3 * self.sound.get(key, 20) + 5))
            finally:
                changed.unlink()
            if not built and (path in text or self.is_sound(key)):
                return "did not compile", re.search(r"error:.*|$", text)[0][:100], key
            if found:
                return "killed", found, key
            if built:
                self.sound[key] = max(self.used, self.sound.get(key, 0))
                tried += 1
        return "survived", f"{tried} units", None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="mistakes that compile (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--narrow", action="store_true", help="only the units that are named for a header")
    parser.add_argument("--again", action="store_true", help="only what survived, with the tests of now")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--archive", default="build/release/libanther.a", help="default: %(default)s")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    file = BUILD / f"seed{arguments.seed}.json"
    tests = subprocess.run(["git", "rev-parse", "HEAD:tests"], capture_output=True, text=True).stdout.strip()
    state = {"tests": tests, "sound": {}, "seconds": 0.0, "results": []}
    if file.exists():
        state = json.loads(file.read_text())
    results, same_tests = state["results"], state["tests"] == tests
    if not same_tests:
        state["sound"] = {}
    bench = Bench(arguments.compiler, arguments.archive, state["sound"])

    def save():
        state["seconds"] += bench.spent
        bench.spent = 0.0
        file.write_text(json.dumps(state, indent=1) + "\n")

    def look(number, result):
        outcome, by, key = bench.find(result["group"], result["place"], arguments.narrow)
        # What the tests of the first run find at a second look, they would have found at the first.
        result |= {"now": outcome, "by": by, "unit": key} | ({"first": outcome} if same_tests else {})
        path, line, _, old, new, _ = result["place"]
        print(f"{number:4} {outcome:15} {bench.spent:5.0f} s  {path}:{line} {result['kind']}: {old} -> {new}   [{by}]",
              flush=True)

    if arguments.again:
        for number, result in enumerate(results, 1):
            if result["now"] == "survived":
                look(number, result)
                save()
    else:
        for number, (group, kind, place) in enumerate(draws(arguments.seed), 1):
            if sum(result["now"] != "did not compile" for result in results) >= arguments.count:
                break
            if number > len(results):
                results.append({"group": group, "kind": kind, "place": place, "first": "survived"})
                look(number, results[-1])
                save()
    for result in results:
        if result["now"] == "killed" and not bench.is_sound(result["unit"]):
            result["now"] = result["first"] = "not known"
    save()
    print(f"{'folder':10} {'mistakes':>8} {'found at first':>15} {'found now':>10}")
    for group in [*GROUPS, "all"]:
        those = [result for result in results
                 if group in (result["group"], "all") and result["now"] in ("killed", "survived")]
        counts = [sum(result[when] == "killed" for result in those) for when in ("first", "now")]
        print(f"{group:10} {len(those):8} {counts[0]:15} {counts[1]:10}")
    print(f"{state['seconds'] / max(1, len(results)):.0f} seconds of one processor for each of {len(results)} places")


if __name__ == "__main__":
    main()
