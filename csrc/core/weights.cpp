#include "weights.h"

#include <cstring>

namespace lf {

void widened_row(const WeightMatrix& matrix, std::size_t row, float* out) noexcept {
  const std::size_t count = matrix.columns, first = row * count;
  const unsigned char* bytes = static_cast<const unsigned char*>(matrix.data) + first * size_of(matrix.dtype);
  if (matrix.dtype == Dtype::f32) {
    std::memcpy(out, bytes, count * sizeof(float));
  } else if (matrix.dtype == Dtype::bf16) {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t half;
      std::memcpy(&half, bytes + 2 * i, sizeof half);
      const std::uint32_t bits = std::uint32_t{half} << 16;
      std::memcpy(out + i, &bits, sizeof bits);
    }
  } else {
    const float scale = matrix.scale[row];
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(bytes[i])) * scale;
  }
}

}  // namespace lf
