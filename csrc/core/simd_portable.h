// Eight numbers at a time in plain C++: what a compiler makes vectors of, if it can.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LF_UNROLL

namespace lf {
namespace {

constexpr size_t kPanelVectors = 1;
constexpr int kTileRows = 4;

struct V {
  static constexpr size_t kWidth = 8;
  struct Float {
    float v[kWidth];
  };
  struct Int {
    uint32_t v[kWidth];
  };

  template <class F>
  static Float each(F f) {
    Float r;
    for (size_t i = 0; i < kWidth; ++i) r.v[i] = f(i);
    return r;
  }

  static Float load(const float* p) {
    return each([&](size_t i) { return p[i]; });
  }
  static Float load_part(const float* p, size_t n) {
    return each([&](size_t i) { return i < n ? p[i] : 0.0f; });
  }
  static void store(float* p, Float a) { memcpy(p, a.v, sizeof a.v); }
  static void store_part(float* p, Float a, size_t n) { memcpy(p, a.v, n * sizeof(float)); }
  static Float set(float x) {
    return each([&](size_t) { return x; });
  }
  static Float add(Float a, Float b) {
    return each([&](size_t i) { return a.v[i] + b.v[i]; });
  }
  static Float sub(Float a, Float b) {
    return each([&](size_t i) { return a.v[i] - b.v[i]; });
  }
  static Float mul(Float a, Float b) {
    return each([&](size_t i) { return a.v[i] * b.v[i]; });
  }
  static Float fma(Float a, Float b, Float c) {
    return each([&](size_t i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  // The second where one of them is NaN.
  static Float max(Float a, Float b) {
    return each([&](size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Float min(Float a, Float b) {
    return each([&](size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  // a < b ? yes : no
  static Float select_less(Float a, Float b, Float yes, Float no) {
    return each([&](size_t i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
  }
  // The first n, then zeros, or what stands in `rest`.
  static Float part(Float a, size_t n) {
    return each([&](size_t i) { return i < n ? a.v[i] : 0.0f; });
  }
  static Float part_or(Float a, size_t n, Float rest) {
    return each([&](size_t i) { return i < n ? a.v[i] : rest.v[i]; });
  }
  static float sum(Float a) {
    return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7]));
  }
  static float greatest(Float a) {
    float r = a.v[0];
    for (size_t i = 1; i < kWidth; ++i) r = a.v[i] > r ? a.v[i] : r;
    return r;
  }
  static float least(Float a) {
    float r = a.v[0];
    for (size_t i = 1; i < kWidth; ++i) r = a.v[i] < r ? a.v[i] : r;
    return r;
  }
  static float square_root(float x) { return sqrtf(x); }

  static Int bits(Float a) {
    Int r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
  }
  static Float floats(Int a) {
    Float r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
  }
  static Int set_int(uint32_t x) {
    Int r;
    for (uint32_t& v : r.v) v = x;
    return r;
  }
  static Int load_int(const uint32_t* p) {
    Int r;
    memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static void store_int(uint32_t* p, Int a) { memcpy(p, a.v, sizeof a.v); }
  static Int select_less(Float a, Float b, Int yes, Int no) {
    for (size_t i = 0; i < kWidth; ++i) no.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
    return no;
  }
  static Int add_int(Int a, Int b) {
    for (size_t i = 0; i < kWidth; ++i) a.v[i] += b.v[i];
    return a;
  }
  static Int shift_left_23(Int a) {
    for (size_t i = 0; i < kWidth; ++i) a.v[i] <<= 23;
    return a;
  }
  static Float from_int(const int32_t* p) {
    return each([&](size_t i) { return static_cast<float>(p[i]); });
  }

  // To the nearest bfloat16, ties to even; a NaN stays one.
  static uint16_t to_bf16(uint32_t b) {
    if ((b & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((b >> 16) | 64);
    return static_cast<uint16_t>((b + 0x7fff + ((b >> 16) & 1)) >> 16);
  }
  static void store_bf16(uint16_t* p, Float a) { store_bf16_part(p, a, kWidth); }
  static void store_bf16_part(uint16_t* p, Float a, size_t n) {
    const Int b = bits(a);
    for (size_t i = 0; i < n; ++i) p[i] = to_bf16(b.v[i]);
  }
  // To the nearest of 0 .. 255, ties to even.
  static void store_u8(uint8_t* p, Float a) { store_u8_part(p, a, kWidth); }
  static void store_u8_part(uint8_t* p, Float a, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      const float x = a.v[i] > 0.0f ? a.v[i] : 0.0f;
      const float rounded = (x < 255.0f ? x : 255.0f) + 12582912.0f;
      uint32_t b;
      memcpy(&b, &rounded, sizeof b);
      p[i] = static_cast<uint8_t>(b);
    }
  }
  // Four vectors of them, one after the other.
  static void store_u8_four(uint8_t* p, Float a, Float b, Float c, Float d) {
    store_u8(p, a);
    store_u8(p + kWidth, b);
    store_u8(p + 2 * kWidth, c);
    store_u8(p + 3 * kWidth, d);
  }

  // `count` rows of kWidth times four bytes become columns; what lies beyond them is zero.
  static void turn(const unsigned char* rows, size_t row_bytes, size_t count, uint32_t* out, size_t out_stride) {
    for (size_t g = 0; g < kWidth; ++g) {
      memset(out + g * out_stride, 0, 4 * kWidth);
      for (size_t i = 0; i < count; ++i) memcpy(out + g * out_stride + i, rows + i * row_bytes + 4 * g, 4);
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
  using Sum = V::Float;
  using A = float;
  using B = V::Float;
  static constexpr size_t kBytes = sizeof(B);
  static Sum zero() { return V::set(0.0f); }
  static B load(const unsigned char* p) {
    B b;
    memcpy(b.v, p, sizeof b.v);
    return b;
  }
  static A broadcast(const unsigned char* p) {
    A a;
    memcpy(&a, p, sizeof a);
    return a;
  }
  static Sum add(Sum sum, A a, const B& b) {
    for (size_t i = 0; i < V::kWidth; ++i) sum.v[i] += a * b.v[i];
    return sum;
  }
  static void store(unsigned char* p, const Sum& sum) { memcpy(p, sum.v, sizeof sum.v); }
};

struct Dot8 {
  struct Sum {
    int32_t v[V::kWidth];
  };
  struct A {
    uint8_t v[4];
  };
  struct B {
    int8_t v[4 * V::kWidth];
  };
  static constexpr size_t kBytes = sizeof(B);
  static Sum zero() { return {}; }
  static B load(const unsigned char* p) {
    B b;
    memcpy(b.v, p, sizeof b.v);
    return b;
  }
  static A broadcast(const unsigned char* p) {
    A a;
    memcpy(a.v, p, sizeof a.v);
    return a;
  }
  static Sum add(Sum sum, A a, const B& b) {
    for (size_t i = 0; i < V::kWidth; ++i) {
      for (size_t j = 0; j < 4; ++j) sum.v[i] += static_cast<int32_t>(a.v[j]) * b.v[4 * i + j];
    }
    return sum;
  }
  static void store(unsigned char* p, const Sum& sum) { memcpy(p, sum.v, sizeof sum.v); }
};

}  // namespace
}  // namespace lf
