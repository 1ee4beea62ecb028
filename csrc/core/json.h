// JSON as RFC 8259 has it, for the small texts inside a model file; nothing more lenient, and bounded in all it uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "error.h"
#include "memory.h"

namespace lf {

struct JsonValue {
  enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

  Kind kind = Kind::null;
  bool boolean = false;
  bool is_whole = false;              // a number without fraction, exponent and sign, below 2^64
  std::uint32_t count = 0;            // of an array's or object's children
  std::uint32_t first = 0, next = 0;  // 0: none, since no child is the root
  std::uint64_t whole = 0;
  double number = 0;
  std::string_view key;  // of an object's member
  std::string_view string;
};

class Json {
 public:
  static constexpr int kMaxDepth = 16;
  static constexpr std::size_t kMaxValues = 1u << 18;

  // False, with the sentence `what: ...`, for anything else than one whole value in UTF-8; for a key that an object has
  // twice; for more than kMaxDepth levels, kMaxValues values, or 4 GiB. The text is not needed afterwards.
  // Throws std::bad_alloc.
  bool parse(std::string_view text, const char* what, const Allocator& allocator, Error& error);

  const JsonValue& root() const noexcept { return values_[0]; }
  const JsonValue* first(const JsonValue& parent) const noexcept { return at(parent.first); }
  const JsonValue* next(const JsonValue& child) const noexcept { return at(child.next); }

  // nullptr where `object` is none, or has no such member.
  const JsonValue* find(const JsonValue& object, std::string_view key) const noexcept;

 private:
  const JsonValue* at(std::uint32_t index) const noexcept { return index == 0 ? nullptr : &values_[index]; }

  Vector<JsonValue> values_;
  Buffer<char> characters_;  // of all strings, decoded
};

}  // namespace lf
