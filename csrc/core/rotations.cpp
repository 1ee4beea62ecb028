#include "rotations.h"

namespace lf {
namespace {

constexpr double kFlatHips = 0.04;    // metres
constexpr double kParentSays = 0.05;  // about twist, where a knee or an elbow bent by a right angle says 1
constexpr double kFootSays = 0.3;
constexpr int kSigma = 3;  // frames: width of the Gaussian that smooths twist over time
constexpr int kReach = 4 * kSigma;
static_assert(kTwistHistory == 2 * kReach);

// A later bone, the one that ends in `joint`, should lie to that side of the T-pose when nothing is turned.
struct Hint {
  int joint;
  Vec3 side;
  double weight;
};

struct Hints {
  int count = 0;
  Hint hint[2];
  void add(int joint, Vec3 side, double weight) noexcept { hint[count++] = {joint, side, weight}; }
};

int only_child(const Skeleton& skeleton, int joint) noexcept {
  for (std::size_t j = 1; j < skeleton.joints; ++j) {
    if (skeleton.parents[j] == joint) return static_cast<int>(j);
  }
  return -1;
}

// What tells how a limb twists: elbows bend forwards, knees backwards, and feet point forwards.
Hints hints_of(const Skeleton& skeleton, int joint) noexcept {
  Hints hints;
  for (int i = 0; i < 4; ++i) {
    const bool leg = i < 2;
    const int start = skeleton.face_joints[i], middle = only_child(skeleton, start), end = only_child(skeleton, middle);
    if (joint != start && !(leg && joint == middle)) continue;
    if (joint == start) hints.add(end, {0, 0, leg ? -1.0 : 1.0}, 1.0);
    if (leg) hints.add(only_child(skeleton, end), {0, 0, 1}, kFootSays);
    break;
  }
  return hints;
}

Vec3 bone_of(const float* joints, const Skeleton& skeleton, int joint) noexcept {
  return load(joints + 3 * joint) - load(joints + 3 * skeleton.parents[joint]);
}

// How far the middle of the hips lies below a line through the pelvis, as a vector.
Vec3 hips_down(const float* joints, const Skeleton& skeleton) noexcept {
  const Vec3 left = bone_of(joints, skeleton, skeleton.pelvis.left),
             right = bone_of(joints, skeleton, skeleton.pelvis.right);
  const Vec3 x = normalize(left - right), down = 0.5 * (left + right);
  return down - dot(down, x) * x;
}

Quat pelvis_frame(const float* joints, const Skeleton& skeleton, bool flat_hips) noexcept {
  const Vec3 left = bone_of(joints, skeleton, skeleton.pelvis.left),
             right = bone_of(joints, skeleton, skeleton.pelvis.right);
  const Vec3 x = normalize(left - right);
  const Vec3 up = flat_hips ? bone_of(joints, skeleton, skeleton.pelvis.middle) : -1 * hips_down(joints, skeleton);
  const Vec3 z = normalize(cross(x, up));
  return from_axes(x, cross(z, x), z);
}

Quat chest_frame(const float* joints, const Skeleton& skeleton) noexcept {
  const Vec3 left = bone_of(joints, skeleton, skeleton.chest.left),
             right = bone_of(joints, skeleton, skeleton.chest.right);
  const Vec3 y = normalize(bone_of(joints, skeleton, skeleton.chest.middle)), z = normalize(cross(left - right, y));
  return from_axes(cross(y, z), y, z);
}

bool is_branch(const Skeleton& skeleton, int joint) noexcept {
  return joint == skeleton.pelvis.joint || joint == skeleton.chest.joint;
}

Quat frame_of(const float* joints, const Skeleton& skeleton, int joint, bool flat_hips) noexcept {
  return joint == skeleton.pelvis.joint ? pelvis_frame(joints, skeleton, flat_hips) : chest_frame(joints, skeleton);
}

// Cosine and sine, times the lengths that count, of the angle about `rest` from `side` to `vector`.
struct Opinion {
  double cosine, sine;
};

Opinion opinion(Quat carried, Vec3 rest, Vec3 side, Vec3 vector) noexcept {
  vector = qrot(qinv(carried), vector);
  side = side - dot(side, rest) * rest;
  return {dot(vector, side), dot(vector, cross(rest, side))};
}

// Gaussian average over time; the ends are held. from and to differ.
void smooth(const double* from, std::size_t frames, double* to) noexcept {
  double weights[2 * kReach + 1], sum = 0;
  for (int i = -kReach; i <= kReach; ++i) {
    const double distance = double(i) / kSigma;
    sum += weights[i + kReach] = std::exp(-0.5 * distance * distance);
  }
  const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(frames) - 1;
  for (std::ptrdiff_t t = 0; t <= last; ++t) {
    double total = 0;
    for (std::ptrdiff_t i = -kReach; i <= kReach; ++i) {
      total += weights[i + kReach] * from[std::clamp<std::ptrdiff_t>(t + i, 0, last)];
    }
    to[t] = total / sum;
  }
}

// The angle about `axis` by which a rotation turns.
double twist(Quat q, Vec3 axis) noexcept { return wrapped(2 * std::atan2(dot(Vec3{q.x, q.y, q.z}, axis), q.w)); }

void unwrap(double* angle, std::size_t frames) noexcept {
  for (std::size_t t = 1; t < frames; ++t) angle[t] = angle[t - 1] + wrapped(angle[t] - angle[t - 1]);
}

}  // namespace

RestPose standard_rest(const Hierarchy& hierarchy) noexcept {
  const Skeleton& skeleton = *hierarchy.skeleton;
  const bool flat = &skeleton == &kKit;
  RestPose rest{{}, flat};
  for (std::size_t node = 1; node < hierarchy.nodes; ++node) {
    if (hierarchy.is_base(node)) continue;
    const int joint = hierarchy.joints[node];
    Vec3 direction = skeleton.t_pose[joint];
    if (!flat && (joint == skeleton.pelvis.left || joint == skeleton.pelvis.right)) direction.y = -4.0 / 3;
    if (!flat && (joint == skeleton.chest.left || joint == skeleton.chest.right)) direction.y = 4.0 / 3;
    rest.offsets[node] = skeleton.lengths[joint] * normalize(direction);
  }
  return rest;
}

RestPose measured_rest(const float* joints, std::size_t frames, const Hierarchy& hierarchy) noexcept {
  const Skeleton& skeleton = *hierarchy.skeleton;
  const std::size_t width = 3 * skeleton.joints;
  double down = 0;
  for (std::size_t t = 0; t < frames; ++t) down += length(hips_down(joints + t * width, skeleton));
  RestPose rest{{}, down / frames < kFlatHips};
  for (std::size_t node = 1; node < hierarchy.nodes; ++node) {
    if (hierarchy.is_base(node)) continue;
    const int joint = hierarchy.joints[node], parent = skeleton.parents[joint];
    Vec3 direction;
    double size = 0;
    for (std::size_t t = 0; t < frames; ++t) {
      const float* pose = joints + t * width;
      const Vec3 bone = bone_of(pose, skeleton, joint);
      size += length(bone) / frames;
      if (is_branch(skeleton, parent)) {
        direction = direction + qrot(qinv(frame_of(pose, skeleton, parent, rest.flat_hips)), bone);
      }
    }
    direction = is_branch(skeleton, parent) ? normalize(1.0 / frames * direction) : skeleton.t_pose[joint];
    rest.offsets[node] = size * direction;
  }
  return rest;
}

float standing_pose(const Hierarchy& hierarchy, const RestPose& rest, float* rotations) noexcept {
  constexpr double kArmsDown = 1.25, kElbowsBent = 0.25;  // radians
  const Skeleton& skeleton = *hierarchy.skeleton;
  for (std::size_t node = 0; node < hierarchy.nodes; ++node) {
    Quat rotation;
    for (int i = 2; i < 4; ++i) {  // the shoulders: right, left
      const double side = i == 2 ? -1 : 1;
      const int shoulder = skeleton.face_joints[i], joint = hierarchy.joints[node];
      if (hierarchy.is_base(node)) break;
      if (joint == shoulder) rotation = from_rotation_vector({0, 0, -side * kArmsDown});
      if (joint == only_child(skeleton, shoulder)) rotation = from_rotation_vector({0, -side * kElbowsBent, 0});
    }
    store(rotation, rotations + 4 * node);
  }
  float positions[3 * kMaxNodes];
  const float origin[3] = {0, 0, 0};
  forward_kinematics(rotations, origin, rest, hierarchy, positions);
  float lowest = 0;
  for (std::size_t node = 0; node < hierarchy.nodes; ++node) lowest = std::min(lowest, positions[3 * node + 1]);
  return -lowest;
}

void forward_kinematics(const float* rotations, const float* root, const RestPose& rest, const Hierarchy& hierarchy,
                        float* positions) noexcept {
  std::array<Quat, kMaxNodes> world;
  std::array<Vec3, kMaxNodes> place;
  world[0] = load_quat(rotations);
  place[0] = load(root);
  store(place[0], positions);
  for (std::size_t node = 1; node < hierarchy.nodes; ++node) {
    const int parent = hierarchy.parents[node];
    place[node] = place[parent] + qrot(world[parent], rest.offsets[node]);
    world[node] = qmul(world[parent], load_quat(rotations + 4 * node));
    store(place[node], positions + 3 * node);
  }
}

void RotationScratch::lay_out(Arena& arena, std::size_t frames) noexcept {
  max_frames = frames;
  world = arena.take<Quat>(kMaxNodes * frames);
  reached = arena.take<Vec3>(kMaxNodes * frames);
  direction = arena.take<Vec3>(frames);
  carried = arena.take<Quat>(frames);
  cosine = arena.take<double>(frames);
  sine = arena.take<double>(frames);
  angle = arena.take<double>(frames);
}

namespace {

class RotationSolver {
 public:
  RotationSolver(const float* joints, std::size_t frames, std::size_t given, const Hierarchy& hierarchy,
                 const RestPose& rest, RotationScratch& scratch, float* rotations) noexcept
      : joints_(joints),
        frames_(frames),
        given_(given),
        hierarchy_(hierarchy),
        skeleton_(*hierarchy.skeleton),
        rest_(rest),
        scratch_(scratch),
        rotations_(rotations) {}

