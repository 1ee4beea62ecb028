// Weights of a model file as the kernels want them: filled up to whole tiles, in one piece that goes to the GPU at
// once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "linear.h"
#include "runtime.h"
#include "weights.h"

namespace lf::cuda {

enum class Numbers { f32, bf16 };  // of weights and activations; sums, norms and logits are float in both

constexpr std::size_t kAlign = 256;
constexpr std::size_t kNone = ~std::size_t{0};

// Offsets into the piece, in bytes; kNone where there is none.
struct Packed {
  std::size_t weight, weight_scale, bias, fold, norm_scale, norm_shift;
  int inner, outer, width;  // inner of one tap and outer filled up; width is not
};

inline int up(std::size_t value, int step) { return static_cast<int>((value + step - 1) / step * step); }

inline std::uint16_t half_bits(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float from_half(std::uint16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Where the numbers of a row go when it is filled up: its place, for each number in turn.
using Places = std::vector<int>;

inline Places straight(std::size_t count, int first = 0) {
  Places places(count);
  for (std::size_t i = 0; i < count; ++i) places[i] = first + static_cast<int>(i);
  return places;
}

// All numbers of a tap, then the next, each filled up to `inner`.
inline Places by_taps(std::size_t inputs, std::size_t taps, int inner) {
  Places places;
  for (std::size_t tap = 0; tap < taps; ++tap) {
    for (const int place : straight(inputs, static_cast<int>(tap) * inner)) places.push_back(place);
  }
  return places;
}

// `parts` times all heads.
inline Places by_heads(std::size_t width, std::size_t heads, int head_width, int parts, int first = 0) {
  Places places;
  const int own = static_cast<int>(width / heads), part = static_cast<int>(heads) * head_width;
  for (int p = 0; p < parts; ++p) {
    for (int i = 0; i < static_cast<int>(width); ++i)
      places.push_back(first + p * part + i / own * head_width + i % own);
  }
  return places;
}

// What goes to the GPU in one piece.
class Packer {
 public:
  explicit Packer(Numbers numbers) : size_(numbers == Numbers::bf16 ? 2 : 4) {}

  std::size_t vector(const float* values, const Places& places, int size) {
    const std::size_t at = reserve(static_cast<std::size_t>(size) * sizeof(float));
    for (std::size_t i = 0; i < places.size(); ++i) put(at + places[i] * sizeof(float), values + i, sizeof(float));
    return at;
  }

  // Rows of the matrix go to `rows` and their numbers to `columns`; i8 without its scale. sums, unless null: (rows) the
  // sum of each row as it is stored.
  std::size_t matrix(WeightMatrix matrix, const Places& rows, int row_count, const Places& columns, int stride,
                     bool scaled, std::vector<float>* sums) {
    const std::size_t at = reserve(static_cast<std::size_t>(row_count) * stride * size_);
    const std::vector<float> ones(matrix.rows, 1.0f);
    if (!scaled && matrix.scale != nullptr) matrix.scale = ones.data();
    std::vector<float> row(matrix.columns);
    for (std::size_t r = 0; r < matrix.rows; ++r) {
      widened_row(matrix, r, row.data());
      double sum = 0;
      for (std::size_t c = 0; c < matrix.columns; ++c) {
        const std::size_t to = at + (static_cast<std::size_t>(rows[r]) * stride + columns[c]) * size_;
        const std::uint16_t half = half_bits(row[c]);
        sum += size_ == 2 ? from_half(half) : row[c];
        size_ == 2 ? put(to, &half, 2) : put(to, &row[c], 4);
      }
      if (sums != nullptr) (*sums)[r] = static_cast<float>(sum);
    }
    return at;
  }

  Packed linear(const LinearWeights& weights, const NormWeights& norm, bool folded, const Places& rows,
                const Places& columns, int inner, int taps = 1) {
    const WeightMatrix& matrix = weights.matrix;
    Packed packed{};
    packed.inner = inner;
    packed.outer = up(static_cast<std::size_t>(*std::max_element(rows.begin(), rows.end())) + 1, kColumnStep);
    packed.width = static_cast<int>(matrix.rows);
    std::vector<float> sums(matrix.rows);
    packed.weight = this->matrix(matrix, rows, up(packed.outer, kWeightRowStep), columns, taps * inner, false, &sums);
    if (matrix.scale != nullptr) {
      for (std::size_t r = 0; r < matrix.rows; ++r) sums[r] *= matrix.scale[r];
    }
    const auto place = [&](const float* values) {
      return values == nullptr ? kNone : vector(values, rows, packed.outer);
    };
    packed.weight_scale = place(matrix.scale);
    packed.bias = place(weights.bias);
    packed.fold = place(folded ? sums.data() : nullptr);
    packed.norm_scale = place(norm.scale);
    packed.norm_shift = place(norm.shift);
    return packed;
  }

  const std::vector<unsigned char>& bytes() const { return bytes_; }

 private:
  std::size_t reserve(std::size_t size) {
    const std::size_t at = (bytes_.size() + kAlign - 1) / kAlign * kAlign;
    bytes_.resize(at + size);
    return at;
  }
  void put(std::size_t at, const void* value, std::size_t size) { std::memcpy(&bytes_[at], value, size); }

  std::size_t size_;
  std::vector<unsigned char> bytes_;
};

}  // namespace lf::cuda
