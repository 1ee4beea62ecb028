#include "joints_to_features.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rotation_math.h"

namespace lf {
namespace {

constexpr int kSigma = 20;  // frames, of the Gaussian that smooths where the body faces
constexpr int kRadius = 4 * kSigma;

// Half a turn about +Y, as the parts w and y of its quaternion.
struct Yaw {
  double w = 1, y = 0;
};

Vec3 turned(Yaw yaw, Vec3 v) noexcept {
  const double across_x = yaw.y * v.z, across_z = -yaw.y * v.x;
  return {v.x + 2 * (yaw.w * across_x + yaw.y * across_z), v.y, v.z + 2 * (yaw.w * across_z - yaw.y * across_x)};
}

// The turn that brings a horizontal direction to +Z.
Yaw yaw_to_front(double x, double z) noexcept {
  const double size = std::hypot(x, z);
  if (!(size > 0)) return {};
  const double w = 1 + z / size, norm = std::hypot(w, x / size);
  if (!(norm > 0)) return {0, 1};
  return {w / norm, -x / size / norm};
}

// The shortest turn of the unit vector a to the unit vector b.
Quat between(Vec3 a, Vec3 b) noexcept {
  const Vec3 v = cross(a, b);
  const Quat q{1 + dot(a, b), v.x, v.y, v.z};
  if (dot(q, q) > 1e-24) return qnormalize(q);
  return a.x == 0 && a.z == 0 ? Quat{0, 1, 0, 0} : qnormalize({0, -a.z, 0, a.x});
}

class Motion {
 public:
  Motion(double* scratch, std::size_t frames, const Skeleton& skeleton) noexcept
      : skeleton_(skeleton),
        frames_(frames),
        positions_(scratch),
        forward_(scratch + frames * 3 * skeleton.joints),
        smooth_(forward_ + 2 * frames) {}

  Vec3 at(std::size_t t, std::size_t j) const noexcept {
    const double* p = positions_ + 3 * (t * skeleton_.joints + j);
    return {p[0], p[1], p[2]};
  }
  void put(std::size_t t, std::size_t j, Vec3 v) noexcept {
    double* p = positions_ + 3 * (t * skeleton_.joints + j);
    p[0] = v.x, p[1] = v.y, p[2] = v.z;
  }

  // Every bone keeps its direction and gets the skeleton's length; the root's path scales with the legs.
  bool read(const float* joints) noexcept {
    const auto given = [&](std::size_t t, std::size_t j) { return load(joints + 3 * (t * skeleton_.joints + j)); };
    double ours = 0, theirs = 0;
    for (const std::int8_t joint : skeleton_.leg_joints) {
      ours += skeleton_.lengths[joint];
      theirs += length(given(0, joint) - given(0, skeleton_.parents[joint]));
    }
    const double scale = ours / theirs;
    if (!std::isfinite(scale)) return false;
    for (std::size_t t = 0; t < frames_; ++t) {
      put(t, 0, scale * given(t, 0));
      for (std::size_t j = 1; j < skeleton_.joints; ++j) {
        const std::size_t parent = skeleton_.parents[j];
        const Vec3 bone = given(t, j) - given(t, parent);
        const double size = length(bone);
        if (!(size > 0) || !std::isfinite(size)) return false;
        put(t, j, at(t, parent) + skeleton_.lengths[j] / size * bone);
      }
    }
    return true;
  }

  // On the floor, at the origin and facing +Z in the first frame.
  void start_at_origin() noexcept {
    const auto [right_hip, left_hip, right_shoulder, left_shoulder] = skeleton_.face_joints;
    const Vec3 across = at(0, right_hip) - at(0, left_hip) + (at(0, right_shoulder) - at(0, left_shoulder));
    const Yaw yaw = yaw_to_front(across.z, -across.x);
    double floor = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < frames_ * skeleton_.joints; ++i) floor = std::min(floor, positions_[3 * i + 1]);
    const Vec3 start{at(0, 0).x, floor, at(0, 0).z};
    for (std::size_t t = 0; t < frames_; ++t) {
      for (std::size_t j = 0; j < skeleton_.joints; ++j) put(t, j, turned(yaw, at(t, j) - start));
    }
  }

