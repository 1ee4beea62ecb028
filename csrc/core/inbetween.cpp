#include "inbetween.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "joints_to_features.h"
#include "rotation_math.h"

namespace lf {
namespace {

constexpr double kFadeFrames = 10;

// Frame t of frames that go on at either end: repeated in front, at the last speed behind.
void extended(const float* joints, std::size_t frames, std::size_t joint_count, long t, float* out) noexcept {
  const std::size_t width = 3 * joint_count;
  const long last = static_cast<long>(frames) - 1;
  const float* nearest = joints + std::clamp(t, 0L, last) * static_cast<long>(width);
  std::memcpy(out, nearest, width * sizeof(float));
  if (t <= last || last == 0) return;
  const float* earlier = nearest - width;
  for (std::size_t i = 0; i < width; ++i) out[i] += static_cast<float>(t - last) * (nearest[i] - earlier[i]);
}

Vec3 about_up(Vec3 v, double angle) noexcept {
  const double c = std::cos(angle), s = std::sin(angle);
  return {c * v.x + s * v.z, v.y, c * v.z - s * v.x};
}

// Where a body stands and faces.
struct Place {
  Vec3 root;
  double heading = 0;

  Place() noexcept = default;
  Place(const float* joints, const Skeleton& skeleton) noexcept
      : root(load(joints)), heading(heading_of(joints, skeleton)) {}

  // A point as it is seen from here, and back.
  Vec3 inwards(Vec3 v) const noexcept { return about_up(v - root, -heading); }
  Vec3 outwards(Vec3 v) const noexcept { return about_up(v, heading) + root; }

  // What has to be added to `other` to come here, and so much of it added.
  Place minus(const Place& other) const noexcept {
    Place way;
    way.root = root - other.root;
    way.heading = std::remainder(heading - other.heading, 2 * kPi);
    return way;
  }
  Place plus(double share, const Place& way) const noexcept {
    Place there;
    there.root = root + share * way.root;
    there.heading = heading + share * way.heading;
    return there;
  }
};

void move(float* joints, const Skeleton& skeleton, const Place& from, const Place& to) noexcept {
  for (std::size_t j = 0; j < skeleton.joints; ++j)
    store(to.outwards(from.inwards(load(joints + 3 * j))), joints + 3 * j);
}

// What differs where given frames and generated ones meet, and how it changes from frame to frame towards the latter.
// The body stands in the same place; its speed differs, and its pose, seen from the root.
class Difference {
 public:
  Difference() noexcept = default;

  // given, made: the frame where they meet; the frame behind it, away from what was made, is `outer` floats further.
  Difference(const float* given, const float* made, std::ptrdiff_t outer, const Skeleton& skeleton) noexcept {
    const Place place(given, skeleton), made_place(made, skeleton);
    for (std::size_t j = 0; j < skeleton.joints; ++j) {
      pose_[j] = place.inwards(load(given + 3 * j)) - made_place.inwards(load(made + 3 * j));
    }
    if (outer == 0) return;
    const Place before(given + outer, skeleton), made_before(made + outer, skeleton);
    speed_ = place.minus(before).plus(-1, made_place.minus(made_before));
    for (std::size_t j = 0; j < skeleton.joints; ++j) {
      change_[j] =
          pose_[j] - (before.inwards(load(given + outer + 3 * j)) - made_before.inwards(load(made + outer + 3 * j)));
    }
  }

  // So many frames from where they meet it has faded to this: pose of one joint, and place.
  Vec3 pose(std::size_t joint, double frames, double length) const noexcept {
    const double u = std::min(frames / length, 1.0);
    return (1 + 2 * u) * (1 - u) * (1 - u) * pose_[joint] + length * u * (1 - u) * (1 - u) * change_[joint];
  }
  Place place(double frames, double length) const noexcept {
    const double u = std::min(frames / length, 1.0);
    return Place().plus(length * u * (1 - u) * (1 - u), speed_);
  }

 private:
  std::array<Vec3, kMaxJoints> pose_{}, change_{};
  Place speed_;
};

}  // namespace

void frames_of_tokens_before(const float* joints, const GivenFrames& given, std::size_t joint_count,
                             float* out) noexcept {
  const long lead = static_cast<long>(given.lead());
  const std::size_t frames = kFramesPerToken * given.tokens_before() + 1;
  for (std::size_t i = 0; i < frames; ++i) {
    extended(joints, given.before, joint_count, static_cast<long>(i) - lead, out + i * 3 * joint_count);
  }
}

void frames_of_tokens_after(const float* joints, const GivenFrames& given, std::size_t joint_count,
                            float* out) noexcept {
  const std::size_t frames = kFramesPerToken * given.tokens_after() + 1;
  const long first = static_cast<long>(kFramesPerToken * (given.tokens() - given.tokens_after())) -
                     static_cast<long>(given.lead() + given.before + given.between);
  for (std::size_t i = 0; i < frames; ++i) {
    extended(joints, given.after, joint_count, first + static_cast<long>(i), out + i * 3 * joint_count);
  }
}

void fit_between(const float* before, const float* after, const GivenFrames& given, const Skeleton& skeleton,
                 float* joints) noexcept {
  const std::size_t left = given.before, right = given.before + given.between, frames = given.frames();
  const std::ptrdiff_t width = static_cast<std::ptrdiff_t>(3 * skeleton.joints);
  const auto frame = [&](std::size_t t) { return joints + static_cast<std::ptrdiff_t>(t) * width; };
  const float* last_before = left > 0 ? before + static_cast<std::ptrdiff_t>(left - 1) * width : nullptr;
  if (left == 0 && given.after == 0) return;

  // As it is, to where the frames on one side stand; then bent, so that it arrives where those on the other side do.
  const Place made(frame(left > 0 ? left - 1 : right), skeleton);
  const Place there(left > 0 ? last_before : after, skeleton);
  for (std::size_t t = 0; t < frames; ++t) move(frame(t), skeleton, made, there);
  if (left > 0 && given.after > 0) {
    const Place miss = Place(after, skeleton).minus(Place(frame(right), skeleton));
    for (std::size_t t = left; t < frames; ++t) {
      const double u = std::min(1.0, static_cast<double>(t + 1 - left) / static_cast<double>(given.between + 1));
      const Place from(frame(t), skeleton);
      move(frame(t), skeleton, from, from.plus(u * u * (3 - 2 * u), miss));
    }
  }

  Difference at_left, at_right;
  if (left > 0) at_left = Difference(last_before, frame(left - 1), left > 1 ? -width : 0, skeleton);
  if (given.after > 0) at_right = Difference(after, frame(right), given.after > 1 ? width : 0, skeleton);
  const double length = std::min(kFadeFrames, static_cast<double>(given.between) + 1);
  for (std::size_t t = left; t < right; ++t) {
    const double from_left = static_cast<double>(t + 1 - left), from_right = static_cast<double>(right - t);
    const Place from(frame(t), skeleton);
    const Place to = from.plus(1, at_left.place(from_left, length)).plus(1, at_right.place(from_right, length));
    for (std::size_t j = 0; j < skeleton.joints; ++j) {
      const Vec3 pose = from.inwards(load(frame(t) + 3 * j)) + at_left.pose(j, from_left, length) +
                        at_right.pose(j, from_right, length);
      store(to.outwards(pose), frame(t) + 3 * j);
    }
  }
  if (left > 0) std::memcpy(joints, before, left * static_cast<std::size_t>(width) * sizeof(float));
  if (given.after > 0) std::memcpy(frame(right), after, given.after * static_cast<std::size_t>(width) * sizeof(float));
}

}  // namespace lf
