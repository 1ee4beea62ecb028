// HumanML3D's features of a motion given as joint positions, such as a clip of a game. motion_features.h has the way
// back.
#pragma once

#include <cstddef>

#include "skeleton.h"

namespace lf {

// Doubles that `joints_to_features` needs while it runs.
constexpr std::size_t joints_to_features_scratch(std::size_t frames) noexcept { return frames * (3 * kMaxJoints + 4); }

// joints (frames, J, 3), metres, Y up, any place and heading, frames >= 2 -> features (frames - 1, 12 J - 1).
//
// The motion is first given the skeleton's bone lengths, set on the floor, and moved so that it starts at the origin,
// facing +Z (released `process_file`). False where a bone has no length, or values are not finite.
bool joints_to_features(const float* joints, std::size_t frames, const Skeleton& skeleton, double* scratch,
                        float* features) noexcept;

// Where a pose (J, 3) faces: the heading about +Y from +Z to the left, in radians, told by hips and shoulders.
double heading_of(const float* joints, const Skeleton& skeleton) noexcept;

}  // namespace lf
