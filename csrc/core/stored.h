// Weights of a model file as the layers take them.
#pragma once

#include <cstddef>

#include "linear.h"
#include "weights.h"

namespace lf {

StoredWeight stored(const LinearWeights& weights) noexcept;
StoredWeight stored(const ResidualWeights& weights) noexcept;
StoredWeight stored(const ConvWeights& weights) noexcept;
StoredWeight stored(const UpsampleWeights& weights) noexcept;

// out (columns): row `row` of the matrix, widened.
void widened_row(const WeightMatrix& matrix, std::size_t row, float* out) noexcept;

}  // namespace lf
