// Masked decoding's step on inputs whose answer is known without another implementation.
#include "decode_step.h"
#include "expect.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

constexpr lf::NoiseKey kKey{7, 0, 0};

void one_code_is_drawn_for_sure() {
  std::vector<float> logits(63);
  for (std::size_t k = 0; k < logits.size(); ++k) logits[k] = static_cast<float>((k * 37) % 63);
  const lf::Drawn drawn = lf::draw_code(logits.data(), nullptr, logits.data(), 63, {1, 1, 1}, kKey, 0, nullptr);
  expect(logits[static_cast<std::size_t>(drawn.code)] == 62, "of the one largest the largest is drawn");
  double sum = 0;
  for (const float value : logits) sum += std::exp(value - 62.0);
  expect(std::fabs(drawn.confidence - 1 / sum) < 1e-6, "confidence is the softmax of all codes");
}

void guidance_and_noise_decide() {
  const float logits[] = {1, 2, 3}, unconditional[] = {1, 2, 4};
  float guided[3];
  const float flat[] = {0.5f, 0.5f, 0.5f}, first[] = {0.999999f, 0.5f, 0.5f};
  lf::Drawn drawn = lf::draw_code(logits, unconditional, guided, 3, {4, 1, 3}, kKey, 0, flat);
  expect(guided[0] == 1 && guided[1] == 2 && guided[2] == 0, "guided logits are u + s (l - u)");
  expect(drawn.code == 1, "equal noise draws the largest");
  drawn = lf::draw_code(logits, unconditional, guided, 3, {4, 1, 3}, kKey, 0, first);
  expect(drawn.code == 0, "noise decides");
  drawn = lf::draw_code(logits, unconditional, guided, 3, {4, 1, 1}, kKey, 0, first);
  expect(drawn.code == 1, "but only among the top_k");
  const float level[] = {5, 5, 5};
  drawn = lf::draw_code(level, nullptr, guided, 3, {1, 1, 1}, kKey, 0, first);
  expect(drawn.code == 0, "codes as large as the top_k-th stay");
}

void every_draw_of_top_k_is_among_them() {
  constexpr std::size_t codes = 512, top_k = 52;
  std::vector<float> logits(codes), guided(codes);
  for (std::size_t n = 0; n < 200; ++n) {
    for (std::size_t k = 0; k < codes; ++k) logits[k] = static_cast<float>((k * 7919 + n * 104729) % 10007) * 1e-3f - 5;
    const lf::Drawn drawn =
        lf::draw_code(logits.data(), nullptr, guided.data(), codes, {1, 1, top_k}, kKey, n, nullptr);
    std::size_t larger = 0;
    for (const float value : logits) larger += value > logits[static_cast<std::size_t>(drawn.code)];
    expect(larger < top_k, "a draw is among the top_k");
  }
}

void what_is_not_finite_ends() {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const float bad[][3] = {{nan, nan, nan}, {nan, 1, 2}, {infinity, infinity, 1}, {-infinity, -infinity, -infinity}};
  float guided[3];
  for (const auto& logits : bad) {
    for (std::size_t top_k = 1; top_k <= 3; ++top_k) {
      const lf::Drawn drawn = lf::draw_code(logits, nullptr, guided, 3, {1, 1, top_k}, kKey, 0, nullptr);
      expect(drawn.code >= 0 && drawn.code < 3, "some code");
    }
  }
}

void the_least_certain_are_masked_again() {
  const float confidence[] = {0.5f, lf::kKept, 0.1f, 0.5f, 0.9f};
  std::int64_t ids[] = {1, 2, 3, 4, 5};
  lf::mask_again(ids, confidence, 5, 2, 99);
  expect(ids[0] == 99 && ids[1] == 2 && ids[2] == 99 && ids[3] == 4 && ids[4] == 5, "of equals the first");
  lf::mask_again(ids, confidence, 5, 0, 98);
  expect(ids[0] == 99, "none");
  lf::mask_again(ids, confidence, 5, 100, 98);
  expect(ids[0] == 98 && ids[1] == 2 && ids[4] == 98, "what is kept is never masked");
}

void schedule_of_the_release() {
  const std::size_t expected[] = {49, 48, 46, 42, 38, 31, 24, 17, 9, 1, 0};
  for (std::size_t step = 0; step <= 10; ++step) expect(lf::masked_count(49, step, 10) == expected[step], "schedule");
  expect(lf::masked_count(7, 0, 1) == 7 && lf::masked_count(7, 1, 1) == 0, "one step draws all");
  const bool same = lf::masked_count(144, 61, 183) == 125 && lf::masked_count(169, 121, 260) == 126;
  expect(same && lf::masked_count(117, 193, 299) == 61, "where rounding decides, as tests/models/test_decoding.py");
}

}  // namespace

int main() {
  one_code_is_drawn_for_sure();
  guidance_and_noise_decide();
  every_draw_of_top_k_is_among_them();
  what_is_not_finite_ends();
  the_least_certain_are_masked_again();
  schedule_of_the_release();
  return failures == 0 ? 0 : 1;
}
