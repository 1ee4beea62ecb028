// Frames that are given come back untouched, and what lies between them leaves and reaches them without a jump.
#include "inbetween.h"
#include "expect.h"

#include <cstring>
#include <vector>

#include "joints_to_features.h"
#include "motion_samples.h"

namespace {

const lf::Skeleton& kBody = lf::kHumanML3D;
constexpr std::size_t kWidth = 3 * 22;

std::vector<float> joints_of(const std::vector<float>& features, lf::RootState start = {}) {
  const std::size_t frames = features.size() / kBody.features();
  std::vector<float> joints(frames * kWidth);
  lf::features_to_joints(features.data(), frames, kBody, start, joints.data());
  return joints;
}

double farthest(const float* a, const float* b) {
  double most = 0;
  for (std::size_t i = 0; i < kWidth; i += 3) most = std::max(most, lf::length(lf::load(a + i) - lf::load(b + i)));
  return most;
}

void given_frames_stay() {
  const std::vector<float> made = joints_of(lf::walk(49, kBody, 1.0, 0.03, 0.03));
  lf::RootState elsewhere;
  elsewhere.half_turn = 1.3;
  elsewhere.x = 2;
  const std::vector<float> before = joints_of(lf::walk(5, kBody, 2.0, 0.0, 0.03), elsewhere);
  elsewhere.half_turn = 0.2;
  elsewhere.z = 1;
  const std::vector<float> after = joints_of(lf::walk(5, kBody, 3.0, 0.05, 0.03), elsewhere);
  for (const std::size_t left : {0, 1, 2, 7, 16}) {
    for (const std::size_t right : {0, 1, 2, 7, 16}) {
      for (const std::size_t between : {1, 2, 7, 40}) {
        lf::GivenFrames given;
        given.before = left;
        given.between = between;
        given.after = right;
        expect(given.tokens() >= given.tokens_before() + given.tokens_after(), "tokens of either side do not meet");
        expect(4 * given.tokens() >= given.lead() + given.frames(), "the tokens hold all frames");
        std::vector<float> joints(made.begin(), made.begin() + given.frames() * kWidth);
        lf::fit_between(before.data(), after.data(), given, kBody, joints.data());
        expect(std::memcmp(joints.data(), before.data(), left * kWidth * sizeof(float)) == 0, "frames before stay");
        expect(
            std::memcmp(joints.data() + (left + between) * kWidth, after.data(), right * kWidth * sizeof(float)) == 0,
            "frames after stay");
        bool finite = true;
        for (const float value : joints) finite &= std::isfinite(value);
        expect(finite, "what lies between is finite");
        if (between < 40) continue;
        // The walks themselves move up to 0.25 metres in a frame.
        double jump = 0;
        for (std::size_t t = 1; t < given.frames(); ++t) {
          jump = std::max(jump, farthest(&joints[t * kWidth], &joints[(t - 1) * kWidth]));
        }
        if (left + right > 0) expect(jump < 0.3, "no jump where they meet");
      }
    }
  }
}

// Frames made by the motion itself ask for no change.
void what_fits_stays() {
  const std::vector<float> whole = joints_of(lf::walk(13, kBody));
  lf::GivenFrames given;
  given.before = 9;
  given.between = 21;
  given.after = 22;
  std::vector<float> joints = whole;
  lf::fit_between(whole.data(), &whole[30 * kWidth], given, kBody, joints.data());
  double worst = 0;
  for (std::size_t t = 0; t < 52; ++t) worst = std::max(worst, farthest(&joints[t * kWidth], &whole[t * kWidth]));
  expect(worst < 1e-4, "a motion that fits stays as it is");
}

void features_there_and_back() {
  const std::vector<float> joints = joints_of(lf::walk(13, kBody));
  std::vector<double> scratch(lf::joints_to_features_scratch(52));
  std::vector<float> features(51 * kBody.features());
  expect(lf::joints_to_features(joints.data(), 52, kBody, scratch.data(), features.data()), "joints to features");
  const std::vector<float> again = joints_of(features);
  bool same = true;
  // Seen from the root: where the way leads depends on how the facing direction is smoothed.
  for (std::size_t t = 0; t < 51; ++t) {
    for (std::size_t j = 1; j < 22; ++j) {
      const auto far = [&](const std::vector<float>& m) {
        return lf::length(lf::load(&m[t * kWidth + 3 * j]) - lf::load(&m[t * kWidth]));
      };
      same &= std::abs(far(joints) - far(again)) < 1e-4;
    }
  }
  expect(same, "and back");
  std::vector<float> broken = joints;
  broken[100] = std::nanf("");
  expect(!lf::joints_to_features(broken.data(), 52, kBody, scratch.data(), features.data()), "NaN is refused");
  std::vector<float> flat(joints.size());
  expect(!lf::joints_to_features(flat.data(), 52, kBody, scratch.data(), features.data()), "bones without length are");
}

}  // namespace

int main() {
  given_frames_stay();
  what_fits_stays();
  features_there_and_back();
  return failures == 0 ? 0 : 1;
}
