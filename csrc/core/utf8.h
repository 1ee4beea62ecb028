// UTF-8, strictly: no overlong form, no surrogate, nothing beyond U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lf {

constexpr std::uint32_t kNoCharacter = 0xFFFFFFFF;

// The character at `position`, which moves behind it; kNoCharacter, and position as it was, where there is none.
inline std::uint32_t next_character(std::string_view text, std::size_t& position) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[position + i]); };
  if (position >= text.size()) return kNoCharacter;
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) {
    ++position;
    return lead;
  }
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - position < length) return kNoCharacter;
  std::uint32_t character = lead & (0x7F >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return kNoCharacter;
    character = character << 6 | (byte(i) & 0x3F);
  }
  constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (character < smallest[length] || character > 0x10FFFF || (character >= 0xD800 && character < 0xE000)) {
    return kNoCharacter;
  }
  position += length;
  return character;
}

inline bool is_utf8(std::string_view text) noexcept {
  std::size_t position = 0;
  while (position < text.size() && next_character(text, position) != kNoCharacter) {
  }
  return position == text.size();
}

// Writes 1 to 4 bytes and returns how many.
inline std::size_t write_character(std::uint32_t character, char* out) noexcept {
  constexpr std::uint32_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
  const std::size_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
  for (std::size_t i = length - 1; i > 0; --i) {
    out[i] = static_cast<char>(0x80 | (character & 0x3F));
    character >>= 6;
  }
  out[0] = static_cast<char>(leads[length] | character);
  return length;
}

}  // namespace lf
