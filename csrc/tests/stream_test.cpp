// The playing buffer: what was committed stays, motion goes on without a corner, the play head holds at the end.
#include "stream.h"
#include "expect.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "motion_samples.h"

namespace {

constexpr std::size_t kNodes = lf::kMaxNodes;
const lf::Skeleton& kBody = lf::kHumanML3D;

bool near(double a, double b, double tolerance) { return std::abs(a - b) <= tolerance; }

// A pose with its arrays.
struct Sample {
  Sample() {
    pose.positions = positions;
    pose.rotations = rotations;
  }
  lf::Pose pose;
  float positions[3 * kNodes], rotations[4 * kNodes];
};

struct Character {
  explicit Character(const lf::StreamOptions& options = {}, std::size_t tokens = 49)
      : stream(lf::system_allocator(), options), scratch(lf::system_allocator(), tokens) {}

  bool append(const std::vector<float>& features, std::size_t overlap = 0, std::size_t blend = 8,
              std::int64_t first = 0) {
    const std::size_t count = features.size() / kBody.features() / lf::kFramesPerToken;
    const std::vector<std::int64_t> tokens = lf::token_row(count, first);
    return stream.value.append({tokens.data(), features.data(), count, overlap, blend}, scratch.value, error);
  }

  lf::Placed<lf::Stream> stream;
  lf::Placed<lf::SegmentScratch> scratch;
  lf::Error error;
};

std::vector<Sample> play(lf::Stream& stream, double from, double to, double step) {
  std::vector<Sample> samples;
  for (double time = from; time < to; time += step) {
    Sample sample;
    stream.sample(time, sample.pose);
    samples.push_back(sample);
    samples.back().pose.positions = samples.back().positions;
  }
  return samples;
}

double distance(const float* a, const float* b) { return lf::length(lf::load(a) - lf::load(b)); }

// What frames give is what features give, at frame times.
void frames_are_the_joints_of_the_features() {
  const std::vector<float> features = lf::walk(7, kBody);
  std::vector<float> joints(28 * 66);
  lf::RootState state;
  lf::features_to_joints(features.data(), 28, kBody, state, joints.data());
  Character character;
  expect(character.append(features), "a first segment");
  for (int t = 0; t < 28; ++t) {
    Sample sample;
    expect(character.stream.value.sample(10 + t / 20.0, sample.pose), "there is a frame");
    double worst = 0;
    for (std::size_t node = 0; node < kNodes; ++node) {
      worst = std::max(worst,
                       distance(sample.positions + 3 * node, &joints[66 * t + 3 * lf::kHumanML3DNodes.joints[node]]));
    }
    expect(worst < 1e-4, "positions are the joints");
    expect(near(sample.pose.frame, t, 1e-6), "the frame is told");
  }
}

void committed_frames_never_change() {
  Character character;
  character.append(lf::walk(7, kBody));
  Character other;
  other.append(lf::walk(7, kBody));
  other.append(lf::walk(13, kBody, 2.0, -0.1), 0, 8, 100);
  const auto alone = play(character.stream.value, 0, 27 / 20.0, 0.013),
             followed = play(other.stream.value, 0, 27 / 20.0, 0.013);
  bool same = true;
  for (std::size_t i = 0; i < alone.size(); ++i) {
    same &= std::memcmp(alone[i].positions, followed[i].positions, sizeof(alone[i].positions)) == 0;
    same &= std::memcmp(alone[i].rotations, followed[i].rotations, sizeof(alone[i].rotations)) == 0;
  }
  expect(same, "a segment behind them changes no committed frame");
}

// The largest step and the largest change of velocity of any node between samples a 60th of a second apart.
void roughness(const std::vector<Sample>& samples, double& step, double& bend) {
  step = bend = 0;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    for (std::size_t n = 0; n < 3 * kNodes; n += 3) {
      const lf::Vec3 now = lf::load(samples[i].positions + n), before = lf::load(samples[i - 1].positions + n);
      step = std::max(step, lf::length(now - before));
      if (i > 1) bend = std::max(bend, lf::length(now - 2 * before + lf::load(samples[i - 2].positions + n)));
    }
  }
}

