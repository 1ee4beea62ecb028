// One object of a model file's configuration, whose members are checked as they are read.
#pragma once

#include <cstddef>

#include "error.h"
#include "json.h"

namespace lf {

class ConfigSection {
 public:
  // name: of the object with a dot behind it, as sentences say it; empty for the whole. All must outlive the section.
  ConfigSection(const Json& json, const JsonValue* object, const char* name, Error& error) noexcept
      : json_(json), object_(object), name_(name), error_(error) {}

  // What follows returns false, with a sentence, where the member is missing or something else.

  bool size(const char* key, std::size_t least, std::size_t most, std::size_t& out) const noexcept;
  bool positive(const char* key, float& out) const noexcept;
  bool boolean(const char* key, bool& out) const noexcept;

  // The place of the string among `names`.
  template <std::size_t count>
  bool choice(const char* key, const char* const (&names)[count], std::size_t& out) const noexcept {
    return choice(key, names, count, out);
  }

  // An array of 1 to `most_values` whole numbers from 1 to `most`.
  bool sizes(const char* key, std::size_t most_values, std::size_t most, Vector<std::size_t>& out) const;

  // A member that is an object, or null where the model lacks the part.
  bool part(const char* key, bool may_lack, const JsonValue*& out) const noexcept;

  const JsonValue* find(const char* key) const noexcept { return json_.find(*object_, key); }

 private:
  bool choice(const char* key, const char* const* names, std::size_t count, std::size_t& out) const noexcept;

  const Json& json_;
  const JsonValue* object_;
  const char* name_;
  Error& error_;
};

}  // namespace lf
