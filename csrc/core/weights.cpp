#include "weights.h"

#include <cstring>

namespace lf {

void widen(Dtype dtype, const void* data, std::size_t first, std::size_t count, float scale, float* out) noexcept {
  const unsigned char* bytes = static_cast<const unsigned char*>(data) + first * size_of(dtype);
  if (dtype == Dtype::f32) {
    std::memcpy(out, bytes, count * sizeof(float));
  } else if (dtype == Dtype::bf16) {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t half;
      std::memcpy(&half, bytes + 2 * i, sizeof half);
      const std::uint32_t bits = std::uint32_t{half} << 16;
      std::memcpy(out + i, &bits, sizeof bits);
    }
  } else {
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(bytes[i])) * scale;
  }
}

}  // namespace lf