void segments_join_without_a_corner() {
  // Alone, the two motions set the measure.
  double step, bend, step2, bend2, joined_step, joined_bend;
  Character one, two, both, cut;
  one.append(lf::walk(7, kBody));
  two.append(lf::walk(7, kBody, 2.0, -0.1, 0.02));
  roughness(play(one.stream.value, 0, 27 / 20.0, 1 / 60.0), step, bend);
  roughness(play(two.stream.value, 0, 27 / 20.0, 1 / 60.0), step2, bend2);
  step = std::max(step, step2);
  bend = std::max(bend, bend2);
  for (Character* character : {&both, &cut}) {
    const std::size_t blend = character == &both ? 10 : 0;
    character->append(lf::walk(7, kBody), 0, blend);
    expect(character->append(lf::walk(7, kBody, 2.0, -0.1, 0.02), 0, blend, 7), "a second segment");
    expect(character->append(lf::walk(7, kBody, 4.0, 0.1), 0, blend, 14), "a third segment");
    roughness(play(character->stream.value, 0, 83 / 20.0, 1 / 60.0), joined_step, joined_bend);
    if (blend > 0) {
      expect(joined_step < 1.2 * step, "no jump where segments meet");
      expect(joined_bend < 2.5 * bend, "no corner where segments meet");
    } else {
      expect(joined_step > 2 * step && joined_bend > 5 * bend, "the test sees a jump");
    }
  }
}

// A segment that repeats the last tokens goes on exactly as the motion that it continues.
void overlap_is_context() {
  const std::vector<float> whole = lf::walk(13, kBody);
  const std::size_t width = 4 * kBody.features();
  Character once, twice;
  once.append(whole);
  twice.append({whole.begin(), whole.begin() + 7 * width});
  expect(twice.append({whole.begin() + 4 * width, whole.end()}, 3, 8, 4), "an overlap of three tokens");
  expect(once.stream.value.committed() == 52 && twice.stream.value.committed() == 52, "the overlap is not appended");
  const auto expected = play(once.stream.value, 0, 51 / 20.0, 0.017),
             found = play(twice.stream.value, 0, 51 / 20.0, 0.017);
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    for (std::size_t n = 0; n < 3 * kNodes; n += 3) {
      worst = std::max(worst, distance(expected[i].positions + n, found[i].positions + n));
    }
  }
  expect(worst < 1e-3, "the motion goes on as if it had been one segment");

  std::int64_t tokens[49];
  expect(twice.stream.value.last_tokens(tokens, 5) == 5 && tokens[0] == 8 && tokens[4] == 12, "the last tokens");
  expect(twice.stream.value.last_tokens(tokens, 49) == 13 && tokens[0] == 0, "all tokens");
}

void the_end_holds() {
  Character character;
  Sample sample, held;
  expect(!character.stream.value.sample(1, sample.pose), "nothing was appended");
  float lowest = 1, wrist = 0;
  for (std::size_t node = 0; node < kNodes; ++node) lowest = std::min(lowest, sample.positions[3 * node + 1]);
  for (const std::size_t node : {25, 26}) wrist = std::max(wrist, sample.positions[3 * node + 1]);
  expect(near(lowest, 0, 1e-6) && sample.positions[1] > 0.8, "it stands on the floor");
  expect(wrist < sample.positions[1] + 0.1, "its arms down");
  character.append(lf::walk(1, kBody));
  expect(character.stream.value.sample(2, sample.pose) && sample.pose.frame == 0, "play begins with the first frame");
  expect(!character.stream.value.sample(9, sample.pose) && sample.pose.frame == 3, "the frames have ended");
  expect(!character.stream.value.sample(19, held.pose), "and stay ended");
  expect(std::memcmp(sample.positions, held.positions, sizeof(held.positions)) == 0, "the pose is held");
  expect(held.pose.root_step[0] == 0 && held.pose.root_step[2] == 0 && held.pose.root_turn == 0, "nothing moves");
  character.append(lf::walk(7, kBody), 0, 8, 1);
  expect(character.stream.value.sample(19.4, sample.pose) && near(sample.pose.frame, 7, 1e-3), "the motion goes on");
  expect(distance(sample.positions, held.positions) < 0.4, "from there");
  expect(sample.pose.segment == 1, "the segment is told");
  expect(!character.stream.value.sample(std::numeric_limits<double>::quiet_NaN(), sample.pose) ||
             near(sample.pose.frame, 7, 1e-3),
         "a time that is none moves nothing");
  expect(character.stream.value.sample(5, sample.pose) && near(sample.pose.frame, 7, 1e-3),
         "nor one that runs backwards");
  expect(character.stream.value.sample(5.5, sample.pose) && near(sample.pose.frame, 17, 1e-3), "then at full speed");
}

