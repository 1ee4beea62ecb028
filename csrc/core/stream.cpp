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

constexpr double kLongestTick = 1e9;  // seconds; the difference of two times may be infinite

using PoseArray = std::array<float, 3 * kMaxJoints>;

// Bends poses (frames, J, 3), the frames behind `then` and `before` it, towards `pose` with `pose_before` it: bone by
// bone, on the shorter arc, first altogether, less from frame to frame. Bones keep their lengths.
void bend(const Skeleton& skeleton, const float* pose, const float* pose_before, const float* then, const float* before,
          double span, std::size_t frames, float* poses) noexcept {
  std::array<Vec3, kMaxJoints> gap, slope;
  const auto direction = [&](const float* joints, std::size_t j) {
    return normalize(load(joints + 3 * j) - load(joints + 3 * skeleton.parents[j]));
  };
  const auto between = [](Vec3 a, Vec3 b) { return rotation_vector(qbetween(a, b)); };
  for (std::size_t j = 1; j < skeleton.joints; ++j) {
    const Vec3 ours = direction(pose, j), theirs = direction(then, j);
    gap[j] = between(theirs, ours);
    slope[j] = between(direction(pose_before, j), ours) - between(direction(before, j), theirs);
  }
  gap[0] = load(pose) - load(then);
  slope[0] = gap[0] - load(pose_before) + load(before);
  for (std::size_t t = 0; t < frames && static_cast<double>(t + 1) < span; ++t) {
    const double n = static_cast<double>(t + 1), value_part = fading(1, 0, n, span), slope_part = fading(0, 1, n, span);
    float* const joints = poses + t * 3 * skeleton.joints;
    PoseArray was;
    std::copy(joints, joints + 3 * skeleton.joints, was.begin());
    const auto left = [&](std::size_t j) { return value_part * gap[j] + slope_part * slope[j]; };
    store(load(joints) + left(0), joints);
    for (std::size_t j = 1; j < skeleton.joints; ++j) {
      const std::size_t parent = 3 * static_cast<std::size_t>(skeleton.parents[j]);
      const Vec3 bone = load(&was[3 * j]) - load(&was[parent]);
      store(load(joints + parent) + qrot(from_rotation_vector(left(j)), bone), joints + 3 * j);
    }
  }
}

}  // namespace

void SegmentScratch::lay_out(Arena& arena, std::size_t tokens) noexcept {
  const std::size_t frames = kTwistHistory + kFramesPerToken * tokens;
  max_tokens = tokens;
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

  idle_seconds_ = options.idle_seconds;
  resume_seconds_ = options.resume_seconds;
  ease_ = idle_seconds_ > 0 ? 1 : 0;
  idle_pose_ = {};
  idle_pose_.height = standing_pose(*hierarchy_, rest_, idle_pose_.rotations);
  tail_ = {};
  tail_.x = idle_pose_.x = last_x_ = options.x;
  tail_.z = idle_pose_.z = last_z_ = options.z;
  tail_.heading = last_heading_ = options.heading;
  idle_pose_.heading = options.heading;
}

bool Stream::check(const Segment& segment, const SegmentScratch& scratch, Error& error) const noexcept {
  if (segment.count == 0 || segment.count > scratch.max_tokens) {
    return fail(error, status::invalid_argument, "a segment has %zu tokens, expected 1 to %zu", segment.count,
                scratch.max_tokens);
  }
  const std::size_t overlap = segment.overlap;
  if (overlap >= segment.count || overlap > token_count_ ||
      !std::equal(segment.tokens, segment.tokens + overlap, tokens_ + token_count_ - overlap)) {
    return fail(error, status::invalid_argument,
                "the first %zu tokens of a segment are not the last ones of the stream", overlap);
  }
  const std::size_t frames = kFramesPerToken * segment.count, wanted = frames - kFramesPerToken * overlap;
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
  if (!begin_append(segment, scratch, error)) return false;
  while (advance(segment, scratch)) {
  }
  return true;
}

