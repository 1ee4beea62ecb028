// The body of a session's motions: its skeleton, and how the caller's axes, unit and root see it.
#pragma once

#include "coordinates.h"
#include "lamp_fast.h"
#include "queue.h"
#include "rotations.h"

namespace lf::capi {

class Body {
 public:
  Body(const Skeleton& skeleton, const lf_session_params& params) noexcept;

  const Skeleton& skeleton() const noexcept { return *nodes_->skeleton; }
  const Hierarchy& nodes() const noexcept { return *nodes_; }
  const RestPose& rest() const noexcept { return rest_; }
  const Coordinates& coordinates() const noexcept { return coordinates_; }
  bool root_is_separate() const noexcept { return root_is_separate_; }

  // The caller's positions (frames, K, 3) -> joints (frames, J, 3).
  void read(const float* positions, std::size_t frames, float* joints) const noexcept;

  // A motion into the caller's arrays, which have room for it.
  void write(const Question& question, const Answer& answer, lf_motion& motion) const noexcept;

 private:
  void write_frame(const Answer& answer, std::size_t t, lf_motion& motion) const noexcept;

  const Hierarchy* nodes_;
  RestPose rest_;
  Coordinates coordinates_;
  bool root_is_separate_;
};

}  // namespace lf::capi
