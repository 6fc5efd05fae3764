#!/usr/bin/env bash
# AVX instructions may stand only in anther::kernels::avx2 and anther::kernels::avx512, and in those of
# anther::vision; AVX-512's only in the latter: everywhere else they would run on processors that lack them.
# vzeroupper may stand anywhere: it runs where the processor has it (core/isa.hpp).
#
# usage: disassembly.sh check FILE...                       looks at object files and programs
#        disassembly.sh kernels FOLDER COMPILER FLAG...     compiles every kernel, for float and double
#        disassembly.sh violation FOLDER COMPILER FLAG...   the check finds what it must
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Prints a line for each function that breaks the rule, and fails where there is one; at last how
# many AVX instructions stand where they may.
check() {
  objdump -d --no-show-raw-insn "$@" | awk '
    function report(what) {
      if (name in reported) return
      reported[name] = 1
      command = "c++filt \"" name "\""
      command | getline demangled
      close(command)
      print what " in " demangled ": " instruction
      bad = 1
    }
    # The mangled name: a demangled one may hold a namespace anywhere, as in a return type.
    /^[0-9a-f]+ <.*>:$/ {
      name = $2
      gsub(/[<>:]/, "", name)
      place = "elsewhere"
      if (name ~ /^_ZZ*NK?6anther([0-9]+v[0-9]+_[0-9]+)?(7kernels|6vision)4avx2/) place = "avx2"
      if (name ~ /^_ZZ*NK?6anther([0-9]+v[0-9]+_[0-9]+)?(7kernels|6vision)6avx512/) place = "avx512"
      next
    }
    /^ *[0-9a-f]+:\t/ {
      instruction = substr($0, index($0, "\t") + 1)
      wide = instruction ~ /%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])/
      if (instruction ~ /^vzeroupper/) next
      if (!wide && instruction !~ /^v[a-z]/ && instruction !~ /%ymm/) next
      if (place == "elsewhere") report("AVX")
      else if (wide && place != "avx512") report("AVX-512")
      else ++allowed[place]
    }
    END {
      printf "%d instructions in avx2, %d in avx512\n", allowed["avx2"], allowed["avx512"]
      exit bad
    }'
}

# The compiler with its flags, and OpenMP where it has that.
compile() {
  local object=$1 source=$2 openmp=-fopenmp
  shift 2
  echo '#include <omp.h>' | "$@" -fopenmp -fsyntax-only -x c++ - 2>"$object.log" || openmp=
  # shellcheck disable=SC2086  # $openmp is one flag or none
  "$@" -std=c++20 $openmp -c "$source" -o "$object"
}

# Explicit instantiations of every function template on one scalar that the kernels' headers define.
# stdin: those headers.
instantiations() {
  awk '
    function flush_declaration(   name, rest, types, count, i) {
      sub(/[{;].*/, "", text)
      sub(/^ *template <class T> */, "", text)
      if (text ~ /^(struct|class|using|inline constexpr|constexpr|concept|requires|friend)/) return
      gsub(/ = [^,)]*/, "", text)
      gsub(/\[\[[a-z:]*\]\] */, "", text)
      sub(/^(inline|static) /, "", text)
      i = index(text, "(")
      if (i == 0) return
      name = substr(text, 1, i - 1)
      rest = substr(text, i)
      # Kernels in bfloat16 are those of float alone.
      count = split(name ~ / ((attention_|gelu_)?bf16_[a-z_]*)$/ ? "float" : "float double", types, " ")
      for (i = 1; i <= count; ++i) {
        line = "template " name "<T>" rest
        # mawk has no word boundaries.
        while (match(line, /[^A-Za-z0-9_]T[^A-Za-z0-9_]/))
          line = substr(line, 1, RSTART) types[i] substr(line, RSTART + 2)
        print line ";"
      }
    }
    /^template <class T>/ { open = 1; text = "" }
    open {
      # A default argument ends no declaration.
      line = $0
      gsub(/ = \{\}/, "", line)
      text = text " " line
      if (line ~ /[{;]/) { open = 0; flush_declaration() }
    }' | sort -u
}

mode=$1
shift
case $mode in
  check) check "$@" ;;

  kernels)
    folder=$1
    shift
    mkdir -p "$folder"
    kernels=$here/../../include/anther/kernels
    {
      (cd "$kernels/../.." && printf '#include "%s"\n' anther/kernels/*.hpp)
      echo 'namespace anther::inline v0_1::kernels {'
      cat "$kernels"/*.hpp | instantiations
      echo '}'
    } >"$folder/kernels.cpp"
    compile "$folder/kernels.o" "$folder/kernels.cpp" "$@"
    check "$folder/kernels.o" | tee "$folder/kernels.report"
    # The check is of little worth where a body was not compiled: each that a header selects by its
    # scalar alone must be there, for every instruction set.
    nm -C "$folder/kernels.o" >"$folder/symbols"
    missing=0
    mapfile -t bodies < <(cat "$kernels"/*.hpp | grep -v '^//' |
      grep -o 'ANTHER_SELECT([a-z0-9_]*<T>' | sed 's/.*(//; s/<T>//' | sort -u)
    for body in "${bodies[@]}"; do
      scalars=(float double)
      [[ $body == *bf16* ]] && scalars=(float)
      for name in {baseline,avx2,avx512}::"$body"; do
        for scalar in "${scalars[@]}"; do
          grep -qE "$name<$scalar(>|, )" "$folder/symbols" && continue
          echo "not compiled, so not checked: $name<$scalar>"
          missing=1
        done
      done
    done
    exit $missing
    ;;

  violation)
    folder=$1
    shift
    mkdir -p "$folder"
    compile "$folder/violation.o" "$here/violation.cpp" "$@"
    if check "$folder/violation.o" >"$folder/violation.report"; then
      echo "the check passes a file that breaks the rule"
      exit 1
    fi
    cat "$folder/violation.report"
    for expected in 'AVX in .*violation_in_baseline' 'AVX in .*std::accumulate' \
      'AVX in .*violation_outside' 'AVX-512 in .*violation_wide'; do
      grep -q "$expected" "$folder/violation.report" || { echo "not found: $expected"; exit 1; }
    done
    if grep allowed_ "$folder/violation.report"; then
      echo "the check names what is allowed"
      exit 1
    fi
    ;;

  *)
    echo "disassembly.sh: expected check, kernels or violation, got $mode" >&2
    exit 2
    ;;
esac
