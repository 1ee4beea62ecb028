// Weights as they lie in a model file: views of memory that the file owns. docs/native.md names every tensor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lf {

enum class Dtype : std::uint8_t { f32, bf16, i8, u8 };

constexpr std::size_t size_of(Dtype dtype) noexcept { return dtype == Dtype::f32 ? 4 : dtype == Dtype::bf16 ? 2 : 1; }

// (rows, columns), row after row: f32, bf16, or i8 with value = i8 * scale[row].
struct WeightMatrix {
  Dtype dtype = Dtype::f32;
  std::size_t rows = 0, columns = 0;
  const void* data = nullptr;
  const float* scale = nullptr;  // (rows,) with i8, else null
};

// out (columns): row `row` of the matrix, as float.
void widened_row(const WeightMatrix& matrix, std::size_t row, float* out) noexcept;

// y = matrix x + bias. A LayerNorm in front, where there is one, is multiplied in but for its mean and deviation.
struct LinearWeights {
  WeightMatrix matrix;          // (O, I)
  const float* bias = nullptr;  // (O,); null: zeros
};

// The affine part of a LayerNorm; null where there is none.
struct NormWeights {
  const float* scale = nullptr;
  const float* shift = nullptr;
};

// A linear layer whose result is added to the residual stream. `norm`: of the stream there, which carries sums before
// their LayerNorm; null where the stream is added as it is.
struct ResidualWeights {
  LinearWeights linear;
  NormWeights norm;
};

// A convolution over time, channels last, as a matrix of (O, taps * I): all channels of the first tap, then the next.
struct ConvWeights {
  LinearWeights linear;
  std::size_t inputs = 0, taps = 1, dilation = 1, stride = 1;
};

// Nearest upsampling by two and a convolution of three taps: row 2t is even * (x[t-1], x[t]), row 2t + 1 is
// odd * (x[t], x[t+1]). Each matrix is (O, 2 I), the bias is that of both.
struct UpsampleWeights {
  LinearWeights even, odd;
};

// x + conv2 relu(conv1 relu(x)).
struct ConvBlockWeights {
  ConvWeights conv1, conv2;
};

}  // namespace lf
