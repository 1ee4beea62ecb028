#include "stored.h"

#include <cstdint>
#include <cstring>

namespace lf {

StoredWeight stored(const LinearWeights& weights) noexcept {
  const WeightMatrix& matrix = weights.matrix;
  StoredWeight result;
  result.type = matrix.dtype == Dtype::bf16 ? StoredWeight::Type::bf16
                : matrix.dtype == Dtype::i8 ? StoredWeight::Type::i8
                                            : StoredWeight::Type::f32;
  result.data = matrix.data;
  result.scale = matrix.scale;
  result.outputs = matrix.rows;
  result.inputs = matrix.columns;
  result.bias = weights.bias;
  return result;
}

StoredWeight stored(const ResidualWeights& weights) noexcept {
  StoredWeight result = stored(weights.linear);
  result.norm_scale = weights.norm.scale;
  result.norm_shift = weights.norm.shift;
  return result;
}

StoredWeight stored(const ConvWeights& weights) noexcept {
  StoredWeight result = stored(weights.linear);
  result.taps = weights.taps;
  result.inputs = weights.inputs;
  return result;
}

StoredWeight stored(const UpsampleWeights& weights) noexcept {
  // The odd matrix lies behind the even one, as do its scales.
  StoredWeight result = stored(weights.even);
  result.taps = 2;
  result.inputs = weights.even.matrix.columns / 2;
  return result;
}

void widened_row(const WeightMatrix& matrix, std::size_t row, float* out) noexcept {
  const unsigned char* data =
      static_cast<const unsigned char*>(matrix.data) + row * matrix.columns * size_of(matrix.dtype);
  if (matrix.dtype == Dtype::f32) {
    std::memcpy(out, data, matrix.columns * sizeof(float));
  } else if (matrix.dtype == Dtype::bf16) {
    for (std::size_t i = 0; i < matrix.columns; ++i) {
      std::uint16_t half;
      std::memcpy(&half, data + 2 * i, sizeof half);
      const std::uint32_t bits = std::uint32_t{half} << 16;
      std::memcpy(out + i, &bits, sizeof bits);
    }
  } else {
    const float scale = matrix.scale[row];
    for (std::size_t i = 0; i < matrix.columns; ++i) {
      out[i] = static_cast<float>(static_cast<std::int8_t>(data[i])) * scale;
    }
  }
}

}  // namespace lf