bool Stream::begin_append(const Segment& segment, SegmentScratch& scratch, Error& error) const noexcept {
  scratch.steps.restart();
  return check(segment, scratch, error);
}

bool Stream::advance(const Segment& segment, SegmentScratch& scratch) noexcept {
  Steps& steps = scratch.steps;
  steps.begin();
  const std::size_t recalled = std::min({kTwistHistory, capacity_, static_cast<std::size_t>(committed())});
  const std::size_t added = kFramesPerToken * (segment.count - segment.overlap);
  if (steps.due()) recall(recalled, scratch);
  if (steps.due()) place(segment, scratch.joints + recalled * 3 * hierarchy_->skeleton->joints);
  local_rotations(scratch.joints, recalled + added, recalled, *hierarchy_, rest_, scratch.rotation, scratch.rotations,
                  steps);
  if (steps.due()) commit(segment, scratch, recalled);
  return steps.more();
}

// The poses committed last say how limbs twist; a frame is written over only when everything was read.
void Stream::recall(std::size_t count, SegmentScratch& scratch) const noexcept {
  const std::size_t pose_width = 3 * hierarchy_->skeleton->joints, nodes = hierarchy_->nodes;
  for (std::size_t t = 0; t < count; ++t) {
    const Frame& known = frame(committed() - count + t);
    std::array<float, 3 * kMaxNodes> positions;
    const float root[3] = {0, known.height, 0};
    forward_kinematics(known.rotations, root, rest_, *hierarchy_, positions.data());
    for (std::size_t node = 0; node < nodes; ++node) {
      const float* const from = positions.data() + 3 * node;
      std::copy(from, from + 3, scratch.joints + t * pose_width + 3 * hierarchy_->joints[node]);
    }
    std::copy(known.rotations, known.rotations + 4 * nodes, scratch.rotations + t * 4 * nodes);
  }
}

// The segment's poses, bent towards where the motion so far goes.
void Stream::place(const Segment& segment, float* poses) const noexcept {
  const Skeleton& skeleton = *hierarchy_->skeleton;
  const std::size_t width = skeleton.features(), pose_width = 3 * skeleton.joints;
  const std::size_t first = kFramesPerToken * segment.overlap, added = kFramesPerToken * segment.count - first;
  const float* const rows = segment.features + first * width;  // of the frames that are new
  for (std::size_t t = 0; t < added; ++t) facing_pose(rows + t * width, skeleton, poses + t * pose_width);
  if (committed() == 0 || segment.blend == 0) return;
  // What the segment would have been in the two frames committed last, as far as it can tell.
  PoseArray then, before;
  if (first > 0) {
    facing_pose(rows - width, skeleton, then.data());
    facing_pose(rows - 2 * width, skeleton, before.data());
  } else {
    for (std::size_t i = 0; i < pose_width; ++i) {
      const float step = poses[pose_width + i] - poses[i];
      then[i] = poses[i] - step;
      before[i] = poses[i] - 2 * step;
    }
  }
  bend(skeleton, tail_.pose, tail_.before, then.data(), before.data(), static_cast<double>(segment.blend), added,
       poses);
}

