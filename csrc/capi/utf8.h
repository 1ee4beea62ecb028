// Text from outside.
#pragma once

#include <cstddef>

namespace lf::capi {

// Bytes in front of the zero byte, `limit` where it has none within so many.
inline std::size_t bounded_length(const char* text, std::size_t limit) noexcept {
  std::size_t n = 0;
  while (n < limit && text[n] != '\0') ++n;
  return n;
}

// Well-formed UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
inline bool is_utf8(const char* text, std::size_t bytes) noexcept {
  const auto byte = [&](std::size_t i) { return i < bytes ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  for (std::size_t i = 0; i < bytes;) {
    const unsigned first = byte(i), second = byte(i + 1);
    if (first < 0x80) {
      i += 1;
    } else if (first >= 0xC2 && first <= 0xDF && continues(i + 1)) {
      i += 2;
    } else if ((first & 0xF0) == 0xE0 && continues(i + 1) && continues(i + 2)) {
      if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) return false;
      i += 3;
    } else if (first >= 0xF0 && first <= 0xF4 && continues(i + 1) && continues(i + 2) && continues(i + 3)) {
      if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) return false;
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace lf::capi
