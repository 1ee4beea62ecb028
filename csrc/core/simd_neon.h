// Four numbers at a time, on 64-bit ARM.
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define LF_UNROLL _Pragma("GCC unroll 16")

namespace lf {
namespace {

constexpr size_t kPanelVectors = 2;
constexpr int kTileRows = 10;  // 20 of 32 registers hold sums

struct V {
  static constexpr size_t kWidth = 4;
  using Float = float32x4_t;
  using Int = uint32x4_t;

  static Int first(size_t n) {
    const uint32_t places[] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(places), vdupq_n_u32(static_cast<uint32_t>(n)));
  }

  static Float load(const float* p) { return vld1q_f32(p); }
  static Float load_part(const float* p, size_t n) {
    float all[kWidth] = {};
    for (size_t i = 0; i < n && i < kWidth; ++i) all[i] = p[i];
    return vld1q_f32(all);
  }
  static void store(float* p, Float a) { vst1q_f32(p, a); }
  static void store_part(float* p, Float a, size_t n) {
    float all[kWidth];
    vst1q_f32(all, a);
    for (size_t i = 0; i < n && i < kWidth; ++i) p[i] = all[i];
  }
  static Float set(float x) { return vdupq_n_f32(x); }
  static Float add(Float a, Float b) { return vaddq_f32(a, b); }
  static Float sub(Float a, Float b) { return vsubq_f32(a, b); }
  static Float mul(Float a, Float b) { return vmulq_f32(a, b); }
  static Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
  // The second where one of them is NaN.
  static Float max(Float a, Float b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Float min(Float a, Float b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static Float select_less(Float a, Float b, Float yes, Float no) { return vbslq_f32(vcltq_f32(a, b), yes, no); }
  static Float part(Float a, size_t n) { return floats(vandq_u32(bits(a), first(n))); }
  static Float part_or(Float a, size_t n, Float rest) { return vbslq_f32(first(n), a, rest); }
  static float sum(Float a) { return vaddvq_f32(a); }
  static float greatest(Float a) { return vmaxvq_f32(a); }
  static float least(Float a) { return vminvq_f32(a); }
  static float square_root(float x) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0); }

  static Int bits(Float a) { return vreinterpretq_u32_f32(a); }
  static Float floats(Int a) { return vreinterpretq_f32_u32(a); }
  static Int set_int(uint32_t x) { return vdupq_n_u32(x); }
  static Int load_int(const uint32_t* p) { return vld1q_u32(p); }
  static void store_int(uint32_t* p, Int a) { vst1q_u32(p, a); }
  static Int select_less(Float a, Float b, Int yes, Int no) { return vbslq_u32(vcltq_f32(a, b), yes, no); }
  static Int add_int(Int a, Int b) { return vaddq_u32(a, b); }
  static Int shift_left_23(Int a) { return vshlq_n_u32(a, 23); }
  static Float from_int(const int32_t* p) { return vcvtq_f32_s32(vld1q_s32(p)); }

  static uint16x4_t to_bf16(Float a) {
    const Int b = bits(a), odd = vandq_u32(vshrq_n_u32(b, 16), vdupq_n_u32(1));
    const Int rounded = vaddq_u32(b, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(a, a), rounded, vorrq_u32(b, vdupq_n_u32(0x400000))), 16);
  }
  static void store_bf16(uint16_t* p, Float a) { vst1_u16(p, to_bf16(a)); }
  static void store_bf16_part(uint16_t* p, Float a, size_t n) {
    uint16_t all[kWidth];
    store_bf16(all, a);
    for (size_t i = 0; i < n && i < kWidth; ++i) p[i] = all[i];
  }
  static void store_u8(uint8_t* p, Float a) { store_u8_part(p, a, kWidth); }
  static void store_u8_part(uint8_t* p, Float a, size_t n) {
    const Int rounded = vcvtnq_u32_f32(vminnmq_f32(vmaxnmq_f32(a, vdupq_n_f32(0.0f)), vdupq_n_f32(255.0f)));
    uint32_t all[kWidth];
    vst1q_u32(all, rounded);
    for (size_t i = 0; i < n && i < kWidth; ++i) p[i] = static_cast<uint8_t>(all[i]);
  }
  // Four vectors of them, one after the other.
  static void store_u8_four(uint8_t* p, Float a, Float b, Float c, Float d) {
    store_u8(p, a);
    store_u8(p + kWidth, b);
    store_u8(p + 2 * kWidth, c);
    store_u8(p + 3 * kWidth, d);
  }

  // `count` rows of four times four bytes become columns; what lies beyond them is zero.
  static void turn(const unsigned char* rows, size_t row_bytes, size_t count, uint32_t* out, size_t out_stride) {
    for (size_t g = 0; g < kWidth; ++g) {
      for (size_t i = 0; i < kWidth; ++i) {
        uint32_t value = 0;
        if (i < count) __builtin_memcpy(&value, rows + i * row_bytes + 4 * g, 4);
        out[g * out_stride + i] = value;
      }
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
  using Sum = float32x4_t;
  using A = float32x4_t;
  using B = float32x4_t;
  static constexpr size_t kBytes = 16;
  static Sum zero() { return vdupq_n_f32(0.0f); }
  static B load(const unsigned char* p) { return vld1q_f32(reinterpret_cast<const float*>(p)); }
  static A broadcast(const unsigned char* p) { return vld1q_dup_f32(reinterpret_cast<const float*>(p)); }
  static Sum add(Sum sum, A a, B b) { return vfmaq_f32(sum, a, b); }
  static void store(unsigned char* p, Sum sum) { vst1q_f32(reinterpret_cast<float*>(p), sum); }
};

// Widened to 16 bits, multiplied into 32.
struct Dot8 {
  using Sum = int32x4_t;
  using A = int16x8_t;  // the same four twice
  struct B {
    int16x8_t low, high;  // columns 0 and 1, columns 2 and 3
  };
  static constexpr size_t kBytes = 16;
  static Sum zero() { return vdupq_n_s32(0); }
  static B load(const unsigned char* p) {
    const int8x16_t all = vld1q_s8(reinterpret_cast<const int8_t*>(p));
    return {vmovl_s8(vget_low_s8(all)), vmovl_s8(vget_high_s8(all))};
  }
  static A broadcast(const unsigned char* p) {
    uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return vreinterpretq_s16_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))));
  }
  static Sum add(Sum sum, A a, const B& b) {
    const int32x4_t first = vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b.low)), vmull_high_s16(a, b.low));
    const int32x4_t second = vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b.high)), vmull_high_s16(a, b.high));
    return vaddq_s32(sum, vpaddq_s32(first, second));
  }
  static void store(unsigned char* p, Sum sum) { vst1q_s32(reinterpret_cast<int32_t*>(p), sum); }
};

}  // namespace
}  // namespace lf