void the_end_idles() {
  lf::StreamOptions options;
  options.idle_seconds = 0.5f;
  float standing[4 * kNodes];
  const float height = lf::standing_pose(*options.hierarchy, options.rest, standing);
  Character character(options);
  character.append(lf::walk(2, kBody));
  std::vector<Sample> samples = play(character.stream.value, 0, 2, 1 / 60.0);
  expect(near(samples.back().positions[1], height, 1e-5), "the height of a body that stands");
  bool stands = true;
  for (std::size_t i = 4; i < 4 * kNodes; ++i) {
    const float found = samples.back().rotations[i / 4 * 4 + (i + 3) % 4];
    stands &= near(std::abs(found), std::abs(standing[i]), 1e-5);
  }
  expect(stands, "it stands at ease");
  character.append(lf::walk(7, kBody), 0, 8, 2);
  for (const Sample& sample : play(character.stream.value, 2, 3, 1 / 60.0)) samples.push_back(sample);
  double step, bend;
  roughness(samples, step, bend);
  expect(step < 0.1, "into idling and out of it without a jump");
}

// How much any node's velocity changes at most, m/s, from one tick to the next, around the moment where a motion ends
// or, if `back`, where it comes back to a body that has none since 0.05 s, or has never had any.
double change_of_speed(const lf::StreamOptions& options, bool back, bool ever_moved, double tick) {
  Character character(options);
  if (ever_moved) character.append(lf::walk(2, kBody));
  std::vector<Sample> samples = play(character.stream.value, 0, 0.6 - tick / 2, tick);
  if (back) {
    character.append(lf::walk(7, kBody, 7 / 20.0), 0, 8, 2);
    const auto resumed = play(character.stream.value, 0.6, 0.6 + 6 * tick, tick);
    samples.erase(samples.begin(), samples.end() - 4);
    samples.insert(samples.end(), resumed.begin(), resumed.end());
  } else {
    const auto ends = [](const Sample& sample) { return sample.pose.frame == 7; };
    const auto end = std::find_if(samples.begin(), samples.end(), ends);
    samples = std::vector<Sample>(end - 3, end + 3);
  }
  double step, bend;
  roughness(samples, step, bend);
  return bend / tick;
}

// The change vanishes with the length of a tick, where velocity is continuous; a jump stays what it is.
void motion_ends_and_comes_back_without_a_jerk() {
  const struct {
    bool back, ever_moved;
    float idle_seconds;
  } cases[] = {{false, true, 0.5f}, {true, true, 0}, {true, true, 0.5f}, {true, false, 0}, {true, false, 0.5f}};
  for (const auto& c : cases) {
    lf::StreamOptions options;
    options.idle_seconds = c.idle_seconds;
    const auto change = [&](double tick) { return change_of_speed(options, c.back, c.ever_moved, tick); };
    const double rounding = 1e-3, in_short_ticks = change(1 / 2000.0);
    expect(in_short_ticks < 0.3 * change(1 / 500.0) + rounding, "velocity does not jump");
    options.resume_seconds = 0;
    expect((c.back && c.idle_seconds > 0) || change(1 / 2000.0) > 10 * in_short_ticks, "the test sees a jump");
  }
}

// Where the motion stands at a time does not depend on how often it was asked for on the way.
void ticks_do_not_matter() {
  for (const double time : {1.0, 1.2, 1.25, 1.3, 1.4, 1.54, 1.56}) {
    double frame[2];
    for (int often = 0; often < 2; ++often) {
      lf::StreamOptions options;
      options.idle_seconds = 0.5f;
      Character character(options);
      character.append(lf::walk(7, kBody));
      play(character.stream.value, 0, time, often ? 1 / 997.0 : time);
      Sample last;
      const bool plays = character.stream.value.sample(time, last.pose);
      frame[often] = last.pose.frame;
      const double left = std::max(1.55 - time, 0.0);  // 1.15 s at full speed, then 0.4 s for the last 0.2
      const double right = time < 1.15 ? 20 * time : 27 - 20 * left * left / 0.8;
      expect(near(frame[often], right, 1e-6) && plays == (time < 1.55), "slower and slower, to the last frame");
    }
  }
}

void root_motion_adds_up() {
  for (const bool in_place : {false, true}) {
    lf::StreamOptions options;
    options.x = 3;
    options.z = -2;
    options.heading = 1;
    options.in_place = in_place;
    options.coordinates = lf::Coordinates(lf::Preset::unreal);
    Character character(options);
    character.append(lf::walk(7, kBody));
    character.append(lf::walk(7, kBody, 1, -0.2), 0, 8, 7);
    double x = 300, y = -200, heading = -1;  // Unreal's: ours (x, z), centimetres; turned the other way
    for (const Sample& sample : play(character.stream.value, 0, 55 / 20.0, 0.011)) {
      const float* const step = sample.pose.root_step;
      const double cosine = std::cos(heading), sine = std::sin(heading);
      x += cosine * step[0] - sine * step[1];
      y += sine * step[0] + cosine * step[1];
      heading += sample.pose.root_turn;
      expect(near(x, sample.pose.root_position[0], 0.05) && near(y, sample.pose.root_position[1], 0.05),
             "steps add up");
      const lf::Quat yaw{sample.pose.root_rotation[3], 0, 0, sample.pose.root_rotation[2]};
      expect(near(lf::wrapped(2 * std::atan2(yaw.z, yaw.w) - heading), 0, 1e-3), "turns add up");
      if (in_place)
        expect(near(sample.positions[0], 0, 1e-3) && near(sample.positions[1], 0, 1e-3), "poses stay in place");
      if (!in_place)
        expect(near(sample.positions[0], x, 0.05) && near(sample.positions[1], y, 0.05), "poses follow the root");
    }
  }
}

