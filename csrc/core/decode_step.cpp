#include "decode_step.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "philox.h"

namespace lf {
namespace {

constexpr float kTiny = 1e-20f;

float gumbel(float uniform) noexcept { return -std::log(std::max(-std::log(std::max(uniform, kTiny)), kTiny)); }

// Floats and integers in the same order, so that halving an interval of floats ends after at most 32 steps.
std::int32_t ordered(float value) noexcept {
  std::int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}

float from_ordered(std::int32_t order) noexcept {
  const std::int32_t bits = order < 0 ? order ^ 0x7fffffff : order;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::size_t count_reaching(const float* values, std::size_t size, float threshold) noexcept {
  std::int32_t count = 0;
  for (std::size_t k = 0; k < size; ++k) count += values[k] >= threshold;
  return static_cast<std::size_t>(count);
}

// A threshold that exactly the `rank` largest values reach, and those equal to the last of them.
float threshold_of_largest(const float* values, std::size_t size, std::size_t rank, float least, float most) noexcept {
  if (rank >= size) return least;
  // `low` is reached by at least `rank` values, `high` by fewer.
  std::int64_t low = ordered(least), high = std::int64_t{ordered(most)} + 1;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    const float threshold = from_ordered(static_cast<std::int32_t>(middle));
    const std::size_t count = count_reaching(values, size, threshold);
    if (count == rank) return threshold;
    (count > rank ? low : high) = middle;
  }
  return from_ordered(static_cast<std::int32_t>(low));
}

}  // namespace

Drawn draw_code(const float* logits, const float* unconditional, float* guided, std::size_t codes,
                const Sampling& sampling, const NoiseKey& key, std::size_t position, const float* noise) noexcept {
  float least = std::numeric_limits<float>::infinity(), most = -least;
  for (std::size_t k = 0; k < codes; ++k) {
    float value = logits[k];
    if (unconditional != nullptr) value = unconditional[k] + sampling.guidance_scale * (value - unconditional[k]);
    guided[k] = value;
    least = std::min(least, value);
    most = std::max(most, value);
  }
  const float threshold = threshold_of_largest(guided, codes, sampling.top_k, least, most);

  const PhiloxKey words_key = {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)};
  PhiloxCounter words{};
  std::size_t block = codes, code = 0;
  float best = -std::numeric_limits<float>::infinity();
  for (std::size_t k = 0; k < codes; ++k) {
    if (!(guided[k] >= threshold)) continue;
    if (noise == nullptr && k / 4 != block) {
      block = k / 4;
      words = philox4x32_10(
          {key.sample, key.step, static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(block)}, words_key);
    }
    const float uniform = noise != nullptr ? noise[k] : philox_unit(words[k % 4]);
    const float value = guided[k] / sampling.temperature + gumbel(uniform);
    if (value > best) {
      best = value;
      code = k;
    }
  }

  // Independent partial sums, so that their order is the same whatever vectors the compiler uses.
  constexpr std::size_t kLanes = 8;
  float lanes[kLanes] = {};
  for (std::size_t k = 0; k < codes; ++k) lanes[k % kLanes] += std::exp(guided[k] - most);
  float sum = 0.0f;
  for (const float lane : lanes) sum += lane;
  return {static_cast<std::int64_t>(code), std::exp(guided[code] - most) / sum};
}

void mask_again(std::int64_t* ids, const float* confidence, std::size_t positions, std::size_t count,
                std::int64_t mask_id) noexcept {
  for (std::size_t n = 0; n < positions; ++n) {
    if (confidence[n] >= kKept) continue;
    std::size_t rank = 0;
    for (std::size_t other = 0; other < positions; ++other) {
      rank += confidence[other] < confidence[n] || (confidence[other] == confidence[n] && other < n);
    }
    if (rank < count) ids[n] = mask_id;
  }
}

std::size_t masked_count(std::size_t wanted, std::size_t step, std::size_t steps) noexcept {
  if (step >= steps) return 0;
  // As torch.linspace(0, 1, steps) rounds: each half from its own end, the upper one in one rounding.
  const float stride = steps > 1 ? 1.0f / static_cast<float>(steps - 1) : 0.0f;
  const float time = step < steps / 2 || steps == 1 ? stride * static_cast<float>(step)
                                                    : std::fma(-stride, static_cast<float>(steps - 1 - step), 1.0f);
  constexpr float kPi = 3.14159265358979323846f;
  const float angle = time * kPi * 0.5f;
  const float share = static_cast<float>(std::cos(static_cast<double>(angle)));
  return static_cast<std::size_t>(std::max(std::nearbyint(share * static_cast<float>(wanted)), 1.0f));
}

}  // namespace lf
