#include "linear.h"
#include "runtime.h"

namespace lf::cuda {
namespace {

constexpr int kChunk = 128;  // bytes of a row that are multiplied between two barriers: what 32 banks hold
constexpr int kUnit = 16;

template <int kRows, int kColumns, int kWarpRows, int kWarpColumns, int kChunksInFlight>
struct Shape {
  static constexpr int rows = kRows, columns = kColumns, warp_rows = kWarpRows, warp_columns = kWarpColumns;
  static constexpr int stages = kChunksInFlight;
  static constexpr int threads = kWarp * (kRows / kWarpRows) * (kColumns / kWarpColumns);
  static constexpr int stage_bytes = (kRows + kColumns) * kChunk;
  static constexpr int result_stride = kColumns + 8;  // floats; the 8 keep rows in different banks
  static constexpr int result_bytes = kRows * result_stride * 4;
  static constexpr int pipeline_bytes = stages * stage_bytes > result_bytes ? stages * stage_bytes : result_bytes;
  static constexpr int shared_bytes = pipeline_bytes + 2 * kRows * static_cast<int>(sizeof(Pair));
};

using Small = Shape<32, 32, 16, 16, 8>;
using Medium = Shape<64, 64, 32, 32, 5>;
using Large = Shape<128, 128, 64, 32, 3>;

// Chunks lie as they are multiplied, their units turned about so that eight rows of one column lie in different banks.
LF_DEVICE int place(int row, int unit) { return row * kChunk + (unit ^ row % 8) * kUnit; }

// Mean and 1 / sqrt(variance + eps) of a row, from its segments (Chan, Golub, LeVeque 1979).
LF_DEVICE Pair row_statistics(const Norm& norm, int row) {
  const int count = (norm.width + kSegment - 1) / kSegment;
  const Pair* segments = norm.segments + static_cast<std::size_t>(row) * count;
  const auto size = [&](int i) {
    const int left = norm.width - i * kSegment;
    return static_cast<float>(left < kSegment ? left : kSegment);
  };
  float mean = 0;
  for (int i = 0; i < count; ++i) mean += size(i) * segments[i].a;
  mean /= static_cast<float>(norm.width);
  float deviations = 0;
  for (int i = 0; i < count; ++i) {
    const float offset = segments[i].a - mean;
    deviations += segments[i].b + size(i) * offset * offset;
  }
  return {mean, 1.0f / sqrtf(deviations / static_cast<float>(norm.width) + norm.eps)};
}

// Where the bits say less than zero, zero; NaN stays.
template <typename Element>
LF_DEVICE std::uint32_t relu(std::uint32_t word);
template <>
LF_DEVICE std::uint32_t relu<bf16>(std::uint32_t word) {
  const float a = lower(word), b = upper(word);
  return (a < 0 ? 0u : word & 0xffffu) | (b < 0 ? 0u : word & 0xffff0000u);
}
template <>
LF_DEVICE std::uint32_t relu<float>(std::uint32_t word) {
  return as_float(word) < 0 ? 0u : word;
}

LF_DEVICE float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

// One block makes S::rows rows and S::columns columns of y.
template <typename Element, typename S>
LF_KERNEL(S::threads)
linear_kernel(const Linear p) {
  constexpr int kPerChunk = kChunk / static_cast<int>(sizeof(Element));
  constexpr int kRowsAtOnce = S::threads / 8;  // eight threads copy a chunk of a row
  constexpr int kXCopies = S::rows / kRowsAtOnce, kWeightCopies = S::columns / kRowsAtOnce;
  constexpr int kTileRows = S::warp_rows / 16, kTileColumns = S::warp_columns / 8;
  unsigned char* const shared = shared_memory();
  Pair* const statistics = reinterpret_cast<Pair*>(shared + S::pipeline_bytes);  // of rows of x, then of residual
  const int first_row = block_y() * S::rows, first_column = block_x() * S::columns;
  const auto source = [&](int row) {  // rows beyond the last read that one again
    const int m = first_row + row < p.rows ? first_row + row : p.rows - 1;
    return p.row_of != nullptr ? p.row_of[m] : m;
  };

  const int copied_row = thread() / 8, copied_unit = thread() % 8;
  const int chunks_of_tap = p.inner / kPerChunk, chunks = p.taps * chunks_of_tap;
  const Element* weights[kWeightCopies];
  for (int i = 0; i < kWeightCopies; ++i) {
    const int row = first_column + copied_row + i * kRowsAtOnce;
    weights[i] = static_cast<const Element*>(p.weight) + static_cast<std::size_t>(row) * p.taps * p.inner +
                 copied_unit * (kUnit / static_cast<int>(sizeof(Element)));
  }
  const auto copy_weights = [&](int chunk) {
    unsigned char* const tile = shared + chunk % S::stages * S::stage_bytes + S::rows * kChunk;
    for (int i = 0; i < kWeightCopies; ++i) {
      copy_async(tile + place(copied_row + i * kRowsAtOnce, copied_unit), weights[i] + chunk * kPerChunk, true);
    }
  };
  const int ahead = chunks < S::stages - 1 ? chunks : S::stages - 1;
  // Weights depend on no other kernel.
  for (int chunk = 0; chunk < ahead; ++chunk) copy_weights(chunk);
  wait_for_previous_kernel();
  let_next_kernel_begin();

  int sources[kXCopies], times_of[kXCopies], ends[kXCopies];
  for (int i = 0; i < kXCopies; ++i) {
    sources[i] = source(copied_row + i * kRowsAtOnce);
    times_of[i] = sources[i] % p.period;
    ends[i] = p.lengths != nullptr ? static_cast<int>(p.lengths[sources[i] / p.period]) * p.rows_of_length : p.period;
  }
  const auto copy_x = [&](int chunk) {
    unsigned char* const tile = shared + chunk % S::stages * S::stage_bytes;
    const int tap = chunk / chunks_of_tap, offset = p.first_tap + tap * p.dilation;
    const int column =
        (chunk - tap * chunks_of_tap) * kPerChunk + copied_unit * (kUnit / static_cast<int>(sizeof(Element)));
    for (int i = 0; i < kXCopies; ++i) {
      const bool inside = p.taps == 1 || static_cast<unsigned>(times_of[i] + offset) < static_cast<unsigned>(ends[i]);
      const int row = inside ? sources[i] + (p.taps == 1 ? 0 : offset) : 0;
      copy_async(tile + place(copied_row + i * kRowsAtOnce, copied_unit),
                 static_cast<const Element*>(p.x) + static_cast<std::size_t>(row) * p.x_stride + column, inside);
    }
  };
  // The first group holds the weights of all chunks in flight, so that group i is ready with chunk i.
  for (int chunk = 0; chunk < S::stages - 1; ++chunk) {
    if (chunk < ahead) copy_x(chunk);
    copy_async_commit();
  }
  for (int row = thread(); row < S::rows; row += S::threads) {
    if (p.x_norm.segments != nullptr) statistics[row] = row_statistics(p.x_norm, source(row));
    if (p.residual_norm.segments != nullptr) statistics[S::rows + row] = row_statistics(p.residual_norm, source(row));
  }

  const int warp = thread() / kWarp;
  const int warp_row = warp / (S::columns / S::warp_columns) * S::warp_rows;
  const int warp_column = warp % (S::columns / S::warp_columns) * S::warp_columns;
  float sums[kTileRows][kTileColumns][4] = {};
  for (int chunk = 0; chunk < chunks; ++chunk) {
    copy_async_wait<S::stages - 2>();
    block_barrier();
    if (chunk + S::stages - 1 < chunks) {
      copy_weights(chunk + S::stages - 1);
      copy_x(chunk + S::stages - 1);
    }
    copy_async_commit();
    const unsigned char* const x_tile = shared + chunk % S::stages * S::stage_bytes;
    const unsigned char* const weight_tile = x_tile + S::rows * kChunk;
#pragma unroll
    for (int step = 0; step < kChunk / 32; ++step) {
      std::uint32_t a[kTileRows][4], b[kTileColumns / 2][4];
#pragma unroll
      for (int i = 0; i < kTileRows; ++i) {
        load_matrices(a[i], x_tile + place(warp_row + 16 * i + lane() % 16, 2 * step + lane() / 16));
        if (p.relu_input) {
#pragma unroll
          for (int j = 0; j < 4; ++j) a[i][j] = relu<Element>(a[i][j]);
        }
      }
#pragma unroll
      for (int i = 0; i < kTileColumns / 2; ++i) {
        const int row = warp_column + 16 * i + lane() / 16 * 8 + lane() % 8;
        load_matrices(b[i], weight_tile + place(row, 2 * step + lane() / 8 % 2));
      }
#pragma unroll
      for (int i = 0; i < kTileRows; ++i) {
#pragma unroll
        for (int j = 0; j < kTileColumns; ++j)
          multiply<Element>(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }
  copy_async_wait<0>();
  block_barrier();

  // Through shared memory into rows, so that a quad of lanes has a segment of one row side by side.
  float* const results = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int i = 0; i < kTileRows; ++i) {
#pragma unroll
    for (int j = 0; j < kTileColumns; ++j) {
      float* const at =
          results + (warp_row + 16 * i + lane() / 4) * S::result_stride + warp_column + 8 * j + lane() % 4 * 2;
      store2(at, sums[i][j][0], sums[i][j][1]);
      store2(at + 8 * S::result_stride, sums[i][j][2], sums[i][j][3]);
    }
  }
  block_barrier();

  constexpr int kSegments = S::columns / kSegment;
  for (int i = thread() / 4; i < S::rows * kSegments; i += S::threads / 4) {
    const int row = i / kSegments, m = first_row + row;
    const int segment = first_column + i % kSegments * kSegment, column = segment + thread() % 4 * 8;
    const bool inside = m < p.rows && column < p.outer;
    float y[8];
    if (inside) {
      load8(y, results + row * S::result_stride + column - first_column);
      const Pair x_row = p.x_norm.segments != nullptr ? statistics[row] : Pair{0, 1};
      float vector[8];
      if (p.weight_scale != nullptr) {
        load8(vector, p.weight_scale + column);
        for (int j = 0; j < 8; ++j) y[j] *= vector[j];
      }
      if (p.x_norm.segments != nullptr) {
        load8(vector, p.fold + column);
        for (int j = 0; j < 8; ++j) y[j] = (y[j] - x_row.a * vector[j]) * x_row.b;
      }
      if (p.bias != nullptr) {
        load8(vector, p.bias + column);
        for (int j = 0; j < 8; ++j) y[j] += vector[j];
      }
      if (p.activation == Linear::Activation::gelu) {
        for (int j = 0; j < 8; ++j) y[j] = gelu(y[j]);
      } else if (p.activation == Linear::Activation::relu) {
        for (int j = 0; j < 8; ++j) y[j] = y[j] < 0 ? 0 : y[j];
      }
      if (p.residual != nullptr) {
        float residual[8];
        load8(residual, static_cast<const Element*>(p.residual) +
                            static_cast<std::size_t>(source(row)) * p.residual_stride + column);
        if (p.residual_norm.segments != nullptr) {
          const Pair stream = statistics[S::rows + row];
          float shift[8];
          load8(vector, p.norm_scale + column);
          load8(shift, p.norm_shift + column);
          for (int j = 0; j < 8; ++j) residual[j] = (residual[j] - stream.a) * stream.b * vector[j] + shift[j];
        }
        for (int j = 0; j < 8; ++j) y[j] += residual[j];
      }
      const std::size_t at =
          (static_cast<std::size_t>(p.y_first) + static_cast<std::size_t>(m) * p.y_step) * p.y_stride + column;
      if (p.y_is_float) {
        store8(static_cast<float*>(p.y) + at, y);
      } else {
        store8(static_cast<Element*>(p.y) + at, y);
      }
    }
    if (p.y_segments != nullptr) {  // of what was stored, which is what readers see
      const int left = p.y_width - segment, size = left < kSegment ? left : kSegment;
      float sum = 0, deviations = 0;
      for (int j = 0; j < 8; ++j) sum += inside && column + j < p.y_width ? y[j] : 0;
      sum += shuffle_xor(sum, 1);
      sum += shuffle_xor(sum, 2);
      const float mean = sum / static_cast<float>(size);
      for (int j = 0; j < 8; ++j) {
        const float deviation = inside && column + j < p.y_width ? y[j] - mean : 0;
        deviations += deviation * deviation;
      }
      deviations += shuffle_xor(deviations, 1);
      deviations += shuffle_xor(deviations, 2);
      if (inside && size > 0 && thread() % 4 == 0) {
        const int segments = (p.y_width + kSegment - 1) / kSegment;
        p.y_segments[static_cast<std::size_t>(m) * segments + segment / kSegment] = {mean, deviations};
      }
    }
  }
}

template <typename Element, typename S>
bool start(const Linear& linear, void* stream, bool dependent, Error& error) {
  const auto blocks = [](int size, int tile) { return static_cast<unsigned>((size + tile - 1) / tile); };
  const Launch how{{blocks(linear.outer, S::columns), blocks(linear.rows, S::rows), 1},
                   S::threads,
                   S::shared_bytes,
                   stream,
                   dependent};
  return launch(linear_kernel<Element, S>, how, error, linear);
}

}  // namespace

Tile tile_for(const Linear& linear, int processors) {
  const auto blocks = [&](int tile) {
    return static_cast<long>((linear.rows + tile - 1) / tile) * ((linear.outer + tile - 1) / tile);
  };
  if (blocks(128) >= 2L * processors) return Tile::large;
  return blocks(64) >= processors ? Tile::medium : Tile::small;
}

template <typename Element>
bool run(const Linear& linear, Tile tile, void* stream, bool dependent, Error& error) {
  if (linear.rows == 0) return true;
  switch (tile) {
    case Tile::small:
      return start<Element, Small>(linear, stream, dependent, error);
    case Tile::medium:
      return start<Element, Medium>(linear, stream, dependent, error);
    default:
      return start<Element, Large>(linear, stream, dependent, error);
  }
}

template bool run<bf16>(const Linear&, Tile, void*, bool, Error&);
template bool run<float>(const Linear&, Tile, void*, bool, Error&);

}  // namespace lf::cuda
