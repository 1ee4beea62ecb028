// Vectors and unit quaternions (w, x, y, z) in double precision. Right-handed: qmul(q, r) turns by r, then by q.
#pragma once

#include <algorithm>
#include <cmath>

namespace lf {

constexpr double kPi = 3.14159265358979323846;

struct Vec3 {
  double x = 0, y = 0, z = 0;
};

struct Quat {
  double w = 1, x = 0, y = 0, z = 0;
};

inline Vec3 operator+(Vec3 a, Vec3 b) noexcept { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vec3 operator-(Vec3 a, Vec3 b) noexcept { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec3 operator*(double s, Vec3 v) noexcept { return {s * v.x, s * v.y, s * v.z}; }
inline double dot(Vec3 a, Vec3 b) noexcept { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec3 cross(Vec3 a, Vec3 b) noexcept {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline double length(Vec3 v) noexcept { return std::sqrt(dot(v, v)); }
inline Vec3 normalize(Vec3 v) noexcept { return 1 / std::max(length(v), 1e-12) * v; }  // zero stays zero
inline Vec3 load(const float* v) noexcept { return {v[0], v[1], v[2]}; }
inline void store(Vec3 v, float* out) noexcept {
  out[0] = static_cast<float>(v.x);
  out[1] = static_cast<float>(v.y);
  out[2] = static_cast<float>(v.z);
}

inline double dot(Quat a, Quat b) noexcept { return a.w * b.w + a.x * b.x + a.y * b.y + a.z * b.z; }
inline Quat operator*(double s, Quat q) noexcept { return {s * q.w, s * q.x, s * q.y, s * q.z}; }
inline Quat operator+(Quat a, Quat b) noexcept { return {a.w + b.w, a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Quat qinv(Quat q) noexcept { return {q.w, -q.x, -q.y, -q.z}; }
inline Quat qnormalize(Quat q) noexcept { return 1 / std::sqrt(dot(q, q)) * q; }
inline Quat qmul(Quat q, Quat r) noexcept {
  return {q.w * r.w - q.x * r.x - q.y * r.y - q.z * r.z, q.w * r.x + q.x * r.w + q.y * r.z - q.z * r.y,
          q.w * r.y - q.x * r.z + q.y * r.w + q.z * r.x, q.w * r.z + q.x * r.y - q.y * r.x + q.z * r.w};
}
inline Vec3 qrot(Quat q, Vec3 v) noexcept {
  const Vec3 axis{q.x, q.y, q.z}, once = cross(axis, v);
  return v + 2 * (q.w * once + cross(axis, once));
}
inline Quat load_quat(const float* q) noexcept { return {q[0], q[1], q[2], q[3]}; }
inline void store(Quat q, float* out) noexcept {
  out[0] = static_cast<float>(q.w);
  out[1] = static_cast<float>(q.x);
  out[2] = static_cast<float>(q.y);
  out[3] = static_cast<float>(q.z);
}

// The rotation about +Y by an angle in radians.
inline Quat qyaw(double angle) noexcept { return {std::cos(angle / 2), 0, std::sin(angle / 2), 0}; }

// The shortest rotation that turns a into the direction of b. Opposite vectors get a half turn about an axis across a,
// a zero vector the identity.
Quat qbetween(Vec3 a, Vec3 b) noexcept;

// The rotation whose matrix has these columns, an orthonormal frame.
Quat from_axes(Vec3 x, Vec3 y, Vec3 z) noexcept;

// Axis times angle of the rotation, the shorter way round, and back.
Vec3 rotation_vector(Quat q) noexcept;
Quat from_rotation_vector(Vec3 v) noexcept;

// The rotation a part of the way from q to r along the shorter arc: 0 gives q, 1 gives r or -r.
Quat slerp(Quat q, Quat r, double part) noexcept;

// The angle within half a turn of zero.
inline double wrapped(double angle) noexcept { return angle - 2 * kPi * std::round(angle / (2 * kPi)); }

// How the difference of two curves fades from `value` and `slope` (per unit) at 0 to nothing at `span`: no corner.
inline double fading(double value, double slope, double at, double span) noexcept {
  if (at >= span) return 0;
  const double u = at / span, rest = 1 - u;
  return rest * rest * ((1 + 2 * u) * value + at * slope);
}

}  // namespace lf
