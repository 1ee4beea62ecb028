// Sixteen numbers at a time. With LF_VNNI_BF16, products of 16 and 8 bits are added up by one instruction.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LF_UNROLL _Pragma("GCC unroll 16")

namespace lf {
namespace {

constexpr size_t kPanelVectors = 2;
constexpr int kTileRows = 14;  // 28 of 32 registers hold sums

struct V {
  static constexpr size_t kWidth = 16;
  using Float = __m512;
  using Int = __m512i;

  static __mmask16 first(size_t n) { return static_cast<__mmask16>((1u << n) - 1); }

  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static Float load_part(const float* p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, Float a) { _mm512_storeu_ps(p, a); }
  static void store_part(float* p, Float a, size_t n) { _mm512_mask_storeu_ps(p, first(n), a); }
  static Float set(float x) { return _mm512_set1_ps(x); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float select_less(Float a, Float b, Float yes, Float no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  static Float part(Float a, size_t n) { return _mm512_maskz_mov_ps(first(n), a); }
  static Float part_or(Float a, size_t n, Float rest) { return _mm512_mask_mov_ps(rest, first(n), a); }

  template <class F>
  static float reduce(Float a, F f) {
    __m512 b = f(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    b = f(b, _mm512_shuffle_f32x4(b, b, 0xb1));
    b = f(b, _mm512_permute_ps(b, 0x4e));
    b = f(b, _mm512_permute_ps(b, 0xb1));
    return _mm512_cvtss_f32(b);
  }
  static float sum(Float a) { return reduce(a, &V::add); }
  static float greatest(Float a) { return reduce(a, &V::max); }
  static float least(Float a) { return reduce(a, &V::min); }
  static float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  static Int bits(Float a) { return _mm512_castps_si512(a); }
  static Float floats(Int a) { return _mm512_castsi512_ps(a); }
  static Int set_int(uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static Int load_int(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static void store_int(uint32_t* p, Int a) { _mm512_storeu_si512(p, a); }
  static Int select_less(Float a, Float b, Int yes, Int no) { return bits(select_less(a, b, floats(yes), floats(no))); }
  static Int add_int(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int shift_left_23(Int a) { return _mm512_slli_epi32(a, 23); }
  static Float from_int(const int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }

#if defined(LF_VNNI_BF16)
  static __m256i to_bf16(Float a) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a)); }
#else
  static __m256i to_bf16(Float a) {
    const Int b = bits(a), odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
    const Int rounded = _mm512_add_epi32(b, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(
        _mm512_srli_epi32(_mm512_mask_or_epi32(rounded, nan, b, _mm512_set1_epi32(0x400000)), 16));
  }
#endif
  static void store_bf16(uint16_t* p, Float a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_bf16(a)); }
  static void store_bf16_part(uint16_t* p, Float a, size_t n) { _mm256_mask_storeu_epi16(p, first(n), to_bf16(a)); }
  static __m128i to_u8(Float a) {
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(_mm512_cvtps_epi32(a), _mm512_setzero_si512()));
  }
  static void store_u8(uint8_t* p, Float a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_u8(a)); }
  static void store_u8_part(uint8_t* p, Float a, size_t n) { _mm_mask_storeu_epi8(p, first(n), to_u8(a)); }
  // Four vectors of them, one after the other.
  static void store_u8_four(uint8_t* p, Float a, Float b, Float c, Float d) {
    const Int low = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
    const Int high = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
    // Packing goes by quarters of a register.
    const Int order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high)));
  }