  void solve(Steps& steps) noexcept {
    for (std::size_t node = 0; node < hierarchy_.nodes; ++node) {
      if (!steps.due()) continue;
      const int joint = hierarchy_.joints[node];
      reach(node);
      for (std::size_t t = 0; t < given_; ++t) world(node, t) = qnormalize(qmul(above(node, t), known(node, t)));
      if (is_branch(skeleton_, joint) && !hierarchy_.is_base(node)) {
        for (std::size_t t = given_; t < frames_; ++t) {
          const Quat frame = frame_of(pose(t), skeleton_, joint, rest_.flat_hips);
          turn(node, t, qmul(qinv(above(node, t)), frame));
        }
      } else if (hierarchy_.first_child[node] >= 0) {
        swing(node);
      } else {
        for (std::size_t t = given_; t < frames_; ++t) turn(node, t, {});
      }
    }
  }

 private:
  const float* pose(std::size_t t) const noexcept { return joints_ + t * 3 * skeleton_.joints; }
  Quat& world(std::size_t node, std::size_t t) noexcept { return scratch_.world[node * scratch_.max_frames + t]; }
  Vec3& reached(std::size_t node, std::size_t t) noexcept { return scratch_.reached[node * scratch_.max_frames + t]; }
  Quat known(std::size_t node, std::size_t t) const noexcept {
    return load_quat(rotations_ + (t * hierarchy_.nodes + node) * 4);
  }
  Quat above(std::size_t node, std::size_t t) noexcept {
    return node == 0 ? Quat{} : world(hierarchy_.parents[node], t);
  }