  void find_facing() noexcept {
    const auto [right_hip, left_hip, right_shoulder, left_shoulder] = skeleton_.face_joints;
    for (std::size_t t = 0; t < frames_; ++t) {
      // The release takes the hips the other way round, so that the shoulders outvote them; kept.
      const Vec3 hips = at(t, left_hip) - at(t, right_hip), shoulders = at(t, right_shoulder) - at(t, left_shoulder);
      const Vec3 across = normalize(hips + shoulders);
      forward_[2 * t] = across.z;
      forward_[2 * t + 1] = -across.x;
    }
    double weights[kRadius + 1], whole = 0;
    for (int d = 0; d <= kRadius; ++d) {
      weights[d] = std::exp(-0.5 * d * d / (kSigma * kSigma));
      whole += d == 0 ? weights[d] : 2 * weights[d];
    }
    const int last = static_cast<int>(frames_) - 1;
    for (int t = 0; t <= last; ++t) {
      double x = 0, z = 0;
      for (int d = -kRadius; d <= kRadius; ++d) {
        const int from = std::clamp(t + d, 0, last);  // the ends are repeated outwards
        x += weights[std::abs(d)] * forward_[2 * from];
        z += weights[std::abs(d)] * forward_[2 * from + 1];
      }
      smooth_[2 * t] = x / whole;
      smooth_[2 * t + 1] = z / whole;
    }
  }

  Yaw yaw(std::size_t t) const noexcept { return t == 0 ? Yaw{} : yaw_to_front(smooth_[2 * t], smooth_[2 * t + 1]); }

  void row(std::size_t t, float* out) const noexcept {
    const Yaw now = yaw(t), after = yaw(t + 1);
    const Vec3 root = at(t, 0), step = turned(after, at(t + 1, 0) - root);
    *out++ = static_cast<float>(std::asin(std::clamp(after.y * now.w - after.w * now.y, -1.0, 1.0)));
    *out++ = static_cast<float>(step.x);
    *out++ = static_cast<float>(step.z);
    *out++ = static_cast<float>(root.y);
    for (std::size_t j = 1; j < skeleton_.joints; ++j, out += 3) {
      store(turned(now, {at(t, j).x - root.x, at(t, j).y, at(t, j).z - root.z}), out);
    }
    std::array<Quat, kMaxJoints> bones;
    bones[0] = {now.w, 0, now.y, 0};
    for (std::size_t j = 1; j < skeleton_.joints; ++j) {
      bones[j] = between(skeleton_.raw_offsets[j], normalize(at(t, j) - at(t, skeleton_.parents[j])));
    }
    for (std::size_t j = 1; j < skeleton_.joints; ++j, out += 6) {
      const Quat q = qmul(qinv(bones[skeleton_.chain_references[j]]), bones[j]);
      store(qrot(q, {1, 0, 0}), out);
      store(qrot(q, {0, 1, 0}), out + 3);
    }
    for (std::size_t j = 0; j < skeleton_.joints; ++j, out += 3) store(turned(now, at(t + 1, j) - at(t, j)), out);
    for (const std::int8_t foot : skeleton_.feet) {
      const Vec3 moved = at(t + 1, foot) - at(t, foot);
      *out++ = dot(moved, moved) < skeleton_.foot_threshold ? 1.0f : 0.0f;
    }
  }

 private:
  const Skeleton& skeleton_;
  std::size_t frames_;
  double *positions_, *forward_, *smooth_;
};

}  // namespace

bool joints_to_features(const float* joints, std::size_t frames, const Skeleton& skeleton, double* scratch,
                        float* features) noexcept {
  Motion motion(scratch, frames, skeleton);
  if (!motion.read(joints)) return false;
  motion.start_at_origin();
  motion.find_facing();
  for (std::size_t t = 0; t + 1 < frames; ++t) motion.row(t, features + t * skeleton.features());
  return true;
}

double heading_of(const float* joints, const Skeleton& skeleton) noexcept {
  const auto [right_hip, left_hip, right_shoulder, left_shoulder] = skeleton.face_joints;
  const auto at = [&](int j) { return load(joints + 3 * j); };
  const Vec3 left = at(left_hip) - at(right_hip) + (at(left_shoulder) - at(right_shoulder));
  return std::atan2(-left.z, left.x);
}

}  // namespace lf
