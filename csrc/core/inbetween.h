// Motion made to fit frames that are given: what is generated joins them in place, direction, pose and speed.
#pragma once

#include <cstddef>

#include "skeleton.h"

namespace lf {

// Where given frames stand among whole tokens: `before` frames, `between` that are made, `after` frames.
struct GivenFrames {
  std::size_t before = 0, between = 0, after = 0;

  std::size_t frames() const noexcept { return before + between + after; }
  // Frames of the first token in front of the motion, so that the frames before end a token.
  std::size_t lead() const noexcept { return (kFramesPerToken - before % kFramesPerToken) % kFramesPerToken; }
  std::size_t tokens() const noexcept { return (lead() + frames() + kFramesPerToken - 1) / kFramesPerToken; }
  std::size_t tokens_before() const noexcept { return (lead() + before) / kFramesPerToken; }
  // Those at the end that hold frames after, but not such that the frames before hold already.
  std::size_t tokens_after() const noexcept {
    if (after == 0) return 0;
    const std::size_t first = (lead() + before + between) / kFramesPerToken;
    return tokens() - (first > tokens_before() ? first : tokens_before());
  }
};

// The frames of the tokens before, 4 tokens_before() + 1 of them, from given joints (before, J, 3): the first is
// repeated in front, the last goes on behind as fast as it was. out as `joints_to_features` takes it.
void frames_of_tokens_before(const float* joints, const GivenFrames& given, std::size_t joint_count,
                             float* out) noexcept;

// The same of the tokens after, 4 tokens_after() + 1.
void frames_of_tokens_after(const float* joints, const GivenFrames& given, std::size_t joint_count,
                            float* out) noexcept;

// joints (frames, J, 3): what was generated, in whatever place, becomes the given frames with a motion between them
// that leaves the ones and reaches the others. The root's difference spreads over all frames between, the pose's fades
// within a few frames from either side. before, after (.., J, 3): null where there are none.
void fit_between(const float* before, const float* after, const GivenFrames& given, const Skeleton& skeleton,
                 float* joints) noexcept;

}  // namespace lf