void Stream::commit(const Segment& segment, const SegmentScratch& scratch, std::size_t recalled) noexcept {
  const std::size_t width = hierarchy_->skeleton->features(), pose_width = 3 * hierarchy_->skeleton->joints;
  const std::size_t first = kFramesPerToken * segment.overlap, added = kFramesPerToken * segment.count - first;
  const std::size_t nodes = hierarchy_->nodes;
  const float* const rows = segment.features + first * width;
  const float* const poses = scratch.joints + recalled * pose_width;
  const std::uint64_t start = committed_.load(std::memory_order_relaxed);
  const double blend = start == 0 ? 0 : static_cast<double>(segment.blend);

  // Where the motion was about to go fades into where the segment goes.
  const auto step_out = [&](std::ptrdiff_t t) {
    const float* const row = rows + t * static_cast<std::ptrdiff_t>(width);
    return Step{-2.0 * row[0], row[1], row[2]};
  };
  const std::ptrdiff_t shadow = first > 0 ? -1 : 0;
  const Step then = step_out(shadow);
  const Step gap{tail_.next.turn - then.turn, tail_.next.x - then.x, tail_.next.z - then.z};
  const auto step_from = [&](std::ptrdiff_t t) {  // -1 is the frame committed last
    const Step step = step_out(std::max(t, shadow));
    const double part = fading(1, 0, static_cast<double>(t + 1), blend);
    return Step{step.turn + part * gap.turn, step.x + part * gap.x, step.z + part * gap.z};
  };
  for (std::size_t t = 0; t < added; ++t) {
    const auto index = static_cast<std::ptrdiff_t>(t);
    const bool begins = start == 0 && t == 0;
    const Step in = begins ? Step{0, 0, 0} : step_from(index - 1), next = step_from(index);
    const double heading = tail_.heading + in.turn;
    double in_x = in.x, in_z = in.z, out_x = next.x, out_z = next.z;
    turn(heading, in_x, in_z);
    turn(heading + next.turn, out_x, out_z);
    tail_.x += in_x;
    tail_.z += in_z;
    tail_.heading = wrapped(heading);

    const float* const pose = poses + t * pose_width;
    const double rise_out = t + 1 < added ? pose[pose_width + 1] - pose[1] : 0;
    const double rise_in = begins  ? rise_out
                           : t > 0 ? pose[1] - pose[1 - static_cast<std::ptrdiff_t>(pose_width)]
                                   : pose[1] - tail_.pose[1];
    Frame& out = frame(start + t);
    out.x = tail_.x;
    out.z = tail_.z;
    out.height = pose[1];
    out.heading = static_cast<float>(tail_.heading);
    out.slope_x = static_cast<float>(begins ? out_x : (in_x + out_x) / 2);
    out.slope_z = static_cast<float>(begins ? out_z : (in_z + out_z) / 2);
    out.slope_height = static_cast<float>(t + 1 < added ? (rise_in + rise_out) / 2 : rise_in);
    out.slope_heading = static_cast<float>(begins ? next.turn : (in.turn + next.turn) / 2);
    for (std::size_t i = 0; i < kContacts; ++i) {
      out.contacts[i] = std::clamp(rows[(t + 1) * width - kContacts + i], 0.0f, 1.0f);
    }
    out.segment = segments_;
    const float* const rotations = scratch.rotations + (recalled + t) * 4 * nodes;
    std::copy(rotations, rotations + 4 * nodes, out.rotations);
  }
  tail_.next = step_from(static_cast<std::ptrdiff_t>(added) - 1);
  std::copy(poses + (added - 2) * pose_width, poses + (added - 1) * pose_width, tail_.before);
  std::copy(poses + (added - 1) * pose_width, poses + added * pose_width, tail_.pose);

  const std::size_t new_tokens = segment.count - segment.overlap, fresh = std::min(new_tokens, token_capacity_);
  const std::size_t kept = std::min(token_count_, token_capacity_ - fresh);
  std::memmove(tokens_, tokens_ + token_count_ - kept, kept * sizeof(*tokens_));
  std::copy(segment.tokens + segment.count - fresh, segment.tokens + segment.count, tokens_ + kept);
  token_count_ = kept + fresh;
  ++segments_;
  committed_.store(start + added, std::memory_order_release);
}

std::size_t Stream::last_tokens(std::int64_t* tokens, std::size_t count) const noexcept {
  count = std::min(count, token_count_);
  std::copy(tokens_ + token_count_ - count, tokens_ + token_count_, tokens);
  return count;
}

