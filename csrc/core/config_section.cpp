#include "config_section.h"

namespace lf {

bool ConfigSection::size(const char* key, std::size_t least, std::size_t most, std::size_t& out) const noexcept {
  const JsonValue* const value = find(key);
  if (value == nullptr || !value->is_whole || value->whole < least || value->whole > most) {
    return fail(error_, status::format, "the model file's %s%s must be a whole number from %zu to %zu", name_, key,
                least, most);
  }
  out = static_cast<std::size_t>(value->whole);
  return true;
}

bool ConfigSection::sizes(const char* key, std::size_t most_values, std::size_t most, Vector<std::size_t>& out) const {
  const JsonValue* const list = find(key);
  bool good = list != nullptr && list->kind == JsonValue::Kind::array && list->count >= 1 && list->count <= most_values;
  for (const JsonValue* value = good ? json_.first(*list) : nullptr; value != nullptr; value = json_.next(*value)) {
    good = good && value->is_whole && value->whole >= 1 && value->whole <= most;
    out.push_back(static_cast<std::size_t>(value->whole));
  }
  return good || fail(error_, status::format, "the model file's %s%s must be 1 to %zu whole numbers from 1 to %zu",
                      name_, key, most_values, most);
}

bool ConfigSection::positive(const char* key, float& out) const noexcept {
  const JsonValue* const value = find(key);
  const float number = value == nullptr ? 0.0f : static_cast<float>(value->number);
  if (!(number > 0.0f && number < 1e6f)) {
    return fail(error_, status::format, "the model file's %s%s must be a positive number", name_, key);
  }
  out = number;
  return true;
}

bool ConfigSection::boolean(const char* key, bool& out) const noexcept {
  const JsonValue* const value = find(key);
  if (value == nullptr || value->kind != JsonValue::Kind::boolean) {
    return fail(error_, status::format, "the model file's %s%s must be true or false", name_, key);
  }
  out = value->boolean;
  return true;
}

bool ConfigSection::choice(const char* key, const char* const* names, std::size_t count,
                           std::size_t& out) const noexcept {
  const JsonValue* const value = find(key);
  for (std::size_t i = 0; value != nullptr && value->kind == JsonValue::Kind::string && i < count; ++i) {
    if (value->string != names[i]) continue;
    out = i;
    return true;
  }
  return fail(error_, status::unsupported, "the model file's %s%s is none that this version of the library knows",
              name_, key);
}

bool ConfigSection::part(const char* key, bool may_lack, const JsonValue*& out) const noexcept {
  const JsonValue* const value = find(key);
  const bool lacks = value != nullptr && value->kind == JsonValue::Kind::null;
  if (value == nullptr || (value->kind != JsonValue::Kind::object && !(lacks && may_lack))) {
    return fail(error_, status::format, "the model file's configuration does not describe its %s", key);
  }
  out = lacks ? nullptr : value;
  return true;
}

}  // namespace lf
