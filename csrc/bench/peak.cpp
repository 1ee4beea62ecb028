#include "peak.h"

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
#include <immintrin.h>

namespace {

// Independent sums in registers: one instruction after another, and nothing else.
template <class Sum, class Step>
__attribute__((noinline)) void turn(Sum zero, Step step, std::size_t rounds) {
  constexpr int kSums = 16;
  Sum sums[kSums];
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) sums[i] = zero;
  for (std::size_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      sums[i] = step(sums[i]);
      __asm__ volatile("" : "+v"(sums[i]));
    }
  }
}

}  // namespace

std::size_t peak_operations(lf::Precision precision, std::size_t rounds) {
  const __m512 zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1.0f);
  const __m512i ones = _mm512_set1_epi32(0x01010101);
  switch (precision) {
    case lf::Precision::f32:
      turn(zero, [=](__m512 sum) { return _mm512_fmadd_ps(one, one, sum); }, rounds);
      return rounds * 16 * 32;
    case lf::Precision::bf16:
      turn(zero, [=](__m512 sum) { return _mm512_dpbf16_ps(sum, (__m512bh)ones, (__m512bh)ones); }, rounds);
      return rounds * 16 * 64;
    case lf::Precision::int8:
      turn(_mm512_setzero_si512(), [=](__m512i sum) { return _mm512_dpbusd_epi32(sum, ones, ones); }, rounds);
      return rounds * 16 * 128;
  }
  return 0;
}

#else

std::size_t peak_operations(lf::Precision, std::size_t) { return 0; }

#endif