void frames_are_used_again() {
  lf::StreamOptions options;
  options.frames = 64;
  Character character(options);
  expect(character.append(lf::walk(13, kBody)), "52 of 64 frames");
  expect(!character.append(lf::walk(13, kBody), 0, 8, 13), "no room");
  expect(std::strstr(character.error.text, "room") != nullptr, "and a sentence that says so");
  expect(character.stream.value.room() == 12, "room for twelve");
  Sample sample;
  double time = 0;
  for (int round = 1; round < 50; ++round) {
    while (character.stream.value.room() < 52) {
      expect(character.stream.value.sample(time, sample.pose), "play goes on");
      time += 1 / 60.0;
    }
    expect(character.append(lf::walk(13, kBody, round), 0, 8, 13 * round), "room again");
  }
  expect(character.stream.value.committed() == 50 * 52, "all were appended");
  expect(character.stream.value.seconds_left() < 64 / 20.0, "not all of them lie before the play head");
}

void refusals() {
  Character character({}, 13);
  expect(!character.append(lf::walk(14, kBody)), "longer than the scratch");
  expect(!character.append({}), "without tokens");
  expect(!character.append(lf::walk(7, kBody), 2), "an overlap with nothing");
  std::vector<float> features = lf::walk(7, kBody);
  features[1000] = std::numeric_limits<float>::infinity();
  expect(!character.append(features) && character.error.status == lf::status::not_finite, "values that are not finite");
  expect(character.append(lf::walk(7, kBody)), "then a good one");
  expect(!character.append(lf::walk(7, kBody), 2, 8, 90), "an overlap of other tokens");
  expect(!character.append(lf::walk(7, kBody), 7, 8, 0), "nothing but overlap");
  expect(character.stream.value.committed() == 28, "refused segments leave no trace");
}

// However far a clock jumps, a body without frames comes to stand at ease.
void a_clock_may_leap() {
  lf::StreamOptions options;
  options.idle_seconds = 1;
  Character leaping(options), walking(options);
  Sample leapt, walked;
  for (Character* character : {&leaping, &walking}) character->append(lf::walk(7, kBody));
  for (const double time : {-1e308, 1e308, 1.1e308}) leaping.stream.value.sample(time, leapt.pose);
  for (const double time : {0.0, 100.0, 200.0}) walking.stream.value.sample(time, walked.pose);
  expect(std::memcmp(leapt.rotations, walked.rotations, sizeof leapt.rotations) == 0, "the same pose after a leap");
}

// Worst and mean time of a sample; printed, and the mean bounded far above what it takes.
void samples_are_cheap() {
  Character character;
  character.append(lf::walk(49, kBody));
  Sample sample;
  double worst = 0, total = 0;
  constexpr int kSamples = 2000;
  for (int i = 0; i < kSamples; ++i) {
    const auto start = std::chrono::steady_clock::now();
    character.stream.value.sample(i * 0.004, sample.pose);
    const double passed = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    worst = std::max(worst, passed);
    total += passed;
  }
  const auto start = std::chrono::steady_clock::now();
  Character again;
  again.append(lf::walk(49, kBody));
  const double append = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  std::printf("sample: mean %.1f us, worst %.1f us; append of 196 frames with its setup: %.2f ms\n", total / kSamples,
              worst, append);
  expect(total / kSamples < 1000, "a sample takes microseconds");
}

}  // namespace

int main() {
  frames_are_the_joints_of_the_features();
  committed_frames_never_change();
  segments_join_without_a_corner();
  overlap_is_context();
  the_end_holds();
  the_end_idles();
  motion_ends_and_comes_back_without_a_jerk();
  ticks_do_not_matter();
  root_motion_adds_up();
  frames_are_used_again();
  refusals();
  a_clock_may_leap();
  samples_are_cheap();
  return failures == 0 ? 0 : 1;
}
