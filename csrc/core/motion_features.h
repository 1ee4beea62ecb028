// HumanML3D's motion representation (263 values a frame, KIT-ML 251) and joint positions. One row of features, for J
// joints: half the turn about +Y into the next frame (1), x and z of the root's step into it (2), height of the root
// (1), positions of the other joints seen from the root's ground point, facing +Z (3 (J-1)), rotations (6 (J-1)),
// velocities (3 J), foot contacts (4).
#pragma once

#include <cstddef>
#include <cstdint>

#include "skeleton.h"

namespace lf {

// Where the root stands in one frame. The character's heading is the angle about +Y from +Z to the left.
struct RootState {
  double half_turn = 0;  // radians; the heading is -2 half_turn
  double x = 0, z = 0;   // metres

  double heading() const noexcept { return -2 * half_turn; }

  // Go on from this frame, whose features are given, to the next.
  void advance(const float* features) noexcept;
};

// features (frames, 12 J - 1), not normalised -> joints (frames, J, 3), metres, from the position part (released
// `recover_from_ric`). state: where the motion starts; left where the frame behind the last one would stand.
void features_to_joints(const float* features, std::size_t frames, const Skeleton& skeleton, RootState& state,
                        float* joints) noexcept;

// One frame's joints (J, 3) as seen from the root's ground point, facing +Z: no path, no heading.
void facing_pose(const float* features, const Skeleton& skeleton, float* joints) noexcept;

// contacts (frames, 4), 1 or 0: left ankle, left toe, right ankle, right toe stand still.
void foot_contacts(const float* features, std::size_t frames, const Skeleton& skeleton,
                   std::uint8_t* contacts) noexcept;

}  // namespace lf
