// Skeletons, features, rotations, coordinates, without Python.
#include <cstring>
#include <vector>

#include "coordinates.h"
#include "expect.h"
#include "motion_samples.h"

namespace {

bool near(double a, double b, double tolerance = 1e-5) { return std::abs(a - b) <= tolerance; }

bool near(const float* a, const float* b, std::size_t count, double tolerance) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!near(a[i], b[i], tolerance)) return false;
  }
  return true;
}

std::vector<float> joints_of(const std::vector<float>& features, const lf::Skeleton& skeleton) {
  const std::size_t frames = features.size() / skeleton.features();
  std::vector<float> joints(frames * 3 * skeleton.joints);
  lf::RootState state;
  lf::features_to_joints(features.data(), frames, skeleton, state, joints.data());
  return joints;
}

std::vector<float> rotations_of(const std::vector<float>& joints, const lf::Hierarchy& hierarchy,
                                const lf::RestPose& rest) {
  const std::size_t frames = joints.size() / (3 * hierarchy.skeleton->joints);
  lf::Placed<lf::RotationScratch> scratch(lf::system_allocator(), frames);
  std::vector<float> rotations(frames * 4 * hierarchy.nodes);
  lf::local_rotations(joints.data(), frames, 0, hierarchy, rest, scratch.value, rotations.data());
  return rotations;
}

void hierarchies() {
  for (const lf::Skeleton* skeleton : {&lf::kHumanML3D, &lf::kKit}) {
    for (const bool bases : {true, false}) {
      const lf::Hierarchy& hierarchy = lf::nodes_of(*skeleton, bases);
      expect(hierarchy.nodes == skeleton->joints + (bases ? 5 : 0), "five bases");
      for (std::size_t node = 1; node < hierarchy.nodes; ++node) {
        expect(hierarchy.parents[node] >= 0 && std::size_t(hierarchy.parents[node]) < node, "parents come first");
        expect(hierarchy.names[node] != nullptr, "every node has a name");
        expect(hierarchy.is_base(node) == (std::strstr(hierarchy.names[node], "_base") != nullptr), "bases are named");
      }
    }
    expect(lf::skeleton_of_features(skeleton->features()) == skeleton, "found by its features");
  }
  expect(lf::skeleton_of_features(262) == nullptr, "no skeleton has 262 features");
}

// Whatever way a body stands in the world, its rotations bring its joints back.
void rotations_bring_joints_back() {
  const lf::Quat ways[] = {
      {}, lf::qyaw(2.5), lf::from_rotation_vector({lf::kPi, 0, 0}), lf::from_rotation_vector({1, -2, 0.5})};
  for (const lf::Skeleton* skeleton : {&lf::kHumanML3D, &lf::kKit}) {
    const lf::Hierarchy& hierarchy = lf::nodes_of(*skeleton, true);
    for (const std::size_t frames : {1, 7, 49}) {
      for (const lf::Quat way : ways) {
        std::vector<float> joints = joints_of(lf::walk(13, *skeleton), *skeleton);
        joints.resize(frames * 3 * skeleton->joints);
        for (std::size_t i = 0; i < joints.size(); i += 3) lf::store(lf::qrot(way, lf::load(&joints[i])), &joints[i]);
        for (const lf::RestPose& rest :
             {lf::standard_rest(hierarchy), lf::measured_rest(joints.data(), frames, hierarchy)}) {
          const std::vector<float> rotations = rotations_of(joints, hierarchy, rest);
          bool exact = true, steady = true;
          for (std::size_t t = 0; t < frames; ++t) {
            const float* const pose = &joints[t * 3 * skeleton->joints];
            std::vector<float> positions(3 * hierarchy.nodes);
            lf::forward_kinematics(&rotations[t * 4 * hierarchy.nodes], pose, rest, hierarchy, positions.data());
            for (std::size_t node = 0; node < hierarchy.nodes; ++node) {
              exact &= near(&positions[3 * node], pose + 3 * hierarchy.joints[node], 3, 2e-5);
              const float* const q = &rotations[(t * hierarchy.nodes + node) * 4];
              exact &= near(lf::dot(lf::load_quat(q), lf::load_quat(q)), 1);
              // The walk turns its joints by 0.1 radians in a frame; twist may add something.
              if (t > 0) steady &= lf::dot(lf::load_quat(q), lf::load_quat(q - 4 * hierarchy.nodes)) > std::cos(0.4);
            }
          }
          expect(exact, "joints come back");
          expect(steady, "rotations have no jumps");
        }
      }
    }
  }
}

