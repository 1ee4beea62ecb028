// Between the axes and the unit of a session and those of the core.
#pragma once

#include "coordinates.h"

namespace lf::capi {

class Space {
 public:
  Space() noexcept : Space(Coordinates()) {}
  explicit Space(const Coordinates& coordinates) noexcept : coordinates_(coordinates) {
    const float scale = 1 / (coordinates.units() * coordinates.units());
    for (int i = 0; i < 3; ++i) {
      float unit[3] = {}, theirs[3];
      unit[i] = 1;
      coordinates.position(unit, theirs);
      for (int j = 0; j < 3; ++j) back_[i][j] = scale * theirs[j];
    }
  }

  const Coordinates& coordinates() const noexcept { return coordinates_; }

  void position(const float* ours, float* theirs) const noexcept { coordinates_.position(ours, theirs); }

  // w, x, y, z to x, y, z, w.
  void rotation(const float* ours, float* theirs) const noexcept {
    float turned[4];
    coordinates_.rotation(ours, turned);
    theirs[0] = turned[1], theirs[1] = turned[2], theirs[2] = turned[3], theirs[3] = turned[0];
  }

  void position_back(const float* theirs, float* ours) const noexcept {
    for (int i = 0; i < 3; ++i) {
      ours[i] = back_[i][0] * theirs[0] + back_[i][1] * theirs[1] + back_[i][2] * theirs[2];
    }
  }

 private:
  Coordinates coordinates_;
  float back_[3][3];
};

}  // namespace lf::capi
