#include "codebook.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "memory.h"

namespace lf {
namespace {

// Independent partial sums, so that the compiler may use vector instructions without changing the order of additions.
constexpr std::size_t kLanes = 8;

double squared_distance(const float* a, const float* b, std::size_t width) noexcept {
  double lanes[kLanes] = {};
  std::size_t d = 0;
  for (; d + kLanes <= width; d += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double difference = static_cast<double>(a[d + lane]) - static_cast<double>(b[d + lane]);
      lanes[lane] += difference * difference;
    }
  }
  double sum = 0.0;
  for (; d < width; ++d) {
    const double difference = static_cast<double>(a[d]) - static_cast<double>(b[d]);
    sum += difference * difference;
  }
  for (const double lane : lanes) sum += lane;
  return sum;
}

double squared_norm(const float* x, std::size_t width) noexcept {
  double lanes[kLanes] = {};
  std::size_t d = 0;
  for (; d + kLanes <= width; d += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += static_cast<double>(x[d + lane]) * static_cast<double>(x[d + lane]);
    }
  }
  double sum = 0.0;
  for (; d < width; ++d) sum += static_cast<double>(x[d]) * static_cast<double>(x[d]);
  for (const double lane : lanes) sum += lane;
  return sum;
}

struct Codes {
  const float* vectors;
  std::size_t count, width;
  const float* half_norms;  // |c|^2 / 2; nullptr where float cannot hold them, and only double precision will do
  double longest;           // the greatest |c|
};

// Distances in double precision; scores of which float sums say that they are beyond `limit` are left out.
std::int64_t nearest_exactly(const Kernels* kernels, const float* x, const Codes& codes, float limit) noexcept {
  double best = std::numeric_limits<double>::infinity();
  std::int64_t index = -1;
  for (std::size_t k = 0; k < codes.count; ++k) {
    const float* code = codes.vectors + k * codes.width;
    if (kernels != nullptr && codes.half_norms[k] - kernels->dot(x, code, codes.width) > limit) continue;
    const double distance = squared_distance(x, code, codes.width);
    if (distance < best) {
      best = distance;
      index = static_cast<std::int64_t>(k);
    }
  }
  return index;
}

// |c|^2 / 2 of every code; what float cannot hold is not finite.
Codes measured(const float* vectors, std::size_t count, std::size_t width, float* half_norms) noexcept {
  Codes codes{vectors, count, width, half_norms, 0.0};
  double longest = 0.0;
  bool finite = true;
  for (std::size_t k = 0; k < count; ++k) {
    const double norm = squared_norm(vectors + k * width, width);
    half_norms[k] = static_cast<float>(0.5 * norm);
    finite = finite && norm < std::numeric_limits<float>::max();
    longest = norm > longest ? norm : longest;
  }
  codes.longest = std::sqrt(longest);
  if (!finite) codes.half_norms = nullptr;
  return codes;
}

// How far two scores |c|^2 / 2 - x . c in float may be from their difference in truth: a sum of `width` products is off
// by less than width 2^-24 |x| |c|, and the last term leaves room for what double precision rounds.
double uncertainty(double norm, const Codes& codes) noexcept {
  const double length = std::sqrt(norm), width = static_cast<double>(codes.width);
  return 4.0 * 0x1p-24 * ((width + 4.0) * length * codes.longest + codes.longest * codes.longest) + 0x1p-40 * norm;
}

// The codes of up to a panel of rows. packed: (width, panel).
void lookup_panel(const Kernels& kernels, const float* x, std::size_t rows, const Codes& codes, std::int64_t* indices,
                  std::size_t indices_stride, float* packed) noexcept {
  const TileKernel& kernel = kernels.tile[static_cast<int>(Format::f32)];
  const std::size_t width = codes.width;
  if (codes.half_norms == nullptr) {
    for (std::size_t m = 0; m < rows; ++m) {
      indices[m * indices_stride] = nearest_exactly(nullptr, x + m * width, codes, 0.0f);
    }
    return;
  }
  // The rows are the columns of a tile, so that what is nearest is found without comparing within a vector.
  kernels.pack_columns({x, width, rows, width, Format::f32, packed});
  alignas(kAlignment) float products[kMaxTileRows * kMaxPanel];
  Nearest nearest;
  for (std::size_t i = 0; i < kMaxPanel; ++i) {
    nearest.best[i] = nearest.second[i] = std::numeric_limits<float>::infinity();
    nearest.index[i] = 0;
  }
  for (std::size_t k = 0; k < codes.count; k += kernel.tile_rows) {
    const std::size_t count = codes.count - k < kernel.tile_rows ? codes.count - k : kernel.tile_rows;
    kernel.run({codes.vectors + k * width, width * sizeof(float), 0, count, packed, 1, width, products, kernel.panel});
    kernels.nearest(products, count, codes.half_norms + k, static_cast<std::uint32_t>(k), nearest);
  }
  for (std::size_t m = 0; m < rows; ++m) {
    const double norm = squared_norm(x + m * width, width);
    std::int64_t& index = indices[m * indices_stride];
    if (!(norm < std::numeric_limits<float>::max())) {
      index = nearest_exactly(nullptr, x + m * width, codes, 0.0f);
      continue;
    }
    const double margin = uncertainty(norm, codes), best = static_cast<double>(nearest.best[m]);
    if (static_cast<double>(nearest.second[m]) - best > margin) {
      index = static_cast<std::int64_t>(nearest.index[m]);
    } else {
      index =
          nearest_exactly(&kernels, x + m * width, codes,
                          std::nextafter(static_cast<float>(best + margin), std::numeric_limits<float>::infinity()));
    }
  }
}

