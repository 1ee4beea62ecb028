#include "attention.h"
#include "runtime.h"

namespace lf::cuda {
namespace {

constexpr int kRows = 64;  // queries of a block, and keys between two barriers
constexpr int kThreads = 128;
constexpr float kHidden = -1e30f;  // a score that has no weight, and no NaN where it is subtracted from itself

template <typename Element, int kWidth>
struct Tile {
  static constexpr int row_bytes = kWidth * static_cast<int>(sizeof(Element));
  static constexpr int stride = row_bytes + 16;  // so that eight rows of one column lie in different banks
  static constexpr int bytes = kRows * stride;
};

// Rows first .. first + kRows of one head, zeros from `rows` on.
template <typename Element, int kWidth>
LF_DEVICE void copy_tile(unsigned char* tile, const Element* from, int stride, int first, int rows) {
  using T = Tile<Element, kWidth>;
  constexpr int kUnits = T::row_bytes / 16;
  for (int i = thread(); i < kRows * kUnits; i += kThreads) {
    const int row = i / kUnits, unit = i % kUnits;
    const bool inside = first + row < rows;
    const Element* const source = from + static_cast<std::size_t>(inside ? first + row : 0) * stride;
    copy_async(tile + row * T::stride + unit * 16, reinterpret_cast<const unsigned char*>(source) + unit * 16, inside);
  }
}

// out (16, kWidth) += weights (16, kRows) values (kRows, kWidth); weights lie in registers as products leave them.
template <int kWidth>
LF_DEVICE void add_values(float (&out)[kWidth / 8][4], const float (&weights)[kRows / 8][4],
                          const unsigned char* values, bf16) {
  constexpr int kStride = Tile<bf16, kWidth>::stride;
#pragma unroll
  for (int step = 0; step < kRows / 16; ++step) {
    const float (&low)[4] = weights[2 * step];
    const float (&high)[4] = weights[2 * step + 1];
    const std::uint32_t a[4] = {pack(low[0], low[1]), pack(low[2], low[3]), pack(high[0], high[1]),
                                pack(high[2], high[3])};
#pragma unroll
    for (int i = 0; i < kWidth / 16; ++i) {
      std::uint32_t b[4];
      load_matrices_transposed(b, values + (16 * step + lane() % 16) * kStride + (2 * i + lane() / 16) * 16);
      multiply_bf16(out[2 * i], a, b[0], b[1]);
      multiply_bf16(out[2 * i + 1], a, b[2], b[3]);
    }
  }
}

template <int kWidth>
LF_DEVICE void add_values(float (&out)[kWidth / 8][4], const float (&weights)[kRows / 8][4],
                          const unsigned char* values, float) {
  constexpr int kStride = Tile<float, kWidth>::stride;
#pragma unroll
  for (int step = 0; step < kRows / 8; ++step) {
    // A lane holds keys 2t and 2t + 1 where the product expects t and t + 4: the rows of b are taken in that order too.
    const float (&w)[4] = weights[step];
    const std::uint32_t a[4] = {float_bits(w[0]), float_bits(w[2]), float_bits(w[1]), float_bits(w[3])};
    const unsigned char* const row = values + (8 * step + lane() % 4 * 2) * kStride + lane() / 4 * 4;
#pragma unroll
    for (int i = 0; i < kWidth / 8; ++i) {
      multiply<float>(out[i], a, *reinterpret_cast<const std::uint32_t*>(row + 32 * i),
                      *reinterpret_cast<const std::uint32_t*>(row + kStride + 32 * i));
    }
  }
}

// One block: kRows queries of one head of one sample. A warp has 16 of them, a lane a part of rows g and g + 8.
template <typename Element, int kWidth>
LF_KERNEL(kThreads)
attention_kernel(const Attention p) {
  using T = Tile<Element, kWidth>;
  unsigned char* const queries = shared_memory();
  unsigned char* const keys = queries + T::bytes;
  unsigned char* const values = keys + T::bytes;
  wait_for_previous_kernel();
  let_next_kernel_begin();

  const int first_query = block_x() * kRows, head = block_y(), sample = block_z();
  const int length = p.lengths != nullptr ? p.lengths[sample] : p.period;
  const int part = p.heads * kWidth;
  const Element* const from =
      static_cast<const Element*>(p.qkv) + static_cast<std::size_t>(sample) * p.period * p.qkv_stride + head * kWidth;
  copy_tile<Element, kWidth>(queries, from, p.qkv_stride, first_query, length);

  const int warp_row = thread() / kWarp * 16, g = lane() / 4, t = lane() % 4;
  const int positions[2] = {first_query + warp_row + g, first_query + warp_row + g + 8};
  float out[kWidth / 8][4] = {}, highest[2] = {kHidden, kHidden}, total[2] = {0, 0};
  const int end = p.mask == Mask::causal && first_query + kRows < length ? first_query + kRows : length;
  for (int first_key = 0; first_key < end; first_key += kRows) {
    copy_tile<Element, kWidth>(keys, from + part, p.qkv_stride, first_key, length);
    copy_tile<Element, kWidth>(values, from + 2 * part, p.qkv_stride, first_key, length);
    copy_async_commit();
    copy_async_wait<0>();
    block_barrier();

    float scores[kRows / 8][4] = {};
#pragma unroll
    for (int step = 0; step < T::row_bytes / 32; ++step) {
      std::uint32_t a[4];
      load_matrices(a, queries + (warp_row + lane() % 16) * T::stride + (2 * step + lane() / 16) * 16);
#pragma unroll
      for (int i = 0; i < kRows / 16; ++i) {
        std::uint32_t b[4];
        load_matrices(b, keys + (16 * i + lane() / 16 * 8 + lane() % 8) * T::stride + (2 * step + lane() / 8 % 2) * 16);
        multiply<Element>(scores[2 * i], a, b[0], b[1]);
        multiply<Element>(scores[2 * i + 1], a, b[2], b[3]);
      }
    }

#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float best = highest[half];
#pragma unroll
      for (int i = 0; i < kRows / 8; ++i) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int key = first_key + 8 * i + 2 * t + j;
          float& score = scores[i][2 * half + j];
          score *= p.scale;
          if (p.mask == Mask::soft_causal && key <= positions[half]) score += 1.0f;
          if (key >= length || (p.mask == Mask::causal && key > positions[half])) score = kHidden;
          best = score > best ? score : best;
        }
      }
      for (int other = 1; other <= 2; other *= 2) {
        const float theirs = shuffle_xor(best, other);
        best = theirs > best ? theirs : best;
      }
      const float shrink = expf(highest[half] - best);
      highest[half] = best;
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kRows / 8; ++i) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          float& weight = scores[i][2 * half + j];
          weight = weight == kHidden ? 0 : expf(weight - best);
          sum += weight;
        }
      }
      total[half] = total[half] * shrink + sum;