  void reach(std::size_t node) noexcept {
    for (std::size_t t = 0; t < frames_; ++t) {
      const Vec3 start = node == 0 ? load(pose(t)) : reached(hierarchy_.parents[node], t);
      reached(node, t) = start + qrot(above(node, t), rest_.offsets[node]);
    }
  }

  void turn(std::size_t node, std::size_t t, Quat rotation) noexcept {
    world(node, t) = qnormalize(qmul(above(node, t), rotation));
    float* const out = rotations_ + (t * hierarchy_.nodes + node) * 4;
    if (t > 0 && dot(load_quat(out - 4 * hierarchy_.nodes), rotation) < 0) rotation = -1 * rotation;
    store(rotation, out);
  }

  // The rotation of a node whose one bone goes where it goes: what is left to choose is how the bone twists. All that
  // is said of it are angles from a frame carried along the motion without any twist, so that they can be averaged.
  void swing(std::size_t node) noexcept {
    const int child = hierarchy_.first_child[node], end = hierarchy_.joints[child];
    const Vec3 rest = normalize(rest_.offsets[child]);
    const Vec3 other{rest.z + 0.3, rest.x + 0.1, rest.y + 0.2};
    const Vec3 across = normalize(cross(rest, other));
    const Hints hints = hints_of(skeleton_, hierarchy_.joints[node]);
    for (std::size_t t = 0; t < frames_; ++t) {
      const Quat from_parent = qinv(above(node, t));
      const Vec3 direction = normalize(qrot(from_parent, load(pose(t) + 3 * end) - reached(node, t)));
      const Quat carried =
          t == 0 ? qbetween(rest, direction)
                 : qnormalize(qmul(qbetween(scratch_.direction[t - 1], direction), scratch_.carried[t - 1]));
      scratch_.direction[t] = direction;
      scratch_.carried[t] = carried;
      // The parent says: by the shortest arc. The nearer to the direction opposite to rest, the less it is trusted.
      Opinion said = opinion(carried, rest, across, qrot(qbetween(rest, direction), across));
      const double trust = kParentSays * (1 + dot(rest, direction)) / 2;
      said = {trust * said.cosine, trust * said.sine};
      for (int i = 0; i < hints.count; ++i) {
        const Hint& hint = hints.hint[i];
        const Vec3 bone = normalize(qrot(from_parent, bone_of(pose(t), skeleton_, hint.joint)));
        const Opinion more = opinion(carried, rest, hint.side, bone);
        said = {said.cosine + hint.weight * more.cosine, said.sine + hint.weight * more.sine};
      }
      scratch_.cosine[t] = said.cosine;
      scratch_.sine[t] = said.sine;
    }
    smooth(scratch_.cosine, frames_, scratch_.angle);
    smooth(scratch_.sine, frames_, scratch_.cosine);
    for (std::size_t t = 0; t < frames_; ++t) scratch_.angle[t] = std::atan2(scratch_.cosine[t], scratch_.angle[t]);
    unwrap(scratch_.angle, frames_);
    smooth(scratch_.angle, frames_, scratch_.sine);
    const auto wanted = [&](std::size_t t) {
      return qmul(scratch_.carried[t], from_rotation_vector(scratch_.sine[t] * rest));
    };
    double gap = 0, slope = 0;
    if (given_ > 0) {
      gap = twist(qmul(qinv(wanted(given_ - 1)), known(node, given_ - 1)), rest);
      if (given_ > 1) slope = wrapped(gap - twist(qmul(qinv(wanted(given_ - 2)), known(node, given_ - 2)), rest));
    }
    for (std::size_t t = given_; t < frames_; ++t) {
      const double more = fading(gap, slope, static_cast<double>(t + 1 - given_), kReach);
      turn(node, t, qmul(wanted(t), from_rotation_vector(more * rest)));
    }
  }

  const float* joints_;
  std::size_t frames_, given_;
  const Hierarchy& hierarchy_;
  const Skeleton& skeleton_;
  const RestPose& rest_;
  RotationScratch& scratch_;
  float* rotations_;
};

}  // namespace

void local_rotations(const float* joints, std::size_t frames, std::size_t given, const Hierarchy& hierarchy,
                     const RestPose& rest, RotationScratch& scratch, float* rotations, Steps& steps) noexcept {
  RotationSolver(joints, frames, given, hierarchy, rest, scratch, rotations).solve(steps);
}

void local_rotations(const float* joints, std::size_t frames, std::size_t given, const Hierarchy& hierarchy,
                     const RestPose& rest, RotationScratch& scratch, float* rotations) noexcept {
  Steps steps;
  do {
    steps.begin();
    local_rotations(joints, frames, given, hierarchy, rest, scratch, rotations, steps);
  } while (steps.more());
}

}  // namespace lf