void turning_the_character_turns_the_root_only() {
  const lf::Hierarchy& hierarchy = lf::kHumanML3DNodes;
  const lf::RestPose rest = lf::standard_rest(hierarchy);
  std::vector<float> joints = joints_of(lf::walk(7, lf::kHumanML3D), lf::kHumanML3D);
  const std::vector<float> before = rotations_of(joints, hierarchy, rest);
  for (std::size_t i = 0; i < joints.size(); i += 3) lf::store(lf::qrot(lf::qyaw(1), lf::load(&joints[i])), &joints[i]);
  const std::vector<float> after = rotations_of(joints, hierarchy, rest);
  bool same = true;
  for (std::size_t i = 0; i < before.size(); i += 4) {
    const bool root = i % (4 * hierarchy.nodes) == 0;
    const lf::Quat q = lf::load_quat(&before[i]), expected = root ? lf::qmul(lf::qyaw(1), q) : q;
    same &= std::abs(lf::dot(expected, lf::load_quat(&after[i]))) > 1 - 1e-6;
  }
  expect(same, "turning the character turns the root only");
}

// Bodies that no capture holds must not yield NaN.
void degenerate_bodies() {
  const lf::Hierarchy& hierarchy = lf::kHumanML3DNodes;
  const std::vector<float> point(7 * 66, 0.5f);
  std::vector<float> line(7 * 66);
  for (std::size_t i = 0; i < line.size(); ++i) line[i] = i % 3 == 1 ? static_cast<float>(i % 66) : 0;
  for (const std::vector<float>& joints : {point, line}) {
    for (const lf::RestPose& rest : {lf::standard_rest(hierarchy), lf::measured_rest(joints.data(), 7, hierarchy)}) {
      bool finite = true;
      for (const float value : rotations_of(joints, hierarchy, rest)) finite &= std::isfinite(value);
      expect(finite, "a body without extent has finite rotations");
    }
  }
}

void features_in_pieces() {
  const std::vector<float> features = lf::walk(7, lf::kHumanML3D);
  const std::vector<float> whole = joints_of(features, lf::kHumanML3D);
  std::vector<float> pieces(whole.size());
  lf::RootState state;
  lf::features_to_joints(features.data(), 5, lf::kHumanML3D, state, pieces.data());
  lf::features_to_joints(features.data() + 5 * 263, 23, lf::kHumanML3D, state, pieces.data() + 5 * 66);
  expect(whole == pieces, "features are read in pieces");
  expect(near(state.heading(), 28 * 0.05), "the heading is the sum of the turns");
}

void presets() {
  const float left_up_forward[3] = {1, 2, 3}, yaw[4] = {0.8f, 0, 0.6f, 0};
  const struct {
    lf::Preset preset;
    float position[3], yaw[4], heading;
  } cases[] = {
      {lf::Preset::gltf, {1, 2, 3}, {0.8f, 0, 0.6f, 0}, 1},
      {lf::Preset::unity, {-1, 2, 3}, {0.8f, 0, -0.6f, 0}, -1},
      {lf::Preset::unreal, {100, 300, 200}, {0.8f, 0, 0, -0.6f}, -1},
      {lf::Preset::blender, {1, -3, 2}, {0.8f, 0, 0, 0.6f}, 1},
  };
  for (const auto& expected : cases) {
    const lf::Coordinates space(expected.preset);
    float position[3], rotation[4];
    space.position(left_up_forward, position);
    space.rotation(yaw, rotation);
    expect(near(position, expected.position, 3, 0), "positions in a preset");
    expect(near(rotation, expected.yaw, 4, 0), "rotations in a preset");
    float back[3], xyzw[4];
    space.position_back(position, back);
    space.rotation_xyzw(yaw, xyzw);
    expect(near(back, left_up_forward, 3, 1e-6), "and back");
    expect(xyzw[3] == rotation[0] && near(xyzw, rotation + 1, 3, 0), "w last");
    expect(space.heading(1) == expected.heading, "headings in a preset");

    // To rotate, then convert, is to convert, then rotate by the converted rotation.
    const lf::Quat q = lf::from_rotation_vector({0.3, -1.2, 2.0});
    float ours[4], theirs[4], turned[3];
    lf::store(q, ours);
    space.rotation(ours, theirs);
    lf::store(lf::qrot(q, lf::load(left_up_forward)), turned);
    space.position(turned, turned);
    float again[3];
    lf::store(lf::qrot(lf::load_quat(theirs), lf::load(position)), again);
    expect(near(turned, again, 3, 1e-3), "rotations act on converted vectors");
  }
  float position[3];
  lf::Coordinates(lf::Preset::unity, 10).position(left_up_forward, position);
  expect(position[0] == -10 && position[2] == 30, "a unit of one's own");
}

}  // namespace

int main() {
  hierarchies();
  rotations_bring_joints_back();
  turning_the_character_turns_the_root_only();
  degenerate_bodies();
  features_in_pieces();
  presets();
  return failures == 0 ? 0 : 1;
}
