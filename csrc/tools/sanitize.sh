#!/bin/sh
# The C++ tests with sanitizers, and the fuzzers, each for a while: sanitize.sh BUILD_FOLDER [SECONDS]
# What the compilers of this machine cannot do is skipped, and said so.
set -eu
build=$1
seconds=${2:-10}
source=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$build"
build=$(cd "$build" && pwd)

links() { # COMPILER SANITIZERS PROGRAM: whether it can be built
  echo "$3" | "$1" -x c++ "-fsanitize=$2" -o "$build/probe" - >"$build/probe.log" 2>&1
}

make_with() { # FOLDER SANITIZERS OPTIONS
  folder=$1 sanitizers=$2
  shift 2
  cmake -S "$source" -B "$build/$folder" -G Ninja -DLAMP_FAST_SANITIZE="$sanitizers" -DLAMP_FAST_CUDA=OFF "$@" \
    >"$build/$folder.log" || { cat "$build/$folder.log"; exit 1; }
  cmake --build "$build/$folder" >"$build/$folder.log" || { cat "$build/$folder.log"; exit 1; }
}

test_with() { # SANITIZERS OPTIONS
  sanitizers=$1 folder=${1%%,*}
  shift
  if ! links "${CXX:-c++}" "$sanitizers" 'int main() {}'; then
    echo "sanitize: skipped $sanitizers: ${CXX:-c++} cannot build with it"
    return
  fi
  make_with "$folder" "$sanitizers"
  echo "sanitize: tests with $sanitizers"
  ctest --test-dir "$build/$folder" --output-on-failure "$@"
}

test_with address,undefined
# What has threads: the rest takes long and would show nothing new.
test_with thread --tests-regex '^(kernels|stream|stream_soak|generation|capi|tiny_model|session|session_soak)$'

if ! links clang++ fuzzer,address,undefined \
  'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'; then
  echo "sanitize: skipped the fuzzers: there is no clang++ with libFuzzer"
  exit 0
fi
make_with fuzz address,undefined -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DLAMP_FAST_FUZZ=ON \
  -DLAMP_FAST_TESTS=OFF -DLAMP_FAST_CAPI=OFF
rm -rf "$build/corpus"
mkdir -p "$build/found" "$build/corpus/config" "$build/corpus/model_file"
"$build/fuzz/fuzz_seeds" "$build/corpus"
for fuzzer in config json model_file word_pieces; do
  echo "sanitize: $fuzzer for $seconds s"
  mkdir -p "$build/corpus/$fuzzer"
  committed=$source/csrc/fuzz/corpus/$fuzzer
  [ -d "$committed" ] || committed=
  "$build/fuzz/${fuzzer}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
    -print_final_stats=1 -dict="$source/csrc/fuzz/json.dict" -artifact_prefix="$build/found/$fuzzer-" \
    "$build/corpus/$fuzzer" $committed 2>"$build/found/$fuzzer.log" || { cat "$build/found/$fuzzer.log"; exit 1; }
  grep number_of_executed_units "$build/found/$fuzzer.log"
done
