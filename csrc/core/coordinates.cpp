#include "coordinates.h"

namespace lf {
namespace {

struct Space {
  std::uint8_t source[3];
  float sign[3];
  float handed, units;
};

constexpr Space kSpaces[] = {
    {{0, 1, 2}, {1, 1, 1}, 1, 1},
    {{0, 1, 2}, {-1, 1, 1}, -1, 1},
    {{0, 2, 1}, {1, 1, 1}, -1, 100},
    {{0, 2, 1}, {1, -1, 1}, 1, 1},
};

}  // namespace

Coordinates::Coordinates(Preset preset, float units) noexcept {
  const auto index = static_cast<std::uint32_t>(preset);
  const Space& space = kSpaces[index < 4 ? index : 0];
  for (int i = 0; i < 3; ++i) {
    source_[i] = space.source[i];
    sign_[i] = space.sign[i];
  }
  handed_ = space.handed;
  units_ = units > 0 ? units : space.units;
}

void Coordinates::position(const float* in, float* out) const noexcept {
  const float from[3] = {in[0], in[1], in[2]};
  for (int i = 0; i < 3; ++i) out[i] = units_ * (sign_[i] * from[source_[i]]);
}

void Coordinates::position_back(const float* in, float* out) const noexcept {
  const float scale = 1 / (units_ * units_) * units_, from[3] = {in[0], in[1], in[2]};
  for (int i = 0; i < 3; ++i) out[source_[i]] = scale * sign_[i] * from[i];
}

void Coordinates::rotation(const float* in, float* out) const noexcept {
  const float from[3] = {in[1], in[2], in[3]};
  out[0] = in[0];
  for (int i = 0; i < 3; ++i) out[1 + i] = handed_ * (sign_[i] * from[source_[i]]);
}

void Coordinates::rotation_xyzw(const float* in, float* out) const noexcept {
  float turned[4];
  rotation(in, turned);
  for (int i = 0; i < 4; ++i) out[i] = turned[(i + 1) % 4];
}

}  // namespace lf
