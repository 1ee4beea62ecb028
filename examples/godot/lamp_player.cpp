#include "lamp_player.h"

#include <godot_cpp/classes/engine.hpp>
#include <godot_cpp/classes/project_settings.hpp>
#include <godot_cpp/core/class_db.hpp>
#include <godot_cpp/variant/utility_functions.hpp>

using namespace godot;

namespace {

constexpr double kHorizon = 3;  // seconds of motion that are kept ready

}  // namespace

LampPlayer::~LampPlayer() { stop(); }

void LampPlayer::_bind_methods() {
  ClassDB::bind_method(D_METHOD("set_model_path", "path"), &LampPlayer::set_model_path);
  ClassDB::bind_method(D_METHOD("get_model_path"), &LampPlayer::get_model_path);
  ClassDB::bind_method(D_METHOD("set_skeleton_path", "path"), &LampPlayer::set_skeleton_path);
  ClassDB::bind_method(D_METHOD("get_skeleton_path"), &LampPlayer::get_skeleton_path);
  ClassDB::bind_method(D_METHOD("set_prompt", "prompt"), &LampPlayer::set_prompt);
  ClassDB::bind_method(D_METHOD("get_prompt"), &LampPlayer::get_prompt);
  ADD_PROPERTY(PropertyInfo(Variant::STRING, "model_path", PROPERTY_HINT_FILE), "set_model_path", "get_model_path");
  ADD_PROPERTY(PropertyInfo(Variant::NODE_PATH, "skeleton_path"), "set_skeleton_path", "get_skeleton_path");
  ADD_PROPERTY(PropertyInfo(Variant::STRING, "prompt"), "set_prompt", "get_prompt");
}

void LampPlayer::_ready() {
  if (Engine::get_singleton()->is_editor_hint()) return;
  lf_error error = {LF_OK, ""};
  if (start(error)) return;
  UtilityFunctions::push_error(String("lamp_fast: ") + String::utf8(error.text));
  stop();
}

bool LampPlayer::start(lf_error& error) {
  // A model in the .pck would go through FileAccess and lf_model_load_memory.
  const CharString path = ProjectSettings::get_singleton()->globalize_path(model_path_).utf8();
  if (lf_model_load(path.get_data(), nullptr, &model_, &error) != LF_OK) return false;
  lf_session_params params;
  lf_session_params_init(&params);
  params.coordinates = LF_COORDINATES_GLTF;  // a scene's axes; imported characters face +Z
  params.root_mode = LF_ROOT_SEPARATE;
  if (lf_session_create(model_, &params, &session_, &error) != LF_OK) return false;
  if (lf_stream_create(session_, nullptr, &stream_, &error) != LF_OK) return false;

  const int count = lf_session_joint_count(session_);
  positions_.resize(3 * count);
  rotations_.resize(4 * count);
  bones_.resize(count);
  skeleton_ = Object::cast_to<Skeleton3D>(get_node_or_null(skeleton_path_));
  for (int i = 0; i < count; ++i) {
    lf_joint joint = {};
    joint.struct_size = sizeof joint;
    if (lf_session_joint(session_, i, &joint, &error) != LF_OK) return false;
    bones_.write[i] = skeleton_ != nullptr ? skeleton_->find_bone(joint.name) : -1;
  }
  return true;
}

void LampPlayer::stop() {
  lf_session_destroy(session_);  // and its stream
  lf_model_release(model_);
  stream_ = nullptr;
  session_ = nullptr;
  model_ = nullptr;
}

void LampPlayer::append() {
  const CharString prompt = prompt_.utf8();
  lf_generate_params params;
  lf_generate_params_init(&params);
  params.prompt = prompt.get_data();
  params.frames = 60;
  params.seed = seed_++;
  lf_error error;
  if (lf_stream_append(stream_, &params, nullptr, &error) != LF_OK) {
    UtilityFunctions::push_warning(String("lamp_fast: ") + String::utf8(error.text));
  }
}

void LampPlayer::_process(double delta) {
  if (stream_ == nullptr) return;
  lf_stream_info info = {};
  info.struct_size = sizeof info;
  if (lf_stream_get_info(stream_, &info) == LF_OK && info.seconds_left < kHorizon && info.segments_waiting == 0)
    append();

  lf_pose pose = {};
  pose.struct_size = sizeof pose;
  pose.positions = positions_.ptrw();
  pose.rotations = rotations_.ptrw();
  time_ += delta;
  if (lf_stream_sample(stream_, time_, &pose) < LF_OK) return;
  translate_object_local(Vector3(pose.root_step[0], pose.root_step[1], pose.root_step[2]));
  rotate_object_local(Vector3(0, 1, 0), pose.root_turn);
  if (skeleton_ == nullptr) return;
  for (int i = 0; i < bones_.size(); ++i) {
    const float* q = rotations_.ptr() + 4 * i;
    if (bones_[i] >= 0) skeleton_->set_bone_pose_rotation(bones_[i], Quaternion(q[0], q[1], q[2], q[3]));
  }
  const float* pelvis = positions_.ptr();
  if (bones_[0] >= 0) skeleton_->set_bone_pose_position(bones_[0], Vector3(pelvis[0], pelvis[1], pelvis[2]));
}
