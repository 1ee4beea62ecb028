// Tensors taken out of a model file: each once, of the dtype and shape that the configuration asks for, all numbers
// finite.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "error.h"
#include "memory.h"
#include "safetensors.h"
#include "weights.h"

namespace lf {

struct Name {
  char text[96];
};

LF_FORMAT(1, 2)
Name name_of(const char* format, ...) noexcept;

class ModelTensors {
 public:
  // All must outlive it. Throws std::bad_alloc.
  ModelTensors(const Safetensors& file, const Allocator& allocator, Error& error)
      : file_(file), taken_(file.tensors().size(), 0, StlAllocator<unsigned char>(allocator)), error_(error) {}

  // What follows returns false, with a sentence, where the file has no such tensor. What belongs to a name, such as
  // NAME.weight and NAME.bias, is told in docs/native.md.

  bool vector(const char* name, std::size_t size, const float*& out) noexcept { return floats(name, &size, 1, out); }
  bool positive(const char* name, std::size_t size, const float*& out) noexcept;
  bool rows(const char* name, std::size_t rows, std::size_t columns, const float*& out) noexcept;
  bool bytes(const char* name, const StoredTensor*& out) noexcept;

  bool matrix(const char* name, std::size_t rows, std::size_t columns, WeightMatrix& out) noexcept {
    return weight(name, {rows, columns}, 1, out);
  }
  bool linear(const char* name, std::size_t outputs, std::size_t inputs, LinearWeights& out) noexcept;
  bool norm(const char* name, std::size_t width, NormWeights& out) noexcept;
  bool residual(const char* name, std::size_t outputs, std::size_t inputs, bool normalised,
                ResidualWeights& out) noexcept;
  bool conv(const char* name, std::size_t outputs, std::size_t taps, std::size_t inputs, ConvWeights& out) noexcept;
  bool conv_block(const char* name, std::size_t width, std::size_t dilation, ConvBlockWeights& out) noexcept;
  bool upsample(const char* name, std::size_t width, UpsampleWeights& out) noexcept;

  // What nothing asked for would be weights that the configuration does not describe.
  bool nothing_left() const noexcept;

 private:
  bool take(const char* name, const StoredTensor*& out) noexcept;
  bool has_shape(const StoredTensor& tensor, const std::size_t* shape, std::size_t rank) const noexcept;
  bool finite(const StoredTensor& tensor) const noexcept;
  bool floats(const char* name, const std::size_t* shape, std::size_t rank, const float*& out) noexcept;
  bool all_positive(const char* name, const float* values, std::size_t count) const noexcept;

  // NAME.weight, whose first `row_rank` sizes count rows, and NAME.scale of those sizes where it is int8.
  bool weight(const char* name, std::initializer_list<std::size_t> shape, std::size_t row_rank,
              WeightMatrix& out) noexcept;

  const Safetensors& file_;
  Vector<unsigned char> taken_;  // by the tensor's place in the file's list
  Error& error_;
};

}  // namespace lf
