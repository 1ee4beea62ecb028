// Where the axes of a program point, and its unit. Ours are glTF's: right-handed, Y up, facing +Z, metres.
#pragma once

#include <cstdint>

namespace lf {

enum class Preset : std::int32_t {
  gltf = 0,     // right-handed, Y up, facing +Z, metres; also Godot
  unity = 1,    // left-handed, Y up, facing +Z, metres
  unreal = 2,   // left-handed, Z up, facing +Y, centimetres
  blender = 3,  // right-handed, Z up, facing -Y, metres
};

class Coordinates {
 public:
  Coordinates() noexcept : Coordinates(Preset::gltf) {}

  // units: so many of the program's in a metre; 0 for those of the preset. An unknown preset is glTF's.
  explicit Coordinates(Preset preset, float units = 0) noexcept;

  // A point or a step (3), metres, in their axes and unit. in and out may be the same.
  void position(const float* in, float* out) const noexcept;

  // The way back: theirs into ours.
  void position_back(const float* in, float* out) const noexcept;

  // A unit quaternion w, x, y, z in their axes. A mirrored space turns the other way round.
  void rotation(const float* in, float* out) const noexcept;

  // The same, told as x, y, z, w.
  void rotation_xyzw(const float* in, float* out) const noexcept;

  // An angle about the upward axis, as their quaternions count it.
  float heading(float angle) const noexcept { return handed_ * angle; }

 private:
  std::uint8_t source_[3];  // which of our axes each of theirs lies along
  float sign_[3];
  float handed_;  // 1, or -1 for a left-handed space
  float units_;
};

}  // namespace lf