// What a call lays out: the measures of all codes, and for each task a panel of packed rows and what is left of them.
struct Layout {
  std::size_t panel, packed_size, left_size;
  Codes* codebooks;
  float* half_norms;
  float* panels;

  Layout(const Kernels& kernels, const Executor& executor, std::size_t codes, std::size_t width, std::size_t levels,
         Arena& arena) noexcept
      : panel(kernels.tile[static_cast<int>(Format::f32)].panel),
        packed_size(panel * width),
        left_size(levels > 1 ? panel * width : 0) {
    codebooks = arena.take<Codes>(levels);
    half_norms = arena.take<float>(levels * codes);
    panels = arena.take<float>(executor.even_tasks() * (packed_size + left_size));
  }
};

void subtract(const float* x, const float* code, std::size_t width, float* out) noexcept {
  for (std::size_t d = 0; d < width; ++d) out[d] = code == nullptr ? x[d] : x[d] - code[d];
}

void add(const float* code, std::size_t width, float* out) noexcept {
  for (std::size_t d = 0; d < width; ++d) out[d] += code[d];
}

bool all_found(const std::int64_t* indices, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (indices[i] < 0) return false;
  }
  return true;
}

}  // namespace

std::size_t codebook_scratch(const Kernels& kernels, const Executor& executor, std::size_t codes, std::size_t width,
                             std::size_t levels) noexcept {
  Arena arena;
  Layout(kernels, executor, codes, width, levels, arena);
  return arena.used();
}

bool residual_codebook_lookup(const Kernels& kernels, const Executor& executor, const float* x, std::size_t rows,
                              const float* codebooks, std::size_t levels, std::size_t codes, std::size_t width,
                              std::int64_t* indices, float* quantized, void* scratch) noexcept {
  Arena arena(scratch, codebook_scratch(kernels, executor, codes, width, levels));
  const Layout layout(kernels, executor, codes, width, levels, arena);
  executor.run(levels, [&](std::size_t level) {
    layout.codebooks[level] =
        measured(codebooks + level * codes * width, codes, width, layout.half_norms + level * codes);
  });

  const std::size_t panels = (rows + layout.panel - 1) / layout.panel, most = executor.even_tasks();
  const std::size_t tasks = panels < most ? panels : most;
  executor.run(tasks, [&](std::size_t task) {
    float* packed = layout.panels + task * (layout.packed_size + layout.left_size);
    float* left = packed + layout.packed_size;
    for (std::size_t p = task * panels / tasks; p < (task + 1) * panels / tasks; ++p) {
      const std::size_t first = p * layout.panel, count = rows - first < layout.panel ? rows - first : layout.panel;
      const float* now = x + first * width;
      if (quantized != nullptr) std::memset(quantized + first * width, 0, count * width * sizeof(float));
      for (std::size_t level = 0; level < levels; ++level) {
        const Codes& book = layout.codebooks[level];
        std::int64_t* found = indices + first * levels + level;
        lookup_panel(kernels, now, count, book, found, levels, packed);
        for (std::size_t m = 0; m < count; ++m) {
          const std::int64_t index = found[m * levels];
          const float* code = index < 0 ? nullptr : book.vectors + static_cast<std::size_t>(index) * width;
          if (level + 1 < levels) subtract(now + m * width, code, width, left + m * width);
          if (quantized != nullptr && code != nullptr) add(code, width, quantized + (first + m) * width);
        }
        now = left;
      }
    }
  });
  return all_found(indices, rows * levels);
}

bool codebook_lookup(const Kernels& kernels, const Executor& executor, const float* x, std::size_t rows,
                     const float* codebook, std::size_t codes, std::size_t width, std::int64_t* indices,
                     void* scratch) noexcept {
  return residual_codebook_lookup(kernels, executor, x, rows, codebook, 1, codes, width, indices, nullptr, scratch);
}

bool codebook_lookup(const float* x, std::size_t rows, const float* codebook, std::size_t codes, std::size_t width,
                     std::int64_t* indices) noexcept {
  const Kernels& kernels = best_kernels();
  const Executor executor;
  const Allocator system = system_allocator();
  void* scratch = system.allocate(codebook_scratch(kernels, executor, codes, width), kAlignment, system.user);
  if (scratch != nullptr) {
    const bool complete = codebook_lookup(kernels, executor, x, rows, codebook, codes, width, indices, scratch);
    system.release(scratch, system.user);
    return complete;
  }
  for (std::size_t m = 0; m < rows; ++m) {
    indices[m] = nearest_exactly(nullptr, x + m * width, {codebook, codes, width, nullptr, 0.0}, 0.0f);
  }
  return all_found(indices, rows);
}

}  // namespace lf
