// A node of Godot 4 that moves a Skeleton3D as its prompt says.
#pragma once

#include <godot_cpp/classes/node3d.hpp>
#include <godot_cpp/classes/skeleton3d.hpp>
#include <godot_cpp/templates/vector.hpp>
#include <godot_cpp/variant/string.hpp>

#include "lamp_fast.h"

class LampPlayer : public godot::Node3D {
  GDCLASS(LampPlayer, godot::Node3D)

 public:
  ~LampPlayer() override;

  void set_model_path(const godot::String& path) { model_path_ = path; }
  godot::String get_model_path() const { return model_path_; }
  void set_skeleton_path(const godot::NodePath& path) { skeleton_path_ = path; }
  godot::NodePath get_skeleton_path() const { return skeleton_path_; }

  // The next segment follows it; what is committed plays to its end.
  void set_prompt(const godot::String& prompt) { prompt_ = prompt; }
  godot::String get_prompt() const { return prompt_; }

  void _ready() override;
  void _process(double delta) override;

 protected:
  static void _bind_methods();

 private:
  bool start(lf_error& error);
  void stop();
  void append();

  godot::String model_path_, prompt_ = "a person walks forward";
  godot::NodePath skeleton_path_;
  godot::Skeleton3D* skeleton_ = nullptr;
  godot::Vector<int> bones_;  // of the skeleton, for each joint; -1 where it has none
  godot::Vector<float> positions_, rotations_;
  lf_model* model_ = nullptr;
  lf_session* session_ = nullptr;
  lf_stream* stream_ = nullptr;
  uint64_t seed_ = 0;
  double time_ = 0;
};
