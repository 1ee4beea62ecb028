// What a kernel is written in. Compiled by nvcc these are the instructions of the GPU; compiled by a C++ compiler they
// run on the CPU (emulation.h), which is how kernels are tested where there is no GPU.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define LF_DEVICE __device__ __forceinline__
#define LF_KERNEL(threads) __global__ void __launch_bounds__(threads, 1)
#else
#include <cmath>
#include <cstring>

#include "emulation/emulation.h"
#define LF_DEVICE inline
#define LF_KERNEL(threads) void
#endif

namespace lf::cuda {

constexpr int kWarp = 32;

// A number of 16 bits: the upper half of a float.
struct bf16 {
  std::uint16_t bits;
};

struct alignas(8) Pair {
  float a, b;
};

struct alignas(16) Words4 {
  std::uint32_t word[4];
};

#if defined(__CUDACC__)

LF_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
LF_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
LF_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
LF_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }

extern __shared__ __align__(128) unsigned char lf_cuda_shared[];
LF_DEVICE unsigned char* shared_memory() { return lf_cuda_shared; }

LF_DEVICE void block_barrier() { __syncthreads(); }

template <typename T>
LF_DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

template <typename T>
LF_DEVICE T shuffle_from(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}

// Counts this block in, after everything it wrote; the last one of a counter sees what all others wrote, by load_fresh.
LF_DEVICE int arrive(int* counter) {
  __threadfence();
  const int before = atomicAdd(counter, 1);
  __threadfence();
  return before;
}

template <typename T>
LF_DEVICE T load_fresh(const T* address) {
  return __ldcg(address);
}

LF_DEVICE std::uint32_t float_bits(float x) { return __float_as_uint(x); }
LF_DEVICE float as_float(std::uint32_t bits) { return __uint_as_float(bits); }
LF_DEVICE std::uint32_t multiply_high(std::uint32_t a, std::uint32_t b) { return __umulhi(a, b); }

// Never contracted into one rounding.
LF_DEVICE float times(float a, float b) { return __fmul_rn(a, b); }
LF_DEVICE float plus(float a, float b) { return __fadd_rn(a, b); }

LF_DEVICE float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }

// Cosine and sine of a number of half turns, which need no stack to bring a large angle near zero.
LF_DEVICE Pair turned_by(float half_turns) {
  Pair result;
  sincospif(half_turns, &result.b, &result.a);
  return result;
}

// a in the lower half.
LF_DEVICE std::uint32_t pack(float a, float b) {
  std::uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(b), "f"(a));
  return result;
}

LF_DEVICE std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// 16 bytes, both ends aligned to 16, in the background; zeros where not `inside`, and then `global` is not read.
LF_DEVICE void copy_async(void* shared, const void* global, bool inside) {
  const int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}
// The same of 4 bytes.
LF_DEVICE void copy_async_word(void* shared, const void* global, bool inside) {
  const int bytes = inside ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}
LF_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most `kPending` of this thread's groups are under way; other threads see the copies behind a barrier.
template <int kPending>
LF_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8x8 matrices of 16-bit numbers, or 8x4 of 32 bits: lanes 8i..8i+7 name the rows of matrix i, and lane l gets the
// l % 4-th word of row l / 4 of each.
LF_DEVICE void load_matrices(std::uint32_t (&matrix)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
               : "r"(shared_address(row))
               : "memory");
}
// The same of the transposed matrices of 16-bit numbers.
LF_DEVICE void load_matrices_transposed(std::uint32_t (&matrix)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
               : "r"(shared_address(row))
               : "memory");
}

// c (16,8) += a (16,16) b (16,8) in bfloat16. With g = lane / 4, t = lane % 4, a lane holds of a: rows g, g + 8, g, g +
// 8 at columns 2t, 2t, 2t + 8, 2t + 8, of b: rows 2t and 2t + 8 of column g, two numbers each; of c: (g, 2t), (g, 2t +
// 1) and the same of row g + 8.
LF_DEVICE void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// c (16,8) += a (16,8) b (8,8), of which the upper 19 bits are read. A lane holds of a: rows g, g + 8, g, g + 8 at
// columns t, t, t + 4, t + 4; of b: rows t and t + 4 of column g; c as above.
LF_DEVICE void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A kernel launched as dependent begins before the one in front of it ends: this waits for that end. Without such a
// launch both do nothing.
LF_DEVICE void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
LF_DEVICE void let_next_kernel_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#else

inline std::uint32_t float_bits(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float as_float(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline int thread() { return emulation::thread(); }
inline int block_x() { return emulation::block(0); }
inline int block_y() { return emulation::block(1); }
inline int block_z() { return emulation::block(2); }
inline unsigned char* shared_memory() { return emulation::shared_memory(); }
inline void block_barrier() { emulation::block_barrier(); }

template <typename T>
T shuffle_from(T value, int lane) {
  emulation::shuffle(&value, sizeof value, lane);
  return value;
}

template <typename T>
T shuffle_xor(T value, int mask) {
  return shuffle_from(value, (thread() % kWarp) ^ mask);
}

inline int arrive(int* counter) { return emulation::arrive(counter); }
template <typename T>
T load_fresh(const T* address) {
  return *address;
}

inline std::uint32_t multiply_high(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(a) * b >> 32);
}
// Translation units that include this are compiled with -ffp-contract=off.
inline float times(float a, float b) { return a * b; }
inline float plus(float a, float b) { return a + b; }
inline float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }

inline Pair turned_by(float half_turns) {
  const double angle = std::remainder(half_turns, 2.0) * 3.14159265358979323846;
  return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
}

inline std::uint32_t pack(float a, float b) {
  const auto rounded = [](float x) {
    const std::uint32_t bits = float_bits(x);
    if (x != x) return 0x7fffu;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  };
  return rounded(a) | rounded(b) << 16;
}

inline void copy_async(void* shared, const void* global, bool inside) {
  emulation::copy_async(shared, global, 16, inside);
}
inline void copy_async_word(void* shared, const void* global, bool inside) {
  emulation::copy_async(shared, global, 4, inside);
}
inline void copy_async_commit() { emulation::copy_async_commit(); }
template <int kPending>
void copy_async_wait() {
  emulation::copy_async_wait(kPending);
}

inline void load_matrices(std::uint32_t (&matrix)[4], const void* row) { emulation::load_matrices(matrix, row, false); }
inline void load_matrices_transposed(std::uint32_t (&matrix)[4], const void* row) {
  emulation::load_matrices(matrix, row, true);
}
inline void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  emulation::multiply(c, a, b0, b1, true);
}
inline void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  emulation::multiply(c, a, b0, b1, false);
}

inline void wait_for_previous_kernel() { emulation::wait_for_previous_kernel(); }
inline void let_next_kernel_begin() { emulation::let_next_kernel_begin(); }

#endif

LF_DEVICE int lane() { return thread() % kWarp; }

LF_DEVICE float to_float(bf16 x) { return as_float(static_cast<std::uint32_t>(x.bits) << 16); }
LF_DEVICE float to_float(float x) { return x; }
LF_DEVICE float lower(std::uint32_t pair) { return as_float(pair << 16); }
LF_DEVICE float upper(std::uint32_t pair) { return as_float(pair & 0xffff0000u); }

// Eight numbers side by side, aligned to their size, at most 16 bytes a load.
LF_DEVICE void load8(float (&x)[8], const bf16* from) {
  const Words4 words = *reinterpret_cast<const Words4*>(from);
  for (int i = 0; i < 4; ++i) {
    x[2 * i] = lower(words.word[i]);
    x[2 * i + 1] = upper(words.word[i]);
  }
}
LF_DEVICE void load8(float (&x)[8], const float* from) {
  for (int half = 0; half < 2; ++half) {
    const Words4 words = reinterpret_cast<const Words4*>(from)[half];
    for (int i = 0; i < 4; ++i) x[4 * half + i] = as_float(words.word[i]);
  }
}

// Stores, and leaves in x what was stored.
LF_DEVICE void store8(bf16* to, float (&x)[8]) {
  Words4 words;
  for (int i = 0; i < 4; ++i) {
    words.word[i] = pack(x[2 * i], x[2 * i + 1]);
    x[2 * i] = lower(words.word[i]);
    x[2 * i + 1] = upper(words.word[i]);
  }
  *reinterpret_cast<Words4*>(to) = words;
}
LF_DEVICE void store8(float* to, float (&x)[8]) {
  for (int half = 0; half < 2; ++half) {
    Words4 words;
    for (int i = 0; i < 4; ++i) words.word[i] = float_bits(x[4 * half + i]);
    reinterpret_cast<Words4*>(to)[half] = words;
  }
}

LF_DEVICE void store2(bf16* to, float a, float b) { *reinterpret_cast<std::uint32_t*>(to) = pack(a, b); }
LF_DEVICE void store2(float* to, float a, float b) { *reinterpret_cast<Pair*>(to) = {a, b}; }

// Rounded to the 11 significant bits that tensor cores read of a float, ties away from zero.
LF_DEVICE std::uint32_t to_tf32(float x) { return (float_bits(x) + 0x1000u) & 0xffffe000u; }

// One step of a product over 32 bytes of both factors: 16 bfloat16, or 8 floats in three products of TF32, which leaves
// out only low times low.
template <typename Element>
LF_DEVICE void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
template <>
LF_DEVICE void multiply<bf16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  multiply_bf16(c, a, b0, b1);
}
template <>
LF_DEVICE void multiply<float>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  std::uint32_t high[4], low[4];
  for (int i = 0; i < 4; ++i) {
    high[i] = to_tf32(as_float(a[i]));
    low[i] = to_tf32(as_float(a[i]) - as_float(high[i]));
  }
  const std::uint32_t high0 = to_tf32(as_float(b0)), high1 = to_tf32(as_float(b1));
  multiply_tf32(c, low, high0, high1);
  multiply_tf32(c, high, to_tf32(as_float(b0) - as_float(high0)), to_tf32(as_float(b1) - as_float(high1)));
  multiply_tf32(c, high, high0, high1);
}

}  // namespace lf::cuda
