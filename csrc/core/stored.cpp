#include "stored.h"

namespace lf {

StoredWeight stored(const LinearWeights& weights) noexcept {
  const WeightMatrix& matrix = weights.matrix;
  StoredWeight result;
  result.type = matrix.dtype;
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
  const float scale = matrix.dtype == Dtype::i8 ? matrix.scale[row] : 1.0f;
  widen(matrix.dtype, matrix.data, row * matrix.columns, matrix.columns, scale, out);
}

}  // namespace lf
