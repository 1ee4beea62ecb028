// Joint positions to rotations as animation tools know them: the rotation of a node turns every bone that leaves it,
// and is told relative to the parent, from a T-pose that faces +Z. Quaternions are w, x, y, z.
#pragma once

#include <cstddef>

#include "memory.h"
#include "rotation_math.h"
#include "skeleton.h"
#include "steps.h"

namespace lf {

// The bones of a body in its T-pose.
struct RestPose {
  std::array<Vec3, kMaxNodes> offsets;  // from each node's parent to the node, metres; zero for the root and for bases
  bool flat_hips;                       // hips in a line with the pelvis do not tell how it tilts; the spine does
};

// Frames before this many have no say in the twist of a frame.
constexpr std::size_t kTwistHistory = 24;

// The body that all motions of a skeleton share: its bones along the T-pose, hips and clavicles where they lie in an
// adult.
RestPose standard_rest(const Hierarchy& hierarchy) noexcept;

// The body that one motion moves: each bone has its mean length, hips, clavicles and spine their mean direction.
// joints (frames, J, 3) metres, frames >= 1.
RestPose measured_rest(const float* joints, std::size_t frames, const Hierarchy& hierarchy) noexcept;

// A body that stands at ease, its arms down: rotations (K, 4), and the height of its root over the floor.
float standing_pose(const Hierarchy& hierarchy, const RestPose& rest, float* rotations) noexcept;

// Positions (K, 3), metres, of a pose. rotations (K, 4), root (3). A base lies on its parent.
void forward_kinematics(const float* rotations, const float* root, const RestPose& rest, const Hierarchy& hierarchy,
                        float* positions) noexcept;

// The scratch of one caller of `local_rotations`.
struct RotationScratch {
  // Takes what motions of up to so many frames need; once to measure, once to have it, see Arena.
  void lay_out(Arena& arena, std::size_t frames) noexcept;

  std::size_t max_frames = 0;
  Quat* world = nullptr;    // (K, max_frames)
  Vec3* reached = nullptr;  // (K, max_frames)
  Vec3* direction = nullptr;
  Quat* carried = nullptr;
  double* cosine = nullptr;
  double* sine = nullptr;
  double* angle = nullptr;
};

// Rotations that `forward_kinematics` turns into the given joints where the bones have the lengths of the rest pose.
// Else every bone points from where its parent came out to where its end should be, so that errors do not add up.
//
// The pelvis takes its frame from the hips, the chest from neck and clavicles; every other joint turns its bone away
// from the T-pose, seen from its parent, and twists as knees, elbows, feet and the parent say, never suddenly. Turning
// the character changes the root's rotation only. Consecutive frames have quaternions of the nearer sign.
//
// The rotations of the `given` first frames are there already and stay; the others go on from them, and what they would
// rather twist by comes within half a second.
//
// joints (frames, J, 3) metres, given < frames <= scratch.max_frames; rotations (frames, K, 4).
void local_rotations(const float* joints, std::size_t frames, std::size_t given, const Hierarchy& hierarchy,
                     const RestPose& rest, RotationScratch& scratch, float* rotations) noexcept;

// The same in steps.
void local_rotations(const float* joints, std::size_t frames, std::size_t given, const Hierarchy& hierarchy,
                     const RestPose& rest, RotationScratch& scratch, float* rotations, Steps& steps) noexcept;

}  // namespace lf
