#!/bin/sh
# The C++ tests with sanitizers, then the fuzzers, each for a while: sanitize.sh BUILD_FOLDER [SECONDS]
# What the compilers of this machine cannot do is skipped, and said so.
set -eu
build=$1
seconds=${2:-10}
source=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$build"
build=$(cd "$build" && pwd)

links() { # COMPILER FLAG PROGRAM: whether it can be built
  echo "$3" | "$1" -x c++ "$2" -o "$build/probe" - >"$build/probe.log" 2>&1
}

configure() { # FOLDER OPTIONS
  folder=$1
  shift
  cmake -S "$source" -B "$build/$folder" -G Ninja "$@" >"$build/$folder.log" || { cat "$build/$folder.log"; exit 1; }
  cmake --build "$build/$folder" >"$build/$folder.log" || { cat "$build/$folder.log"; exit 1; }
}

for sanitizers in address,undefined thread; do
  name=${sanitizers%%,*}
  if ! links "${CXX:-c++}" "-fsanitize=$sanitizers" 'int main() {}'; then
    echo "sanitize: skipped $sanitizers: ${CXX:-c++} cannot build with it"
    continue
  fi
  configure "$name" -DLAMP_FAST_SANITIZE="$sanitizers" -DLAMP_FAST_CUDA=OFF
  echo "sanitize: tests with $sanitizers"
  # The emulated GPU changes stacks, which these sanitizers do not follow.
  ctest --test-dir "$build/$name" --output-on-failure --exclude-regex '^cuda$'
done

if ! links clang++ -fsanitize=fuzzer,address,undefined \
  'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'; then
  echo "sanitize: skipped the fuzzers: there is no clang++ with libFuzzer"
  exit 0
fi
configure fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DLAMP_FAST_FUZZ=ON -DLAMP_FAST_TESTS=OFF \
  -DLAMP_FAST_CAPI=OFF -DLAMP_FAST_CUDA=OFF -DLAMP_FAST_SANITIZE=address,undefined
for fuzzer in config json model_file word_pieces; do
  mkdir -p "$build/corpus/$fuzzer" "$build/found"
done
"$build/fuzz/fuzz_seeds" "$build/corpus"
for fuzzer in config json model_file word_pieces; do
  committed=$source/csrc/fuzz/corpus/$fuzzer
  [ -d "$committed" ] || committed=
  echo "sanitize: $fuzzer for $seconds s"
  "$build/fuzz/${fuzzer}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
    -dict="$source/csrc/fuzz/json.dict" -artifact_prefix="$build/found/$fuzzer-" "$build/corpus/$fuzzer" $committed
done