  // `count` rows of sixteen times four bytes become columns; what lies beyond them is zero.
  static void turn(const unsigned char* rows, size_t row_bytes, size_t count, uint32_t* out, size_t out_stride) {
    __m512i a[16], b[16];
    LF_UNROLL
    for (size_t i = 0; i < 16; ++i)
      a[i] = i < count ? _mm512_loadu_si512(rows + i * row_bytes) : _mm512_setzero_si512();
    LF_UNROLL
    for (size_t i = 0; i < 16; i += 2) {
      b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
      b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    LF_UNROLL
    for (size_t i = 0; i < 16; i += 4) {
      a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
      a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
      a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
      a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    LF_UNROLL
    for (size_t i = 0; i < 4; ++i) {  // a[i + 4 j] holds columns i, i + 4, .. of rows 4 j .. 4 j + 3
      const __m512i low = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88), high = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
      const __m512i low2 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
      const __m512i high2 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
      _mm512_storeu_si512(out + i * out_stride, _mm512_shuffle_i32x4(low, low2, 0x88));
      _mm512_storeu_si512(out + (i + 4) * out_stride, _mm512_shuffle_i32x4(high, high2, 0x88));
      _mm512_storeu_si512(out + (i + 8) * out_stride, _mm512_shuffle_i32x4(low, low2, 0xdd));
      _mm512_storeu_si512(out + (i + 12) * out_stride, _mm512_shuffle_i32x4(high, high2, 0xdd));
    }
  }

  // n pairs, one of each row; the second may be missing.
  static void store_pairs(uint16_t* p, const uint16_t* one, const uint16_t* two, size_t n) {
    const Int low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), one));
    const Int high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(two == nullptr ? 0 : first(n), two));
    _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
};

struct Dot32 {
  using Sum = __m512;
  using A = __m512;
  using B = __m512;
  static constexpr size_t kBytes = 64;
  static Sum zero() { return _mm512_setzero_ps(); }
  static B load(const unsigned char* p) { return _mm512_loadu_ps(p); }
  static A broadcast(const unsigned char* p) { return _mm512_set1_ps(*reinterpret_cast<const float*>(p)); }
  static Sum add(Sum sum, A a, B b) { return _mm512_fmadd_ps(a, b, sum); }
  static void store(unsigned char* p, Sum sum) { _mm512_storeu_ps(p, sum); }
};

// Four bytes of a row, for every column.
inline __m512i broadcast_four(const unsigned char* p) {
  int four;
  __builtin_memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

#if defined(LF_VNNI_BF16)

struct Dot16 {
  using Sum = __m512;
  using A = __m512bh;
  using B = __m512bh;
  static constexpr size_t kBytes = 64;
  static Sum zero() { return _mm512_setzero_ps(); }
  static B load(const unsigned char* p) { return reinterpret_cast<B>(_mm512_loadu_si512(p)); }
  static A broadcast(const unsigned char* p) { return reinterpret_cast<A>(broadcast_four(p)); }
  static Sum add(Sum sum, A a, B b) { return _mm512_dpbf16_ps(sum, a, b); }
  static void store(unsigned char* p, Sum sum) { _mm512_storeu_ps(p, sum); }
};

struct Dot8 {
  using Sum = __m512i;
  using A = __m512i;
  using B = __m512i;
  static constexpr size_t kBytes = 64;
  static Sum zero() { return _mm512_setzero_si512(); }
  static B load(const unsigned char* p) { return _mm512_loadu_si512(p); }
  static A broadcast(const unsigned char* p) { return broadcast_four(p); }
  static Sum add(Sum sum, A a, B b) { return _mm512_dpbusd_epi32(sum, a, b); }
  static void store(unsigned char* p, Sum sum) { _mm512_storeu_si512(p, sum); }
};

#else

// Pairs of 16 bits: unlike pairs of 8 bits, they cannot overflow.
struct Dot8 {
  using Sum = __m512i;
  struct A {
    __m512i even, odd;
  };
  using B = A;
  static constexpr size_t kBytes = 64;
  static Sum zero() { return _mm512_setzero_si512(); }
  static B load(const unsigned char* p) {
    const __m512i four = _mm512_loadu_si512(p);
    return {_mm512_srai_epi16(_mm512_slli_epi16(four, 8), 8), _mm512_srai_epi16(four, 8)};
  }
  static A broadcast(const unsigned char* p) {
    const __m512i four = broadcast_four(p);
    return {_mm512_and_si512(four, _mm512_set1_epi16(255)), _mm512_srli_epi16(four, 8)};
  }
  static Sum add(Sum sum, const A& a, const B& b) {
    const __m512i even = _mm512_madd_epi16(a.even, b.even), odd = _mm512_madd_epi16(a.odd, b.odd);
    return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
  }
  static void store(unsigned char* p, Sum sum) { _mm512_storeu_si512(p, sum); }
};

#endif

}  // namespace
}  // namespace lf
