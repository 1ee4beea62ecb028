#include "body.h"

#include <algorithm>

namespace lf::capi {
namespace {

static_assert(static_cast<int>(Preset::gltf) == LF_COORDINATES_GLTF &&
                  static_cast<int>(Preset::unity) == LF_COORDINATES_UNITY &&
                  static_cast<int>(Preset::unreal) == LF_COORDINATES_UNREAL &&
                  static_cast<int>(Preset::blender) == LF_COORDINATES_BLENDER,
              "core and header number the presets alike");

}  // namespace

Body::Body(const Skeleton& skeleton, const lf_session_params& params) noexcept
    : nodes_(&nodes_of(skeleton, params.skeleton == LF_SKELETON_EXACT)),
      rest_(standard_rest(*nodes_)),
      coordinates_(static_cast<Preset>(params.coordinates), params.units_per_metre),
      root_is_separate_(params.root_mode == LF_ROOT_SEPARATE) {}

void Body::read(const float* positions, std::size_t frames, float* joints) const noexcept {
  const std::size_t count = skeleton().joints;
  for (std::size_t t = 0; t < frames; ++t) {
    for (std::size_t node = 0; node < nodes_->nodes; ++node) {
      if (nodes_->is_base(node)) continue;
      coordinates_.position_back(positions + 3 * (t * nodes_->nodes + node),
                                 joints + 3 * (t * count + static_cast<std::size_t>(nodes_->joints[node])));
    }
  }
}

void Body::write(const Question& question, const Answer& answer, lf_motion& motion) const noexcept {
  const std::size_t frames = answer.frames, width = skeleton().features();
  for (std::size_t t = 0; t < frames; ++t) write_frame(answer, t, motion);
  if (motion.features != nullptr) std::copy_n(answer.features.data(), frames * width, motion.features);
  if (motion.contacts != nullptr) std::copy_n(answer.contacts.data(), frames * kContacts, motion.contacts);
  const std::size_t tokens = (frames + kFramesPerToken - 1) / kFramesPerToken;
  const std::size_t before = static_cast<std::size_t>(question.params.before_frames);
  const std::size_t after = static_cast<std::size_t>(question.params.after_frames);
  if (motion.tokens != nullptr && before + after == 0) {
    for (std::size_t i = 0; i < tokens; ++i) motion.tokens[i] = static_cast<std::int32_t>(answer.tokens[i]);
  }
  // Frames that were given come back as they were, to the bit.
  if (motion.positions != nullptr && !root_is_separate_) {
    const std::size_t frame = 3 * nodes_->nodes;
    const float* given = question.given.data();
    std::copy_n(given, before * frame, motion.positions);
    std::copy_n(given + before * frame, after * frame, motion.positions + (frames - after) * frame);
  }
}

void Body::write_frame(const Answer& answer, std::size_t t, lf_motion& motion) const noexcept {
  const float* root = answer.roots.data() + 4 * t;
  const Vec3 ground{root[0], 0, root[2]};
  const Quat yaw = qyaw(root[3]), back = qinv(yaw);
  float ours[4];
  if (motion.root_positions != nullptr) {
    store(ground, ours);
    coordinates_.position(ours, motion.root_positions + 3 * t);
  }
  if (motion.root_rotations != nullptr) {
    store(yaw, ours);
    coordinates_.rotation_xyzw(ours, motion.root_rotations + 4 * t);
  }
  const std::size_t count = nodes_->nodes;
  if (motion.positions != nullptr) {
    for (std::size_t node = 0; node < count; ++node) {
      const std::size_t joint = static_cast<std::size_t>(nodes_->joints[node]);
      Vec3 position = load(answer.joints.data() + 3 * (t * skeleton().joints + joint));
      if (root_is_separate_) position = qrot(back, position - ground);
      store(position, ours);
      coordinates_.position(ours, motion.positions + 3 * (t * count + node));
    }
  }
  if (motion.rotations != nullptr) {
    for (std::size_t node = 0; node < count; ++node) {
      Quat rotation = load_quat(answer.rotations.data() + 4 * (t * count + node));
      if (root_is_separate_ && node == 0) rotation = qmul(back, rotation);
      store(rotation, ours);
      coordinates_.rotation_xyzw(ours, motion.rotations + 4 * (t * count + node));
    }
  }
}

}  // namespace lf::capi
