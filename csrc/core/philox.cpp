#include "philox.h"

namespace lf {
namespace {

constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kKeyStep0 = 0x9E3779B9;
constexpr std::uint32_t kKeyStep1 = 0xBB67AE85;

std::uint32_t high(std::uint64_t pair) noexcept { return static_cast<std::uint32_t>(pair >> 32); }
std::uint32_t low(std::uint64_t pair) noexcept { return static_cast<std::uint32_t>(pair); }

}  // namespace

PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1), high(product0) ^ counter[3] ^ key[1],
               low(product0)};
    key[0] += kKeyStep0;
    key[1] += kKeyStep1;
  }
  return counter;
}

void philox_uniform(const std::int64_t* seeds, const std::int64_t* samples, std::uint32_t step, std::size_t batch,
                    std::size_t positions, std::size_t codes, float* out) noexcept {
  for (std::size_t b = 0; b < batch; ++b) {
    const std::uint64_t seed = static_cast<std::uint64_t>(seeds[b]);
    const PhiloxKey key = {low(seed), high(seed)};
    const std::uint32_t sample = low(static_cast<std::uint64_t>(samples[b]));
    for (std::size_t n = 0; n < positions; ++n) {
      PhiloxCounter words{};
      for (std::size_t k = 0; k < codes; ++k) {
        if (k % 4 == 0) {
          words = philox4x32_10({sample, step, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(k / 4)}, key);
        }
        *out++ = philox_unit(words[k % 4]);
      }
    }
  }
}

}  // namespace lf