#pragma unroll
      for (int i = 0; i < kWidth / 8; ++i) {
        out[i][2 * half] *= shrink;
        out[i][2 * half + 1] *= shrink;
      }
    }
    add_values<kWidth>(out, scores, values, Element{});
    block_barrier();
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    for (int other = 1; other <= 2; other *= 2) total[half] += shuffle_xor(total[half], other);
    if (positions[half] >= p.period) continue;
    const float share = positions[half] < length ? 1.0f / total[half] : 0.0f;
    const std::size_t row = static_cast<std::size_t>(sample) * p.period + positions[half];
    Element* const to = static_cast<Element*>(p.attended) + row * p.attended_stride + head * kWidth + 2 * t;
#pragma unroll
    for (int i = 0; i < kWidth / 8; ++i) {
      const bool counts = share != 0;
      store2(to + 8 * i, counts ? out[i][2 * half] * share : 0, counts ? out[i][2 * half + 1] * share : 0);
    }
  }
}

template <typename Element, int kWidth>
bool start(const Attention& p, void* stream, bool dependent, Error& error) {
  const unsigned blocks = static_cast<unsigned>((p.period + kRows - 1) / kRows);
  const Launch how{{blocks, static_cast<unsigned>(p.heads), static_cast<unsigned>(p.samples)},
                   kThreads,
                   3 * Tile<Element, kWidth>::bytes,
                   stream,
                   dependent};
  return launch(attention_kernel<Element, kWidth>, how, error, p);
}

}  // namespace

template <typename Element>
bool run(const Attention& attention, void* stream, bool dependent, Error& error) {
  switch (attention.head_width) {
    case 32:
      return start<Element, 32>(attention, stream, dependent, error);
    case 64:
      return start<Element, 64>(attention, stream, dependent, error);
    default:
      return start<Element, 128>(attention, stream, dependent, error);
  }
}

template bool run<bf16>(const Attention&, void*, bool, Error&);
template bool run<float>(const Attention&, void*, bool, Error&);

}  // namespace lf::cuda
