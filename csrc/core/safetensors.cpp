#include "safetensors.h"

#include <algorithm>

namespace lf {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxName = 100;

#if defined(__BYTE_ORDER__)
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as the file has them");
#endif

// What may be shown in a message.
bool is_plain(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

bool dtype_of(const JsonValue* value, Dtype& dtype) noexcept {
  constexpr std::pair<std::string_view, Dtype> names[] = {
      {"F32", Dtype::f32}, {"BF16", Dtype::bf16}, {"I8", Dtype::i8}, {"U8", Dtype::u8}};
  if (value == nullptr || value->kind != JsonValue::Kind::string) return false;
  for (const auto& [name, known] : names) {
    if (value->string != name) continue;
    dtype = known;
    return true;
  }
  return false;
}

bool by_name(const StoredTensor& a, const StoredTensor& b) noexcept { return a.name < b.name; }
bool by_place(const StoredTensor& a, const StoredTensor& b) noexcept { return a.data < b.data; }

}  // namespace

bool Safetensors::read(const unsigned char* data, std::size_t bytes, const Allocator& allocator, Error& error) {
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes && i < bytes; ++i) length |= static_cast<std::uint64_t>(data[i]) << (8 * i);
  if (bytes <= kLengthBytes || data[kLengthBytes] != '{') {
    return fail(error, status::format, "this is no model file: it does not begin as lamp-fast export native writes it");
  }
  if (length > bytes - kLengthBytes) {
    return fail(error, status::format, "the model file is cut short: it has %zu bytes and its header alone %llu", bytes,
                static_cast<unsigned long long>(length));
  }
  if (length > kMaxHeader) {
    return fail(error, status::format, "the model file is damaged: a header of %llu bytes is too long",
                static_cast<unsigned long long>(length));
  }
  const auto header_bytes = static_cast<std::size_t>(length);
  const std::string_view text(reinterpret_cast<const char*>(data) + kLengthBytes, header_bytes);
  if (!header_.parse(text, "the header of the model file", allocator, error)) return false;

  const unsigned char* const numbers = data + kLengthBytes + header_bytes;
  const std::size_t room = bytes - kLengthBytes - header_bytes;
  tensors_ = Vector<StoredTensor>(StlAllocator<StoredTensor>(allocator));
  tensors_.reserve(header_.root().count);
  for (const JsonValue* value = header_.first(header_.root()); value != nullptr; value = header_.next(*value)) {
    if (value->key != "__metadata__" && !describe(*value, numbers, room, error)) return false;
  }

  // One after another, without gap and to the last byte: so none overlaps another, and nothing is hidden between.
  std::sort(tensors_.begin(), tensors_.end(), by_place);
  const unsigned char* end = numbers;
  for (const StoredTensor& tensor : tensors_) {
    if (tensor.data != end) {
      return fail(error, status::format, "the model file is damaged: its tensor %.*s does not begin where another ends",
                  static_cast<int>(tensor.name.size()), tensor.name.data());
    }
    end += tensor.bytes;
  }
  if (end != numbers + room) {
    return fail(error, status::format, "the model file is damaged: its tensors end %zu bytes before the file does",
                static_cast<std::size_t>(numbers + room - end));
  }
  std::sort(tensors_.begin(), tensors_.end(), by_name);
  return true;
}

bool Safetensors::describe(const JsonValue& value, const unsigned char* data, std::size_t bytes, Error& error) {
  if (!is_plain(value.key)) {
    return fail(error, status::format,
                "the model file is damaged: the name of a tensor is empty, too long or not ASCII");
  }
  const auto wrong = [&](const char* what) {
    return fail(error, status::format, "the model file is damaged: its tensor %.*s %s",
                static_cast<int>(value.key.size()), value.key.data(), what);
  };
  StoredTensor tensor;
  tensor.name = value.key;
  if (!dtype_of(header_.find(value, "dtype"), tensor.dtype)) return wrong("has another dtype than F32, BF16, I8 or U8");

  const JsonValue* const shape = header_.find(value, "shape");
  if (shape == nullptr || shape->kind != JsonValue::Kind::array || shape->count < 1 ||
      shape->count > StoredTensor::kMaxRank) {
    return wrong("has no shape of 1 to 4 sizes");
  }
  std::uint64_t size = size_of(tensor.dtype);
  for (const JsonValue* extent = header_.first(*shape); extent != nullptr; extent = header_.next(*extent)) {
    if (!extent->is_whole || extent->whole < 1 || extent->whole > bytes || size > bytes / extent->whole) {
      return wrong("has a size that is zero, or too large for the file");
    }
    tensor.shape[tensor.rank++] = static_cast<std::size_t>(extent->whole);
    size *= extent->whole;
  }

  const JsonValue* const offsets = header_.find(value, "data_offsets");
  const JsonValue* const begin = offsets == nullptr ? nullptr : header_.first(*offsets);
  const JsonValue* const end = begin == nullptr ? nullptr : header_.next(*begin);
  if (end == nullptr || offsets->kind != JsonValue::Kind::array || offsets->count != 2 || !begin->is_whole ||
      !end->is_whole) {
    return wrong("has no two offsets");
  }
  if (begin->whole > end->whole || end->whole > bytes)
    return wrong("lies beyond the end of the file: is it cut short?");
  if (end->whole - begin->whole != size) return wrong("has another number of bytes than its shape asks for");
  tensor.data = data + begin->whole;
  tensor.bytes = static_cast<std::size_t>(size);
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % size_of(tensor.dtype) != 0) return wrong("is not aligned");
  tensors_.push_back(tensor);
  return true;
}

const StoredTensor* Safetensors::find(std::string_view name) const noexcept {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const StoredTensor& tensor, std::string_view n) { return tensor.name < n; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

std::string_view Safetensors::metadata(std::string_view key) const noexcept {
  const JsonValue* const metadata = header_.find(header_.root(), "__metadata__");
  const JsonValue* const entry = metadata == nullptr ? nullptr : header_.find(*metadata, key);
  return entry != nullptr && entry->kind == JsonValue::Kind::string ? entry->string : std::string_view();
}

}  // namespace lf
