// What Python tests cannot see: the core alone, without Python and without the C interface.
#include <cstdint>
#include <limits>
#include <vector>

#include "codebook.h"
#include "expect.h"
#include "philox.h"

namespace {

// Known answers published with the generator (Random123, kat_vectors).
void philox_known_answers() {
  expect(lf::philox4x32_10({0, 0, 0, 0}, {0, 0}) == lf::PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
         "philox of zeros");
  constexpr std::uint32_t ones = 0xffffffff;
  expect(lf::philox4x32_10({ones, ones, ones, ones}, {ones, ones}) ==
             lf::PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
         "philox of ones");
  expect(lf::philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
             lf::PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
         "philox of the digits of pi");
}

void every_code_finds_itself() {
  for (const std::size_t width : {1, 7, 8, 9, 63}) {
    constexpr std::size_t codes = 13;
    std::vector<float> codebook(codes * width);
    for (std::size_t k = 0; k < codes; ++k) {
      for (std::size_t d = 0; d < width; ++d) codebook[k * width + d] = static_cast<float>(k * k + d);
    }
    std::vector<std::int64_t> indices(codes, -7);
    expect(lf::codebook_lookup(codebook.data(), codes, codebook.data(), codes, width, indices.data()), "all found");
    for (std::size_t k = 0; k < codes; ++k) expect(indices[k] == static_cast<std::int64_t>(k), "code finds itself");
  }
}

void ties_and_rounding() {
  const float codebook[] = {1.0f, -1.0f, 1.0f};
  const float middle[] = {0.0f};
  std::int64_t index = -7;
  lf::codebook_lookup(middle, 1, codebook, 3, 1, &index);
  expect(index == 0, "the lowest index wins a tie");

  // In float, 1e8 + 1 rounds to 1e8, and the expanded form |x|^2 - 2 x.c + |c|^2 loses the difference altogether.
  const float far[] = {1e8f + 16.0f, 1e8f + 8.0f};
  const float x[] = {1e8f};
  lf::codebook_lookup(x, 1, far, 2, 1, &index);
  expect(index == 1, "nearness survives a large common offset");
}

void not_finite() {
  const float codebook[] = {0.0f, 1.0f};
  const float x[] = {0.9f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  std::int64_t indices[3];
  expect(!lf::codebook_lookup(x, 3, codebook, 2, 1, indices), "a row that is not finite is reported");
  expect(indices[0] == 1 && indices[1] == -1 && indices[2] == -1, "and gets -1, its neighbours their codes");
}

}  // namespace

int main() {
  philox_known_answers();
  every_code_finds_itself();
  ties_and_rounding();
  not_finite();
  return failures == 0 ? 0 : 1;
}