std::size_t Stream::room() const noexcept {
  const std::uint64_t end = committed(), played = released_.load(std::memory_order_acquire);
  return capacity_ - static_cast<std::size_t>(end > played ? end - played : 0);  // both may have moved in between
}

double Stream::seconds_left() const noexcept {
  const std::uint64_t played = released_.load(std::memory_order_acquire), end = committed();
  return end > played ? static_cast<double>(end - 1 - played) / fps_ : 0;
}

bool Stream::sample(double time, Pose& pose) noexcept {
  const std::uint64_t end = committed_.load(std::memory_order_acquire);
  const double passed = std::isfinite(time) && clock_runs_ ? std::clamp(time - time_, 0.0, kLongestTick) : 0;
  if (std::isfinite(time)) {
    time_ = time;
    clock_runs_ = true;
  }
  if (end == 0) {
    ease_ = 1;
    speed_ = 0;
    pose.frame = 0;
    write(idle_pose_, pose);
    return false;
  }
  const double last = static_cast<double>(end - 1);
  if (playing_) play_on(passed, last);
  playing_ = true;
  const bool underrun = play_ >= last && speed_ <= 0;
  approach_ease(underrun && idle_seconds_ > 0 ? 1 : 0, passed);
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

  if (ease_ > 0) {
    now.height += static_cast<float>(ease_) * (idle_pose_.height - now.height);
    for (std::size_t i = 0; i < 4 * hierarchy_->nodes; i += 4) {
      store(slerp(load_quat(now.rotations + i), load_quat(idle_pose_.rotations + i), ease_), now.rotations + i);
    }
  }
  pose.frame = play_;
  write(now, pose);
  return !underrun;
}

// Speed rises from 0 to 1 within `resume_seconds_`. A body that then comes to stand at ease loses it as evenly before
// the frames end: what is left to play is as the square of the speed.
void Stream::play_on(double seconds, double last) noexcept {
  const double rise = resume_seconds_, left = (last - play_) / fps_;
  double faster = 1, played = seconds;
  if (rise > 0) {
    faster = std::min(speed_ + seconds / rise, 1.0);
    const double rising = (faster - speed_) * rise;
    played = (speed_ + faster) / 2 * rising + seconds - rising;
  }
  double slower = play_ + played * fps_ <= last ? 1 : 0, farthest = played;
  if (rise > 0 && idle_seconds_ > 0) {
    const double brakes = rise / 2, braking = std::max(seconds - std::max(left - brakes, 0.0), 0.0);
    slower = std::max(std::sqrt(std::min(left / brakes, 1.0)) - braking / rise, 0.0);
    farthest = left - brakes * slower * slower;
  }
  play_ = slower > 0 ? play_ + std::min(played, farthest) * fps_ : last;
  speed_ = std::min(faster, slower);
}

// As a critically damped spring does: neither the pose nor its speed jumps, whenever the target changes.
void Stream::approach_ease(double target, double seconds) noexcept {
  constexpr double kStiffness = 6;  // 2 % are left after the time given
  const double time = idle_seconds_ > 0 ? idle_seconds_ : resume_seconds_;
  if (!(time > 0)) {
    ease_ = target;
    return;
  }
  const double frequency = kStiffness / time, fading = std::exp(-frequency * seconds);
  const double gap = ease_ - target, pull = ease_rate_ + frequency * gap;
  ease_ = target + (gap + pull * seconds) * fading;
  ease_rate_ = (ease_rate_ - frequency * pull * seconds) * fading;
  if (target == 0 && ease_ < 1e-6) ease_ = ease_rate_ = 0;
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
  if (pose.rotations) {
    for (std::size_t i = 0; i < 4 * hierarchy_->nodes; i += 4) {
      coordinates_.rotation_xyzw(rotations.data() + i, pose.rotations + i);
    }
  }
  coordinates_.position(ground, pose.root_position);
  coordinates_.rotation_xyzw(yaw, pose.root_rotation);
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
