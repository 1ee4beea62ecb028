// The tensors of a safetensors file, where they lie: a length, a header of JSON, the numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "error.h"
#include "json.h"
#include "memory.h"
#include "weights.h"

namespace lf {

struct StoredTensor {
  static constexpr std::size_t kMaxRank = 4;

  std::string_view name;
  Dtype dtype = Dtype::f32;
  std::size_t rank = 0;
  std::size_t shape[kMaxRank] = {};
  const void* data = nullptr;
  std::size_t bytes = 0;
};

class Safetensors {
 public:
  static constexpr std::size_t kMaxHeader = 16u << 20;

  // data: as long as the tensors are used. False for whatever is not a whole safetensors file of f32, bf16, i8 and u8,
  // each tensor with at least one number, at its own place, aligned to its numbers. Throws std::bad_alloc.
  bool read(const unsigned char* data, std::size_t bytes, const Allocator& allocator, Error& error);

  const Vector<StoredTensor>& tensors() const noexcept { return tensors_; }  // ordered by name
  const StoredTensor* find(std::string_view name) const noexcept;

  // An entry of __metadata__; empty where there is none.
  std::string_view metadata(std::string_view key) const noexcept;

 private:
  bool describe(const JsonValue& value, const unsigned char* data, std::size_t bytes, Error& error);

  Json header_;
  Vector<StoredTensor> tensors_;
};

}  // namespace lf
