// A linear layer or a convolution over time with everything around it, on tensor cores.
#pragma once

#include "device.h"
#include "error.h"

namespace lf::cuda {

// The residual stream carries sums before their LayerNorm. Whoever writes a row also writes the mean and the sum of
// squared deviations of every kSegment of its columns, from which readers put together those of the whole row.
constexpr int kSegment = 32;
// Rows of every matrix are filled up with zeros to multiples of this, so that no product has a border.
constexpr int kColumnStep = 64;
// The same of the number of rows of a weight.
constexpr int kWeightRowStep = 128;

struct Norm {
  const Pair* segments = nullptr;  // (rows, segments of the width): mean, sum of squared deviations; null: no norm
  int width = 0;
  float eps = 0;
};

// Pointers are the device's; Element is bf16 or float, in `x`, `weight`, `residual` and `y`. Strides count numbers.
//
// y[m] = activation(norm(x[row of m]) weight^T + bias) + norm(residual[row of m]) norm_scale + norm_shift, where
// whatever is null is left out. The norm in front has its scale and shift in weight and bias; it is applied to the
// product: rstd (x weight^T - mean fold) + bias.
struct Linear {
  const void* x = nullptr;
  int x_stride = 0;
  const void* weight = nullptr;          // (outer to kWeightRowStep, taps * inner)
  int rows = 0, inner = 0, outer = 0;    // inner and outer are multiples of kColumnStep
  const std::int32_t* row_of = nullptr;  // (rows,): which row of x and residual; null: the same

  // A convolution: tap i reads the row `first_tap + i * dilation` further on, zeros outside the `period` rows of a
  // sample and, with lengths, at or beyond lengths[sample] * rows_of_length.
  int taps = 1, first_tap = 0, dilation = 1, period = 1;
  const std::int64_t* lengths = nullptr;
  int rows_of_length = 1;
  bool relu_input = false;

  Norm x_norm;
  const float* fold = nullptr;          // (outer,), with x_norm
  const float* weight_scale = nullptr;  // (outer,)
  const float* bias = nullptr;          // (outer,)
  enum class Activation { none, relu, gelu } activation = Activation::none;

  const void* residual = nullptr;
  int residual_stride = 0;
  Norm residual_norm;
  const float* norm_scale = nullptr;  // (outer,), with residual_norm
  const float* norm_shift = nullptr;

  void* y = nullptr;  // row m goes to y_first + m * y_step
  int y_stride = 0, y_first = 0, y_step = 1;
  bool y_is_float = false;     // whatever Element is
  Pair* y_segments = nullptr;  // (rows, segments of y_width)
  int y_width = 0;             // columns that are not filling
};

enum class Tile { small, medium, large };

// The tile that keeps a GPU of `processors` multiprocessors busy.
Tile tile_for(const Linear& linear, int processors);

// Results do not depend on the tile, not even in their last bit.
template <typename Element>
bool run(const Linear& linear, Tile tile, void* stream, bool dependent, Error& error);

}  // namespace lf::cuda
