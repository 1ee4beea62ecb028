// A character's playing buffer. One thread appends segments of generated motion, another samples a pose at a time.
// Neither waits for the other, nothing is allocated, and a frame that was committed never changes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "coordinates.h"
#include "error.h"
#include "memory.h"
#include "motion_features.h"
#include "rotations.h"
#include "skeleton.h"

namespace lf {

struct StreamOptions {
  const Hierarchy* hierarchy = &kHumanML3DNodes;
  RestPose rest = standard_rest(kHumanML3DNodes);
  Coordinates coordinates;
  float fps = 20;
  std::size_t frames = 512;       // room for frames that are not played yet; at least one segment
  std::size_t known_tokens = 49;  // how many of the last tokens are remembered for in-painting
  float x = 0, z = 0;             // where the character starts, metres, our axes
  float heading = 0;              // and where it faces: radians about +Y from +Z to the left
  bool in_place = false;          // poses are told from the root on the ground instead of from the world
  float resume_seconds = 0.4f;    // in which a body that was held gathers speed again
  // Without frames the body comes to stand at ease in so long, having slowed down for the last ones as evenly as it
  // gathers speed; 0: it plays at full speed to the last one, whose pose is held.
  float idle_seconds = 0;
};

// A generated piece of motion.
struct Segment {
  const std::int64_t* tokens;  // (count)
  const float* features;       // (4 count, F), not normalised: the frames of those tokens
  std::size_t count;
  std::size_t overlap;  // so many tokens at the start are the last committed ones again: context for the others
  std::size_t blend;    // frames in which the difference to what was committed before fades
};

// The scratch of one thread that appends; streams may share it.
struct SegmentScratch {
  // Takes what segments of up to so many tokens need; once to measure, once to have it, see Arena.
  void lay_out(Arena& arena, std::size_t tokens) noexcept;

  std::size_t max_tokens = 0;
  RotationScratch rotation;
  float* joints = nullptr;     // (kTwistHistory + frames, J, 3), facing +Z
  float* rotations = nullptr;  // (kTwistHistory + frames, K, 4)
  Steps steps;                 // of the segment that is being appended
};

struct Pose {
  // The caller's arrays, or null where they are not wanted. Axes and units are those of the stream's coordinates.
  float* positions = nullptr;  // (K, 3) of all nodes
  // (K, 4) x, y, z, w, relative to the parent; the first to the world or, in place, the root
  float* rotations = nullptr;
  // The root on the ground below the pelvis: where it is, how it is turned, and what it did since the last sample. The
  // step is told in its own axes as they stood then, the turn about the upward axis.
  float root_position[3];
  float root_rotation[4];
  float root_step[3];
  float root_turn;
  float contacts[kContacts];  // 0 to 1
  double frame;               // which is played, counted from the first frame ever appended
  std::uint32_t segment;      // which that frame came with, counted from 0
};

class Stream {
 public:
  // memory.used() bytes are the stream's as long as it lives; measures first, see Arena.
  void lay_out(Arena& arena, const StreamOptions& options) noexcept;

  // --- The thread that appends. ---

  // Places a segment where the motion so far leads, in place, direction, pose and speed. False leaves the stream as it
  // was: no room yet, a segment longer than the scratch or the stream, an overlap that fits nothing, values not finite.
  bool append(const Segment& segment, SegmentScratch& scratch, Error& error) noexcept;

  // The same in steps: `begin_append`, then `advance` until it is false; then, and not before, the segment is there.
  bool begin_append(const Segment& segment, SegmentScratch& scratch, Error& error) const noexcept;
  bool advance(const Segment& segment, SegmentScratch& scratch) noexcept;

  // The last tokens, at most `count`, that the next segment may begin with. Returns how many there are.
  std::size_t last_tokens(std::int64_t* tokens, std::size_t count) const noexcept;

  // --- Any thread. ---

  // Frames ever appended.
  std::uint64_t committed() const noexcept { return committed_.load(std::memory_order_acquire); }
  // Frames that can be appended now.
  std::size_t room() const noexcept;
  // Time that can be played before the frames end, as of the last sample.
  double seconds_left() const noexcept;

  // --- The thread that samples. ---

  // Plays on to `time`, seconds of any clock that does not run backwards. False: the frames have ended; the pose is
  // held, and the motion goes on from there once there are more: from rest, gathering speed. Before the first segment
  // the body stands at ease.
  bool sample(double time, Pose& pose) noexcept;

 private:
  // What a motion passes through in a frame, and the tangent there, each per frame.
  struct Frame {
    double x, z;
    float height, heading;
    float slope_x, slope_z, slope_height, slope_heading;
    float contacts[kContacts];
    std::uint32_t segment;
    float rotations[4 * kMaxNodes];  // w first; the first without the heading
  };

  // A move along the ground from a frame to the next: how far the character turns, then how far it goes in the
  // direction in which it then faces.
  struct Step {
    double turn, x, z;
  };

  // What the producer keeps of the last frame.
  struct Tail {
    double x, z, heading;
    Step next;                                           // where the motion was about to go
    float pose[3 * kMaxJoints], before[3 * kMaxJoints];  // joints facing +Z, in this frame and in the one before
  };

  bool check(const Segment& segment, const SegmentScratch& scratch, Error& error) const noexcept;
  void recall(std::size_t count, SegmentScratch& scratch) const noexcept;
  void place(const Segment& segment, float* poses) const noexcept;
  void commit(const Segment& segment, const SegmentScratch& scratch, std::size_t recalled) noexcept;
  void play_on(double seconds, double last) noexcept;
  void approach_ease(double target, double seconds) noexcept;
  Frame& frame(std::uint64_t index) const noexcept { return frames_[index % capacity_]; }
  void write(const Frame& frame, Pose& pose) noexcept;

  const Hierarchy* hierarchy_ = nullptr;
  RestPose rest_;
  Coordinates coordinates_;
  float fps_ = 20, idle_seconds_ = 0, resume_seconds_ = 0;
  bool in_place_ = false;
  std::size_t capacity_ = 0, token_capacity_ = 0;
  Frame* frames_ = nullptr;
  std::int64_t* tokens_ = nullptr;
  Frame idle_pose_;

  // The producer's.
  Tail tail_;
  std::size_t token_count_ = 0;
  std::uint32_t segments_ = 0;

  std::atomic<std::uint64_t> committed_{0};
  std::atomic<std::uint64_t> released_{0};  // frames before this one are not read any more

  // The consumer's.
  bool clock_runs_ = false, playing_ = false;
  double time_ = 0, play_ = 0;
  double speed_ = 1;                 // of the motion; 0: it is held
  double ease_ = 0, ease_rate_ = 0;  // how much the body stands at ease, and how fast that changes, per second
  double last_x_ = 0, last_z_ = 0, last_heading_ = 0;
};

}  // namespace lf
