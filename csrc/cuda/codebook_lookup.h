// The nearest code of each row, by squared Euclidean distance; of equally near ones the lowest.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device.h"
#include "error.h"

namespace lf::cuda {

// Scores x.e - |e|^2 / 2 are float32 multiply-adds; codes whose scores are nearer to each other than rounding can tell
// apart are told apart by distances in double precision.
struct CodebookLookup {
  const float* x = nullptr;         // (rows, width)
  const float* codebook = nullptr;  // (codes, width)
  std::int64_t rows = 0;
  int codes = 0, width = 0;
  std::int64_t* indices = nullptr;  // (rows,); a row with a NaN gets some index in range
  void* workspace = nullptr;        // workspace_bytes of a CodebookLookup with the same sizes, aligned to 16
};

std::size_t workspace_bytes(const CodebookLookup& lookup);

bool run(const CodebookLookup& lookup, void* stream, Error& error);

}  // namespace lf::cuda
