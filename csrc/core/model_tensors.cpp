#include "model_tensors.h"

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace lf {
namespace {

// Whether no number has all bits of `exponent`, as NaN and the infinities have.
template <class Bits>
bool all_finite(const void* data, std::size_t count, Bits exponent) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  Bits worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    bits &= exponent;
    worst = bits > worst ? bits : worst;
  }
  return worst != exponent;
}

void describe(const std::size_t* shape, std::size_t rank, char* out, std::size_t room) noexcept {
  std::size_t used = 0;
  for (std::size_t i = 0; i < rank && used < room; ++i) {
    const int written = std::snprintf(out + used, room - used, "%s%zu", i == 0 ? "" : " x ", shape[i]);
    used += written > 0 ? static_cast<std::size_t>(written) : room;
  }
}

}  // namespace

Name name_of(const char* format, ...) noexcept {
  Name name;
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(name.text, sizeof name.text, format, arguments);
  va_end(arguments);
  return name;
}

bool ModelTensors::positive(const char* name, std::size_t size, const float*& out) noexcept {
  return vector(name, size, out) && all_positive(name, out, size);
}

bool ModelTensors::rows(const char* name, std::size_t rows, std::size_t columns, const float*& out) noexcept {
  const std::size_t shape[] = {rows, columns};
  return floats(name, shape, 2, out);
}

bool ModelTensors::bytes(const char* name, const StoredTensor*& out) noexcept {
  if (!take(name, out)) return false;
  return (out->rank == 1 && out->dtype == Dtype::u8) ||
         fail(error_, status::format, "the model file's tensor %s must be bytes", name);
}

bool ModelTensors::linear(const char* name, std::size_t outputs, std::size_t inputs, LinearWeights& out) noexcept {
  return matrix(name, outputs, inputs, out.matrix) && vector(name_of("%s.bias", name).text, outputs, out.bias);
}

bool ModelTensors::norm(const char* name, std::size_t width, NormWeights& out) noexcept {
  return vector(name_of("%s.norm_scale", name).text, width, out.scale) &&
         vector(name_of("%s.norm_shift", name).text, width, out.shift);
}

bool ModelTensors::residual(const char* name, std::size_t outputs, std::size_t inputs, bool normalised,
                            ResidualWeights& out) noexcept {
  return linear(name, outputs, inputs, out.linear) && (!normalised || norm(name, outputs, out.norm));
}

bool ModelTensors::conv(const char* name, std::size_t outputs, std::size_t taps, std::size_t inputs,
                        ConvWeights& out) noexcept {
  out.inputs = inputs;
  out.taps = taps;
  LinearWeights& linear = out.linear;
  const bool found = taps == 1 ? weight(name, {outputs, inputs}, 1, linear.matrix)
                               : weight(name, {outputs, taps, inputs}, 1, linear.matrix);
  return found && vector(name_of("%s.bias", name).text, outputs, linear.bias);
}

bool ModelTensors::conv_block(const char* name, std::size_t width, std::size_t dilation,
                              ConvBlockWeights& out) noexcept {
  out.conv1.dilation = dilation;
  return conv(name_of("%s.conv1", name).text, width, 3, width, out.conv1) &&
         conv(name_of("%s.conv2", name).text, width, 1, width, out.conv2);
}

bool ModelTensors::upsample(const char* name, std::size_t width, UpsampleWeights& out) noexcept {
  WeightMatrix both;
  if (!weight(name, {2, width, 2, width}, 2, both)) return false;
  if (!vector(name_of("%s.bias", name).text, width, out.even.bias)) return false;
  both.rows = width;
  out.even.matrix = out.odd.matrix = both;
  out.odd.bias = out.even.bias;
  out.odd.matrix.data = static_cast<const unsigned char*>(both.data) + width * both.columns * size_of(both.dtype);
  if (both.scale != nullptr) out.odd.matrix.scale = both.scale + width;
  return true;
}

bool ModelTensors::nothing_left() const noexcept {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (taken_[i] != 0) continue;
    const std::string_view name = file_.tensors()[i].name;
    return fail(error_, status::format, "the model file holds a tensor %.*s that its configuration does not describe",
                static_cast<int>(name.size()), name.data());
  }
  return true;
}

bool ModelTensors::take(const char* name, const StoredTensor*& out) noexcept {
  out = file_.find(name);
  if (out == nullptr) return fail(error_, status::format, "the model file lacks the tensor %s", name);
  taken_[static_cast<std::size_t>(out - file_.tensors().data())] = 1;
  return true;
}

bool ModelTensors::has_shape(const StoredTensor& tensor, const std::size_t* shape, std::size_t rank) const noexcept {
  bool same = tensor.rank == rank;
  for (std::size_t i = 0; same && i < rank; ++i) same = tensor.shape[i] == shape[i];
  if (same) return true;
  char expected[96] = "", found[96] = "";
  describe(shape, rank, expected, sizeof expected);
  describe(tensor.shape, tensor.rank, found, sizeof found);
  return fail(error_, status::format, "the model file's tensor %.*s has shape %s, and its configuration asks for %s",
              static_cast<int>(tensor.name.size()), tensor.name.data(), found, expected);
}

bool ModelTensors::finite(const StoredTensor& tensor) const noexcept {
  const std::size_t count = tensor.bytes / size_of(tensor.dtype);
  const bool good = tensor.dtype == Dtype::f32    ? all_finite<std::uint32_t>(tensor.data, count, 0x7F800000)
                    : tensor.dtype == Dtype::bf16 ? all_finite<std::uint16_t>(tensor.data, count, 0x7F80)
                                                  : true;
  return good || fail(error_, status::not_finite, "the model file's tensor %.*s holds NaN or an infinity",
                      static_cast<int>(tensor.name.size()), tensor.name.data());
}

bool ModelTensors::floats(const char* name, const std::size_t* shape, std::size_t rank, const float*& out) noexcept {
  const StoredTensor* tensor = nullptr;
  if (!take(name, tensor) || !has_shape(*tensor, shape, rank)) return false;
  if (tensor->dtype != Dtype::f32) return fail(error_, status::format, "the model file's tensor %s must be F32", name);
  if (!finite(*tensor)) return false;
  out = static_cast<const float*>(tensor->data);
  return true;
}

bool ModelTensors::all_positive(const char* name, const float* values, std::size_t count) const noexcept {
  bool good = true;
  for (std::size_t i = 0; i < count; ++i) good = good && values[i] > 0;
  return good || fail(error_, status::format, "the model file's tensor %s must hold positive numbers", name);
}

bool ModelTensors::weight(const char* name, std::initializer_list<std::size_t> shape, std::size_t row_rank,
                          WeightMatrix& out) noexcept {
  const Name full = name_of("%s.weight", name);
  const StoredTensor* tensor = nullptr;
  if (!take(full.text, tensor) || !has_shape(*tensor, shape.begin(), shape.size())) return false;
  if (tensor->dtype == Dtype::u8) {
    return fail(error_, status::format, "the model file's tensor %s must be F32, BF16 or I8", full.text);
  }
  if (!finite(*tensor)) return false;
  out.dtype = tensor->dtype;
  out.data = tensor->data;
  out.rows = out.columns = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) (i < row_rank ? out.rows : out.columns) *= shape.begin()[i];
  if (out.dtype != Dtype::i8) return true;
  const Name scale = name_of("%s.scale", name);
  return floats(scale.text, shape.begin(), row_rank, out.scale) && all_positive(scale.text, out.scale, out.rows);
}

}  // namespace lf
