#include "stream.h"

#include <cstring>

namespace lf {
namespace {

// Horizontal vectors turned about +Y by an angle.
void turn(double angle, double& x, double& z) noexcept {
  const double cosine = std::cos(angle), sine = std::sin(angle), before = x;
  x = cosine * x + sine * z;
  z = cosine * z - sine * before;
}

double hermite(double from, double slope_from, double to, double slope_to, double u) noexcept {
  const double rest = 1 - u;
  return rest * rest * ((1 + 2 * u) * from + u * slope_from) + u * u * ((3 - 2 * u) * to - rest * slope_to);
}

double smoothstep(double u) noexcept { return u * u * (3 - 2 * u); }

void store_xyzw(const float* wxyz, float* out) noexcept {
  for (int i = 0; i < 4; ++i) out[i] = wxyz[(i + 1) % 4];
}

// How high the root stands in the rest pose.
float standing_height(const Hierarchy& hierarchy, const RestPose& rest) noexcept {
  std::array<double, kMaxNodes> height{};
  double lowest = 0;
  for (std::size_t node = 1; node < hierarchy.nodes; ++node) {
    height[node] = height[hierarchy.parents[node]] + rest.offsets[node].y;
    lowest = std::min(lowest, height[node]);
  }
  return static_cast<float>(-lowest);
}

}  // namespace

void SegmentScratch::lay_out(Arena& arena, std::size_t tokens) noexcept {
  const std::size_t frames = kFramesPerToken * tokens;
  rotation.lay_out(arena, frames);
  joints = arena.take<float>(frames * 3 * kMaxJoints);
  rotations = arena.take<float>(frames * 4 * kMaxNodes);
}

void Stream::lay_out(Arena& arena, const StreamOptions& options) noexcept {
  hierarchy_ = options.hierarchy;
  rest_ = options.rest;
  coordinates_ = options.coordinates;
  fps_ = options.fps;
  in_place_ = options.in_place;
  capacity_ = options.frames;
  token_capacity_ = options.known_tokens;
  frames_ = arena.take<Frame>(capacity_);
  tokens_ = arena.take<std::int64_t>(token_capacity_);

  const bool idles = options.idle_rotations != nullptr && options.idle_seconds > 0;
  idle_rate_ = idles ? 1 / options.idle_seconds : 0;
  idle_weight_ = 1;
  idle_pose_ = {};
  idle_pose_.height = idles ? options.idle_height : standing_height(*hierarchy_, rest_);
  for (std::size_t node = 0; node < hierarchy_->nodes; ++node) {
    store(idles ? load_quat(options.idle_rotations + 4 * node) : Quat{}, idle_pose_.rotations + 4 * node);
  }
  tail_ = {};
  tail_.x = idle_pose_.x = last_x_ = options.x;
  tail_.z = idle_pose_.z = last_z_ = options.z;
  tail_.heading = last_heading_ = options.heading;
  idle_pose_.heading = options.heading;
}

bool Stream::check(const Segment& segment, const SegmentScratch& scratch, Error& error) const noexcept {
  const std::size_t frames = kFramesPerToken * segment.count;
  if (segment.count == 0 || frames > scratch.rotation.max_frames) {
    return fail(error, status::invalid_argument, "a segment has %zu tokens, expected 1 to %zu", segment.count,
                scratch.rotation.max_frames / kFramesPerToken);
  }
  const std::size_t overlap = segment.overlap;
  if (overlap >= segment.count || overlap > token_count_ ||
      !std::equal(segment.tokens, segment.tokens + overlap, tokens_ + token_count_ - overlap)) {
    return fail(error, status::invalid_argument, "the first %zu tokens of a segment are not the last ones of the stream",
                overlap);
  }
  const std::size_t wanted = frames - kFramesPerToken * overlap;
  if (wanted > room()) {
    return fail(error, status::invalid_argument, "%zu frames are to be appended where there is room for %zu", wanted,
                room());
  }
  const std::size_t width = hierarchy_->skeleton->features();
  for (std::size_t i = 0; i < frames * width; ++i) {
    if (!std::isfinite(segment.features[i])) {
      return fail(error, status::not_finite, "frame %zu of a segment holds NaN or an infinity", i / width);
    }
  }
  return true;
}

bool Stream::append(const Segment& segment, SegmentScratch& scratch, Error& error) noexcept {
  if (!check(segment, scratch, error)) return false;
  const Skeleton& skeleton = *hierarchy_->skeleton;
  const std::size_t frames = kFramesPerToken * segment.count, first = kFramesPerToken * segment.overlap;
  const std::size_t width = skeleton.features(), nodes = hierarchy_->nodes;
  for (std::size_t t = 0; t < frames; ++t) {
    facing_pose(segment.features + t * width, skeleton, scratch.joints + t * 3 * skeleton.joints);
  }
  local_rotations(scratch.joints, frames, *hierarchy_, rest_, scratch.rotation, scratch.rotations);

  const auto row = [&](std::size_t t) { return segment.features + t * width; };
  const auto step_out = [&](std::size_t t) { return Step{-2.0 * row(t)[0], row(t)[1], row(t)[2]}; };
  const auto rotation = [&](std::size_t t, std::size_t node) {
    return load_quat(scratch.rotations + (t * nodes + node) * 4);
  };

  // What the segment would have been in the frame committed last, as far as it can tell, and how it moved there; then what
  // is to fade: the difference of what was committed to that.
  const std::uint64_t start = committed_.load(std::memory_order_relaxed);
  const double blend = start == 0 ? 0 : static_cast<double>(segment.blend);
  const std::size_t after = std::min(first + 1, frames - 1);
  double gap_height = 0, gap_rise = 0;
  Step gap_step{0, 0, 0};
  std::array<Vec3, kMaxNodes> gap, gap_spin;
  if (blend > 0) {
    const std::size_t shadow = first > 0 ? first - 1 : 0;
    const double rise = first > 0 ? row(shadow)[3] - row(shadow - 1)[3] : row(after)[3] - row(0)[3];
    gap_height = tail_.height - (first > 0 ? row(shadow)[3] : row(0)[3] - rise);
    gap_rise = tail_.rise - rise;
    const Step step = step_out(shadow);
    gap_step = {tail_.next.turn - step.turn, tail_.next.x - step.x, tail_.next.z - step.z};
    for (std::size_t node = 0; node < nodes; ++node) {
      const Quat now = rotation(shadow, node);
      const Quat moved = first > 0 ? qmul(now, qinv(rotation(shadow - 1, node))) : qmul(rotation(after, node), qinv(now));
      const Quat then = first > 0 ? now : qmul(qinv(moved), now);
      gap[node] = rotation_vector(qmul(tail_.rotations[node], qinv(then)));
      gap_spin[node] = rotation_vector(qmul(tail_.rotations[node], qinv(tail_.before[node]))) - rotation_vector(moved);
    }
  }
  // The move out of a frame, n frames behind the one committed last.
  const auto step_from = [&](std::size_t t, double n) {
    const Step step = step_out(t);
    const double part = fading(1, 0, n, blend);
    return Step{step.turn + part * gap_step.turn, step.x + part * gap_step.x, step.z + part * gap_step.z};
  };

  for (std::size_t t = first; t < frames; ++t) {
    const double n = static_cast<double>(t - first + 1);
    const bool begins = start == 0 && t == first;
    const Step in = begins ? Step{0, 0, 0} : step_from(t > 0 ? t - 1 : 0, n - 1);
    Frame& out = frame(start + t - first);
    const double heading = tail_.heading + in.turn;
    double in_x = in.x, in_z = in.z;
    turn(heading, in_x, in_z);
    const Step next = step_from(t, n);
    double out_x = next.x, out_z = next.z;
    turn(heading + next.turn, out_x, out_z);
    const double height = row(t)[3] + fading(gap_height, gap_rise, n, blend);
    const double higher = t + 1 < frames ? row(t + 1)[3] + fading(gap_height, gap_rise, n + 1, blend) : height;
    const double rise_in = begins ? higher - height : height - tail_.height;
    const double rise_out = t + 1 < frames ? higher - height : rise_in;
    out.x = tail_.x + in_x;
    out.z = tail_.z + in_z;
    out.height = static_cast<float>(height);
    out.heading = static_cast<float>(wrapped(heading));
    out.slope_x = static_cast<float>(begins ? out_x : (in_x + out_x) / 2);
    out.slope_z = static_cast<float>(begins ? out_z : (in_z + out_z) / 2);
    out.slope_height = static_cast<float>((rise_in + rise_out) / 2);
    out.slope_heading = static_cast<float>(begins ? next.turn : (in.turn + next.turn) / 2);
    for (std::size_t i = 0; i < kContacts; ++i) out.contacts[i] = std::clamp(row(t)[width - kContacts + i], 0.0f, 1.0f);
    out.segment = segments_;
    for (std::size_t node = 0; node < nodes; ++node) {
      Quat q = rotation(t, node);
      if (n < blend) {
        const double value = fading(1, 0, n, blend), slope = fading(0, 1, n, blend);
        q = qnormalize(qmul(from_rotation_vector(value * gap[node] + slope * gap_spin[node]), q));
      }
      if (!begins && dot(q, tail_.rotations[node]) < 0) q = -1 * q;
      tail_.before[node] = begins ? q : tail_.rotations[node];
      tail_.rotations[node] = q;
      store(q, out.rotations + 4 * node);
    }
    tail_.x = out.x;
    tail_.z = out.z;
    tail_.heading = wrapped(heading);
    tail_.next = next;
    tail_.height = height;
    tail_.rise = rise_in;
  }

  const std::size_t added = segment.count - segment.overlap;
  const std::size_t fresh = std::min(added, token_capacity_), kept = std::min(token_count_, token_capacity_ - fresh);
  std::memmove(tokens_, tokens_ + token_count_ - kept, kept * sizeof(*tokens_));
  std::copy(segment.tokens + segment.count - fresh, segment.tokens + segment.count, tokens_ + kept);
  token_count_ = kept + fresh;
  ++segments_;
  committed_.store(start + frames - first, std::memory_order_release);
  return true;
}

std::size_t Stream::last_tokens(std::int64_t* tokens, std::size_t count) const noexcept {
  count = std::min(count, token_count_);
  std::copy(tokens_ + token_count_ - count, tokens_ + token_count_, tokens);
  return count;
}

std::size_t Stream::room() const noexcept {
  const std::uint64_t released = released_.load(std::memory_order_acquire);
  return capacity_ - static_cast<std::size_t>(committed() - released);
}

double Stream::seconds_left() const noexcept {
  const std::uint64_t played = released_.load(std::memory_order_acquire), end = committed();
  return end > played ? static_cast<double>(end - 1 - played) / fps_ : 0;
}

bool Stream::sample(double time, Pose& pose) noexcept {
  const std::uint64_t end = committed_.load(std::memory_order_acquire);
  const double passed = std::isfinite(time) && clock_runs_ ? std::max(time - time_, 0.0) : 0;
  if (std::isfinite(time)) {
    time_ = time;
    clock_runs_ = true;
  }
  if (end == 0) {
    pose.frame = 0;
    write(idle_pose_, pose);
    return false;
  }
  const double last = static_cast<double>(end - 1);
  play_ = playing_ ? play_ + passed * fps_ : 0;
  playing_ = true;
  const bool underrun = play_ > last;
  if (underrun) play_ = last;
  const std::uint64_t index = static_cast<std::uint64_t>(play_);
  const Frame& from = frame(index);
  const Frame& to = frame(std::min(index + 1, end - 1));
  const double u = play_ - static_cast<double>(index);

  Frame now;
  now.x = hermite(from.x, from.slope_x, to.x, to.slope_x, u);
  now.z = hermite(from.z, from.slope_z, to.z, to.slope_z, u);
  now.height = static_cast<float>(hermite(from.height, from.slope_height, to.height, to.slope_height, u));
  const double heading_to = from.heading + wrapped(to.heading - from.heading);
  now.heading = static_cast<float>(hermite(from.heading, from.slope_heading, heading_to, to.slope_heading, u));
  for (std::size_t i = 0; i < kContacts; ++i) {
    now.contacts[i] = static_cast<float>((1 - u) * from.contacts[i] + u * to.contacts[i]);
  }
  now.segment = from.segment;
  for (std::size_t i = 0; i < 4 * hierarchy_->nodes; i += 4) {
    store(slerp(load_quat(from.rotations + i), load_quat(to.rotations + i), u), now.rotations + i);
  }
  released_.store(index, std::memory_order_release);

  idle_weight_ = std::clamp(idle_weight_ + (underrun ? passed : -passed) * idle_rate_, 0.0, 1.0);
  if (idle_rate_ > 0 && idle_weight_ > 0) {
    const double part = smoothstep(idle_weight_);
    now.height += static_cast<float>(part) * (idle_pose_.height - now.height);
    for (std::size_t i = 0; i < 4 * hierarchy_->nodes; i += 4) {
      store(slerp(load_quat(now.rotations + i), load_quat(idle_pose_.rotations + i), part), now.rotations + i);
    }
  }
  pose.frame = play_;
  write(now, pose);
  return !underrun;
}

void Stream::write(const Frame& frame, Pose& pose) noexcept {
  const float yaw[4] = {std::cos(frame.heading / 2), 0, std::sin(frame.heading / 2), 0};
  const float ground[3] = {static_cast<float>(frame.x), 0, static_cast<float>(frame.z)};
  const float pelvis[3] = {in_place_ ? 0 : ground[0], frame.height, in_place_ ? 0 : ground[2]};
  std::array<float, 4 * kMaxNodes> rotations;
  std::copy(frame.rotations, frame.rotations + 4 * hierarchy_->nodes, rotations.begin());
  if (!in_place_) store(qmul(load_quat(yaw), load_quat(frame.rotations)), rotations.data());
  if (pose.positions) {
    forward_kinematics(rotations.data(), pelvis, rest_, *hierarchy_, pose.positions);
    for (std::size_t node = 0; node < hierarchy_->nodes; ++node) {
      coordinates_.position(pose.positions + 3 * node, pose.positions + 3 * node);
    }
  }
  float theirs[4];
  if (pose.rotations) {
    for (std::size_t i = 0; i < 4 * hierarchy_->nodes; i += 4) {
      coordinates_.rotation(rotations.data() + i, theirs);
      store_xyzw(theirs, pose.rotations + i);
    }
  }
  coordinates_.position(ground, pose.root_position);
  coordinates_.rotation(yaw, theirs);
  store_xyzw(theirs, pose.root_rotation);
  double step_x = frame.x - last_x_, step_z = frame.z - last_z_;
  turn(-last_heading_, step_x, step_z);
  store(Vec3{step_x, 0, step_z}, pose.root_step);
  coordinates_.position(pose.root_step, pose.root_step);
  pose.root_turn = coordinates_.heading(static_cast<float>(wrapped(frame.heading - last_heading_)));
  std::copy(frame.contacts, frame.contacts + kContacts, pose.contacts);
  pose.segment = frame.segment;
  last_x_ = frame.x;
  last_z_ = frame.z;
  last_heading_ = frame.heading;
}

}  // namespace lf
