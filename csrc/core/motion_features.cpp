#include "motion_features.h"

#include <cmath>

namespace lf {
namespace {

// Horizontal vectors turned about +Y by the quaternion (w, 0, y, 0).
void turn(float w, float y, float& x, float& z) noexcept {
  const float across_x = y * z, across_z = -(y * x);
  x += 2 * (w * across_x + y * across_z);
  z += 2 * (w * across_z - y * across_x);
}

}  // namespace

void RootState::advance(const float* features) noexcept {
  half_turn += features[0];
  const float half = static_cast<float>(half_turn);
  float step_x = features[1], step_z = features[2];
  turn(std::cos(half), -std::sin(half), step_x, step_z);
  x += step_x;
  z += step_z;
}

void features_to_joints(const float* features, std::size_t frames, const Skeleton& skeleton, RootState& state,
                        float* joints) noexcept {
  for (std::size_t t = 0; t < frames; ++t) {
    const float half = static_cast<float>(state.half_turn), w = std::cos(half), y = -std::sin(half);
    const float x = static_cast<float>(state.x), z = static_cast<float>(state.z);
    facing_pose(features, skeleton, joints);
    for (std::size_t j = 0; j < skeleton.joints; ++j) {
      turn(w, y, joints[3 * j], joints[3 * j + 2]);
      joints[3 * j] += x;
      joints[3 * j + 2] += z;
    }
    state.advance(features);
    features += skeleton.features();
    joints += 3 * skeleton.joints;
  }
}

void facing_pose(const float* features, const Skeleton& skeleton, float* joints) noexcept {
  joints[0] = joints[2] = 0;
  joints[1] = features[3];
  for (std::size_t i = 3; i < 3 * skeleton.joints; ++i) joints[i] = features[1 + i];
}

void foot_contacts(const float* features, std::size_t frames, const Skeleton& skeleton,
                   std::uint8_t* contacts) noexcept {
  for (std::size_t t = 0; t < frames; ++t) {
    const float* const row = features + (t + 1) * skeleton.features() - kContacts;
    for (std::size_t i = 0; i < kContacts; ++i) contacts[t * kContacts + i] = row[i] > 0.5f;
  }
}

}  // namespace lf
