// libFuzzer: any bytes as JSON.
#include <cstdlib>

#include "json.h"

namespace {

std::size_t visit(const lf::Json& json, const lf::JsonValue& value) {
  std::size_t found = 1;
  std::uint32_t children = 0;
  for (const lf::JsonValue* child = json.first(value); child != nullptr; child = json.next(*child)) {
    found += visit(json, *child);
    ++children;
    if (value.kind == lf::JsonValue::Kind::object && json.find(value, child->key) != child) std::abort();
  }
  if (children != value.count) std::abort();
  for (const char c : value.string) found += c == '\0';
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  lf::Json json;
  lf::Error error;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (json.parse(text, "text", lf::system_allocator(), error)) {
    visit(json, json.root());
  } else if (error.text[0] == '\0') {
    std::abort();
  }
  return 0;
}
