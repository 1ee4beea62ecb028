// The two skeletons of the field, HumanML3D's 22 joints and KIT-ML's 21, and the hierarchy of joints that files and
// game engines hold. Right-handed, Y up, metres; a character that faces +Z has its left side at +X.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "rotation_math.h"

namespace lf {

constexpr std::size_t kMaxJoints = 22;
constexpr std::size_t kMaxNodes = 27;
constexpr std::size_t kContacts = 4;  // left ankle, left toe, right ankle, right toe
constexpr std::size_t kFramesPerToken = 4;

// A joint that three bones leave, and the joints in which those end.
struct Branch {
  std::int8_t joint, left, right, middle;
};

template <typename T>
using PerJoint = std::array<T, kMaxJoints>;

struct Skeleton {
  const char* name;
  std::size_t joints;
  float fps;
  PerJoint<const char*> names;
  PerJoint<std::int8_t> parents;           // -1 for the root; always before the joint itself
  PerJoint<std::int8_t> chain_references;  // the joint before each in its chain, where every chain starts at the root
  // The bone that ends in each joint, along an axis: as HumanML3D's features count rotations, in a T-pose facing +Z.
  PerJoint<Vec3> raw_offsets, t_pose;
  PerJoint<float> lengths;  // of the bone that ends in each joint, metres
  Branch pelvis, chest;
  std::array<std::int8_t, 4> face_joints;  // right hip, left hip, right shoulder, left shoulder
  std::array<std::int8_t, 2> leg_joints;   // ends of the two bones whose length sets the scale of a motion
  std::array<std::int8_t, kContacts> feet;
  float foot_threshold;  // a foot is in contact while it moves less than this in a frame: squared metres
  bool has_target;       // whether `lengths` are the data set's own, which its features are made with

  constexpr std::size_t features() const noexcept { return 12 * joints - 1; }  // 263 or 251
};

extern const Skeleton kHumanML3D;
// KIT-ML publishes no bone lengths; those here are of an adult of 1.7 metres.
extern const Skeleton kKit;

// The skeleton whose motions have so many features a frame, or null.
const Skeleton* skeleton_of_features(std::size_t features) noexcept;

// Joints as files hold them, parents first. With bases, the skeleton has a joint more where spine, hips and clavicles
// leave pelvis and chest: bones that swing on their own need joints of their own.
struct Hierarchy {
  const Skeleton* skeleton;
  std::size_t nodes;
  std::array<const char*, kMaxNodes> names;
  std::array<std::int8_t, kMaxNodes> parents;      // -1 for the root
  std::array<std::int8_t, kMaxNodes> joints;       // the joint of the skeleton on which each node lies
  std::array<std::int8_t, kMaxNodes> first_child;  // -1 for the ends

  // Whether a node was added at the place of its parent.
  bool is_base(std::size_t node) const noexcept { return node > 0 && joints[node] == joints[parents[node]]; }
};

extern const Hierarchy kHumanML3DNodes;       // 27: with bases, as in the BVH and GLB files
extern const Hierarchy kKitNodes;             // 26
extern const Hierarchy kHumanML3DPlainNodes;  // 22: hips and chest are rigid
extern const Hierarchy kKitPlainNodes;        // 21

const Hierarchy& nodes_of(const Skeleton& skeleton, bool bases) noexcept;

}  // namespace lf
