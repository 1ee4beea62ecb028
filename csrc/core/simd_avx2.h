// Eight numbers at a time.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LF_UNROLL _Pragma("GCC unroll 16")

namespace lf {
namespace {

constexpr size_t kPanelVectors = 2;
constexpr int kTileRows = 6;  // 12 of 16 registers hold sums

struct V {
  static constexpr size_t kWidth = 8;
  using Float = __m256;
  using Int = __m256i;

  static __m256i first(size_t n) {
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), places);
  }

  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static Float load_part(const float* p, size_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store(float* p, Float a) { _mm256_storeu_ps(p, a); }
  static void store_part(float* p, Float a, size_t n) { _mm256_maskstore_ps(p, first(n), a); }
  static Float set(float x) { return _mm256_set1_ps(x); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float select_less(Float a, Float b, Float yes, Float no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }
  static Float part(Float a, size_t n) { return _mm256_and_ps(a, _mm256_castsi256_ps(first(n))); }
  static Float part_or(Float a, size_t n, Float rest) {
    return _mm256_blendv_ps(rest, a, _mm256_castsi256_ps(first(n)));
  }

  template <class F>
  static float reduce(Float a, F f) {
    Float b = f(a, _mm256_permute2f128_ps(a, a, 1));
    b = f(b, _mm256_permute_ps(b, 0x4e));
    b = f(b, _mm256_permute_ps(b, 0xb1));
    return _mm256_cvtss_f32(b);
  }
  static float sum(Float a) { return reduce(a, &V::add); }
  static float greatest(Float a) { return reduce(a, &V::max); }
  static float least(Float a) { return reduce(a, &V::min); }
  static float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  static Int bits(Float a) { return _mm256_castps_si256(a); }
  static Float floats(Int a) { return _mm256_castsi256_ps(a); }
  static Int set_int(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  static Int load_int(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static void store_int(uint32_t* p, Int a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
  static Int select_less(Float a, Float b, Int yes, Int no) { return bits(select_less(a, b, floats(yes), floats(no))); }
  static Int add_int(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int shift_left_23(Int a) { return _mm256_slli_epi32(a, 23); }
  static Float from_int(const int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }

  // In the lower half of each number; the upper is zero.
  static Int to_bf16(Float a) {
    const Int b = bits(a), odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    const Int rounded = _mm256_add_epi32(b, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const Int quiet = _mm256_or_si256(b, _mm256_set1_epi32(0x400000));
    const Int nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  }
  static void store_bf16(uint16_t* p, Float a) {
    const Int wide = to_bf16(a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1)));
  }
  static void store_bf16_part(uint16_t* p, Float a, size_t n) {
    uint16_t all[kWidth];
    store_bf16(all, a);
    for (size_t i = 0; i < n; ++i) p[i] = all[i];
  }
  static void store_u8(uint8_t* p, Float a) {
    const Int wide = _mm256_cvtps_epi32(a);
    const __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(half, half));
  }
  static void store_u8_part(uint8_t* p, Float a, size_t n) {
    uint8_t all[kWidth];
    store_u8(all, a);
    for (size_t i = 0; i < n; ++i) p[i] = all[i];
  }
  // Four vectors of them, one after the other.
  static void store_u8_four(uint8_t* p, Float a, Float b, Float c, Float d) {
    store_u8(p, a);
    store_u8(p + kWidth, b);
    store_u8(p + 2 * kWidth, c);
    store_u8(p + 3 * kWidth, d);
  }

  // `count` rows of eight times four bytes become columns; what lies beyond them is zero.
  static void turn(const unsigned char* rows, size_t row_bytes, size_t count, uint32_t* out, size_t out_stride) {
    Float a[8], b[8];
    LF_UNROLL
    for (size_t i = 0; i < 8; ++i) {
      a[i] = i < count ? _mm256_loadu_ps(reinterpret_cast<const float*>(rows + i * row_bytes)) : _mm256_setzero_ps();
    }
    LF_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
      b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
      b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    LF_UNROLL
    for (size_t i = 0; i < 8; i += 4) {
      a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
      a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
      a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
      a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    LF_UNROLL
    for (size_t i = 0; i < 4; ++i) {  // a[i] holds columns i and i + 4 of rows 0 .. 3, a[i + 4] of rows 4 .. 7
      store(reinterpret_cast<float*>(out + i * out_stride), _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
      store(reinterpret_cast<float*>(out + (i + 4) * out_stride), _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
  }

  // n pairs, one of each row, then zeros; the second row may be missing.
  static void store_pairs(uint16_t* p, const uint16_t* one, const uint16_t* two, size_t n) {
    for (size_t i = 0; i < kWidth; ++i) {
      p[2 * i] = i < n ? one[i] : 0;
      p[2 * i + 1] = i < n && two != nullptr ? two[i] : 0;
    }
  }
};

struct Dot32 {
  using Sum = __m256;
  using A = __m256;
  using B = __m256;
  static constexpr size_t kBytes = 32;
  static Sum zero() { return _mm256_setzero_ps(); }
  static B load(const unsigned char* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static A broadcast(const unsigned char* p) { return _mm256_broadcast_ss(reinterpret_cast<const float*>(p)); }
  static Sum add(Sum sum, A a, B b) { return _mm256_fmadd_ps(a, b, sum); }
  static void store(unsigned char* p, Sum sum) { _mm256_storeu_ps(reinterpret_cast<float*>(p), sum); }
};

// Pairs of 16 bits: unlike pairs of 8 bits, they cannot overflow.
struct Dot8 {
  using Sum = __m256i;
  struct A {
    __m256i even, odd;
  };
  using B = A;
  static constexpr size_t kBytes = 32;
  static Sum zero() { return _mm256_setzero_si256(); }
  static B load(const unsigned char* p) {
    const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm256_srai_epi16(_mm256_slli_epi16(four, 8), 8), _mm256_srai_epi16(four, 8)};
  }
  static A broadcast(const unsigned char* p) {
    int value;
    __builtin_memcpy(&value, p, sizeof value);
    const __m256i four = _mm256_set1_epi32(value);
    return {_mm256_and_si256(four, _mm256_set1_epi16(255)), _mm256_srli_epi16(four, 8)};
  }
  static Sum add(Sum sum, const A& a, const B& b) {
    const __m256i even = _mm256_madd_epi16(a.even, b.even), odd = _mm256_madd_epi16(a.odd, b.odd);
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
  }
  static void store(unsigned char* p, Sum sum) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), sum); }
};

}  // namespace
}  // namespace lf
