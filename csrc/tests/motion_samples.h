// Motions made up for tests: features of a character that walks a curve, swings its arms and bends.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "motion_features.h"
#include "rotations.h"

namespace lf {

// Features (4 tokens, F). `phase` makes motions that differ in pose; `turning` is the turn in a frame, radians.
inline std::vector<float> walk(std::size_t tokens, const Skeleton& skeleton, double phase = 0, double turning = 0.05,
                               double speed = 0.05) {
  const Hierarchy& hierarchy = nodes_of(skeleton, true);
  const RestPose rest = standard_rest(hierarchy);
  const std::size_t frames = kFramesPerToken * tokens, width = skeleton.features();
  std::vector<float> features(frames * width);
  std::vector<float> rotations(4 * hierarchy.nodes), positions(3 * hierarchy.nodes);
  for (std::size_t t = 0; t < frames; ++t) {
    float* const row = features.data() + t * width;
    row[0] = static_cast<float>(-turning / 2);
    row[1] = static_cast<float>(0.002 * std::sin(0.3 * t + phase));
    row[2] = static_cast<float>(speed);
    row[3] = static_cast<float>(0.95 + 0.03 * std::sin(0.4 * t + phase));
    for (std::size_t node = 0; node < hierarchy.nodes; ++node) {
      const double swing = 0.4 * std::sin(0.25 * t + 1.7 * node + phase);
      store(from_rotation_vector({swing, 0.3 * swing * std::cos(1.0 * node), 0.2 * swing}),
            rotations.data() + 4 * node);
    }
    const float root[3] = {0, row[3], 0};
    forward_kinematics(rotations.data(), root, rest, hierarchy, positions.data());
    for (std::size_t node = 1; node < hierarchy.nodes; ++node) {
      const std::size_t joint = hierarchy.joints[node];
      if (joint == 0) continue;
      for (std::size_t i = 0; i < 3; ++i) row[4 + 3 * (joint - 1) + i] = positions[3 * node + i];
    }
    for (std::size_t i = 0; i < kContacts; ++i) row[width - kContacts + i] = (t / 5 + i / 2) % 2 ? 1.0f : 0.0f;
  }
  return features;
}

inline std::vector<std::int64_t> token_row(std::size_t tokens, std::int64_t first = 0) {
  std::vector<std::int64_t> ids(tokens);
  for (std::size_t i = 0; i < tokens; ++i) ids[i] = first + static_cast<std::int64_t>(i);
  return ids;
}

}  // namespace lf
