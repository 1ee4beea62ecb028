#include "skeleton.h"

namespace lf {
namespace {

constexpr Vec3 kZero{0, 0, 0}, kPlusX{1, 0, 0}, kMinusX{-1, 0, 0}, kPlusY{0, 1, 0}, kMinusY{0, -1, 0}, kPlusZ{0, 0, 1};

constexpr const char* kBaseNames[] = {"l_hip_base",    "r_hip_base",      "spine1_base",    "l_collar_base",
                                      "r_collar_base", "l_shoulder_base", "r_shoulder_base"};

constexpr bool equal(const char* a, const char* b) {
  for (; *a && *a == *b; ++a, ++b) {
  }
  return *a == *b;
}

// The name of a joint with "_base" behind it.
constexpr const char* base_name(const char* joint) {
  for (const char* name : kBaseNames) {
    std::size_t n = 0;
    while (joint[n] && joint[n] == name[n]) ++n;
    if (!joint[n] && equal(name + n, "_base")) return name;
  }
  return nullptr;
}

constexpr Hierarchy hierarchy(const Skeleton& skeleton, bool bases) {
  Hierarchy result{&skeleton, 0, {}, {}, {}, {}};
  PerJoint<std::int8_t> node_of{};
  std::size_t count = 0;
  const auto add = [&](const char* name, int parent, std::size_t joint) {
    result.names[count] = name;
    result.parents[count] = static_cast<std::int8_t>(parent);
    result.joints[count] = static_cast<std::int8_t>(joint);
    result.first_child[count] = -1;
    if (parent >= 0 && result.first_child[parent] < 0) result.first_child[parent] = static_cast<std::int8_t>(count);
    return static_cast<std::int8_t>(count++);
  };
  for (std::size_t j = 0; j < skeleton.joints; ++j) {
    const int parent = skeleton.parents[j], joint = static_cast<int>(j);
    int above = parent < 0 ? -1 : node_of[parent];
    const Branch& pelvis = skeleton.pelvis;
    // The neck has none: the chest takes its frame from it.
    const bool swings = joint == pelvis.left || joint == pelvis.right || joint == pelvis.middle ||
                        joint == skeleton.chest.left || joint == skeleton.chest.right;
    if (bases && swings) above = add(base_name(skeleton.names[j]), above, static_cast<std::size_t>(parent));
    node_of[j] = add(skeleton.names[j], above, j);
  }
  result.nodes = count;
  return result;
}

}  // namespace

constexpr Skeleton kHumanML3D{
    "humanml3d",
    22,
    20.0f,
    {"pelvis",     "l_hip",      "r_hip",   "spine1",  "l_knee",  "r_knee",   "spine2",   "l_ankle",
     "r_ankle",    "spine3",     "l_foot",  "r_foot",  "neck",    "l_collar", "r_collar", "head",
     "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist"},
    {-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19},
    {-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 12, 13, 14, 16, 17, 18, 19},
    {kZero,  kPlusX, kMinusX, kPlusY,  kMinusY, kMinusY, kPlusY,  kMinusY, kMinusY, kPlusY,  kPlusZ,
     kPlusZ, kPlusY, kPlusX,  kMinusX, kPlusZ,  kMinusY, kMinusY, kMinusY, kMinusY, kMinusY, kMinusY},
    {kZero,  kPlusX, kMinusX, kPlusY,  kMinusY, kMinusY, kPlusY,  kMinusY, kMinusY, kPlusY, kPlusZ,
     kPlusZ, kPlusY, kPlusX,  kMinusX, kPlusY,  kPlusX,  kMinusX, kPlusX,  kMinusX, kPlusX, kMinusX},
    {0.0f,      0.103074f, 0.109883f, 0.131568f, 0.393623f, 0.390188f, 0.143190f, 0.432433f,
     0.425644f, 0.057365f, 0.143382f, 0.149419f, 0.219360f, 0.137487f, 0.143383f, 0.103039f,
     0.131614f, 0.122984f, 0.256840f, 0.263092f, 0.266012f, 0.269876f},
    {0, 1, 2, 3},
    {9, 13, 14, 12},
    {2, 1, 17, 16},
    {5, 8},
    {7, 10, 8, 11},
    0.002f,
    true};

constexpr Skeleton kKit{"kit",
                        21,
                        12.5f,
                        {"pelvis",  "spine1",     "spine2",  "neck",    "head",    "r_shoulder", "r_elbow",
                         "r_wrist", "l_shoulder", "l_elbow", "l_wrist", "r_hip",   "r_knee",     "r_ankle",
                         "r_heel",  "r_foot",     "l_hip",   "l_knee",  "l_ankle", "l_heel",     "l_foot"},
                        {-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19},
                        {-1, 0, 1, 2, 3, 0, 5, 6, 0, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19},
                        {kZero,  kPlusY,  kPlusY,  kPlusY, kPlusY, kPlusX,  kMinusY, kMinusY, kMinusX, kMinusY, kMinusY,
                         kPlusX, kMinusY, kMinusY, kPlusZ, kPlusZ, kMinusX, kMinusY, kMinusY, kPlusZ,  kPlusZ},
                        {kZero,   kPlusY,  kPlusY,  kPlusY, kPlusY, kMinusX, kMinusX, kMinusX, kPlusX, kPlusX, kPlusX,
                         kMinusX, kMinusY, kMinusY, kPlusZ, kPlusZ, kPlusX,  kMinusY, kMinusY, kPlusZ, kPlusZ},
                        {0.0f,  0.07f, 0.18f, 0.21f, 0.13f, 0.18f, 0.29f, 0.25f, 0.18f, 0.29f, 0.25f,
                         0.09f, 0.42f, 0.41f, 0.06f, 0.15f, 0.09f, 0.42f, 0.41f, 0.06f, 0.15f},
                        {0, 16, 11, 1},
                        {3, 8, 5, 4},
                        {11, 16, 5, 8},
                        {17, 18},
                        {19, 20, 14, 15},
                        0.05f,
                        false};

constexpr Hierarchy kHumanML3DNodes = hierarchy(kHumanML3D, true);
constexpr Hierarchy kKitNodes = hierarchy(kKit, true);
constexpr Hierarchy kHumanML3DPlainNodes = hierarchy(kHumanML3D, false);
constexpr Hierarchy kKitPlainNodes = hierarchy(kKit, false);
static_assert(kHumanML3DNodes.nodes == kMaxNodes && kKitNodes.nodes == 26);

const Skeleton* skeleton_of_features(std::size_t features) noexcept {
  if (features == kHumanML3D.features()) return &kHumanML3D;
  return features == kKit.features() ? &kKit : nullptr;
}

const Hierarchy& nodes_of(const Skeleton& skeleton, bool bases) noexcept {
  if (&skeleton == &kKit) return bases ? kKitNodes : kKitPlainNodes;
  return bases ? kHumanML3DNodes : kHumanML3DPlainNodes;
}

}  // namespace lf
