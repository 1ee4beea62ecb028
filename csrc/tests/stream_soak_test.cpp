// A stream with a thread that appends and one that samples. Each segment holds one pose throughout, which tells its
// number, and makes the same turn and step in every frame: a pose mixed from frames that do not belong together shows.
// LAMP_FAST_SOAK_SAMPLES: how many samples, 100000 if not given.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "motion_samples.h"
#include "stream.h"

namespace {

const lf::Skeleton& kBody = lf::kHumanML3D;
constexpr std::size_t kTokens = 3;

std::vector<float> still(std::uint64_t segment) {
  std::vector<float> features = lf::walk(kTokens, kBody, 0, 0.02, 0.01);
  const std::size_t width = kBody.features();
  const std::vector<float> poses = lf::walk(25, kBody);
  for (std::size_t t = 0; t < features.size() / width; ++t) {
    float* const row = features.data() + t * width;
    std::copy(poses.data() + (segment % 100) * width, poses.data() + (segment % 100 + 1) * width, row);
    for (std::size_t i = 0; i < lf::kContacts; ++i) row[width - 1 - i] = static_cast<float>(segment % 2);
  }
  return features;
}

}  // namespace

int main() {
  const char* const wish = std::getenv("LAMP_FAST_SOAK_SAMPLES");
  const long samples = wish ? std::atol(wish) : 100000;
  lf::StreamOptions options;
  options.frames = 64;
  options.in_place = true;
  options.resume_seconds = 0;  // nothing is mixed with the pose that was held
  lf::Placed<lf::Stream> placed(lf::system_allocator(), options);
  lf::Stream& stream = placed.value;
  // What a pose of each segment is, from a stream of its own.
  std::vector<std::vector<float>> features(100), expected(100);
  lf::Placed<lf::SegmentScratch> scratch(lf::system_allocator(), kTokens);
  const std::vector<std::int64_t> tokens = lf::token_row(kTokens);
  for (std::uint64_t segment = 0; segment < 100; ++segment) {
    lf::Placed<lf::Stream> alone(lf::system_allocator(), options);
    lf::Error error;
    features[segment] = still(segment);
    alone.value.append({tokens.data(), features[segment].data(), kTokens, 0, 0}, scratch.value, error);
    expected[segment].resize(3 * lf::kMaxNodes);
    lf::Pose pose;
    pose.positions = expected[segment].data();
    alone.value.sample(0, pose);
  }

  std::atomic<bool> done{false};
  std::thread producer([&] {
    lf::Error error;
    std::uint64_t segment = 0;
    while (!done.load(std::memory_order_relaxed)) {
      if (stream.room() < 4 * kTokens) {
        std::this_thread::yield();
        continue;
      }
      if (!stream.append({tokens.data(), features[segment % 100].data(), kTokens, 0, 0}, scratch.value, error)) {
        std::printf("FAILED: %s\n", error.text);
        return;
      }
      ++segment;
    }
  });

  long torn = 0, waited = 0, played = 0;
  double time = 0, last_frame = 0;
  float positions[3 * lf::kMaxNodes];
  lf::Pose pose;
  pose.positions = positions;
  while (played < samples) {
    time += played / 1000 % 2 ? 1 / 1000.0 : 1 / 60.0;  // now the stream is full, now it runs dry
    if (!stream.sample(time, pose)) {
      ++waited;
      std::this_thread::yield();
      continue;
    }
    ++played;
    // Between the last frame of a segment and the first of the next lies a mixture; all else is one segment's.
    const std::uint64_t frame = static_cast<std::uint64_t>(pose.frame), segment = frame / (4 * kTokens);
    torn += pose.segment != segment || pose.frame < last_frame;
    last_frame = pose.frame;
    if (frame % (4 * kTokens) == 4 * kTokens - 1) continue;
    torn += pose.contacts[0] != static_cast<float>(segment % 2);
    for (std::size_t i = 0; i < 3 * lf::kMaxNodes; ++i) {
      const float seen = positions[i] - positions[i % 3],
                  right = expected[segment % 100][i] - expected[segment % 100][i % 3];
      torn += !(std::abs(seen - right) < 1e-3f);  // twist on its way turns joints a little between frames
    }
  }
  done = true;
  producer.join();
  std::printf("%ld samples, %ld times without a frame, %ld torn\n", played, waited, torn);
  return torn == 0 && stream.committed() > 0 ? 0 : 1;
}
