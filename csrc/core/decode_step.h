// One step of masked decoding: a code at every masked position, the least certain of which are masked again.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lf {

// How codes are drawn: guided logits are u + guidance_scale (l - u); of the top_k largest one is drawn by its logit /
// temperature + Gumbel noise.
struct Sampling {
  float guidance_scale;
  float temperature;
  std::size_t top_k;
};

// Which noise: that of Philox (philox.h), keyed by the seed, counted by (sample, step, position, code).
struct NoiseKey {
  std::uint64_t seed;
  std::uint32_t sample;
  std::uint32_t step;
};

// Confidence of a position where nothing was drawn.
constexpr float kKept = 1e5f;

struct Drawn {
  std::int64_t code;
  float confidence;  // softmax of the guided logits, all of them, at the code
};

// logits, unconditional (or nullptr: logits are guided already), guided: (codes); guided receives the guided logits and
// may be logits. noise (codes), uniform in [0, 1), or nullptr: that of the key at the position.
// 1 <= top_k <= codes. Logits that are not finite give some code.
Drawn draw_code(const float* logits, const float* unconditional, float* guided, std::size_t codes,
                const Sampling& sampling, const NoiseKey& key, std::size_t position, const float* noise) noexcept;

// Of the positions whose confidence is below kKept the `count` least certain get the mask id again; of equally certain
// ones the first. ids, confidence (positions).
void mask_again(std::int64_t* ids, const float* confidence, std::size_t positions, std::size_t count,
                std::int64_t mask_id) noexcept;

// How many of `wanted` tokens are masked when a step (0 .. steps - 1) begins; after the last it is 0.
// The cosine schedule in float32, rounded half to even, at least 1.
std::size_t masked_count(std::size_t wanted, std::size_t step, std::size_t steps) noexcept;

}  // namespace lf
