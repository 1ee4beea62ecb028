#include "rotation_math.h"

#include <limits>

namespace lf {

Quat qbetween(Vec3 a, Vec3 b) noexcept {
  constexpr double nearly_zero = 4 * std::numeric_limits<double>::epsilon();
  const double lengths = std::sqrt(dot(a, a) * dot(b, b));
  if (lengths == 0) return {};
  const Vec3 axis = cross(a, b);
  const Quat q{lengths + dot(a, b), axis.x, axis.y, axis.z};
  const double norm = std::sqrt(dot(q, q));
  if (norm > nearly_zero * lengths) return 1 / norm * q;
  const bool upright = a.x == 0 && a.z == 0;
  return qnormalize({0, upright ? 1 : -a.z, 0, upright ? 0 : a.x});
}

Quat from_axes(Vec3 x, Vec3 y, Vec3 z) noexcept {
  // Each component follows from any other; the signs of the diagonal choose a divisor of 1/2 or more (Day, "Converting
  // a rotation matrix to a quaternion").
  if (z.z < 0) {
    if (x.x > y.y) return qnormalize({y.z - z.y, 1 + x.x - y.y - z.z, y.x + x.y, x.z + z.x});
    return qnormalize({z.x - x.z, y.x + x.y, 1 - x.x + y.y - z.z, y.z + z.y});
  }
  if (x.x < -y.y) return qnormalize({x.y - y.x, x.z + z.x, y.z + z.y, 1 - x.x - y.y + z.z});
  return qnormalize({1 + x.x + y.y + z.z, y.z - z.y, z.x - x.z, x.y - y.x});
}

Vec3 rotation_vector(Quat q) noexcept {
  if (q.w < 0) q = -1 * q;
  const Vec3 axis{q.x, q.y, q.z};
  const double sine = length(axis);
  return (sine < 1e-9 ? 2 : 2 * std::atan2(sine, q.w) / sine) * axis;
}

Quat from_rotation_vector(Vec3 v) noexcept {
  const double half = length(v) / 2;
  const Vec3 axis = (half < 1e-9 ? 0.5 : std::sin(half) / (2 * half)) * v;
  return {std::cos(half), axis.x, axis.y, axis.z};
}

Quat slerp(Quat q, Quat r, double part) noexcept {
  double cosine = dot(q, r);
  if (cosine < 0) {
    r = -1 * r;
    cosine = -cosine;
  }
  if (cosine > 0.9999995) return qnormalize((1 - part) * q + part * r);  // angles below a milliradian: a line
  const double angle = std::acos(std::min(cosine, 1.0)), sine = std::sin(angle);
  return std::sin((1 - part) * angle) / sine * q + std::sin(part * angle) / sine * r;
}

}  // namespace lf
