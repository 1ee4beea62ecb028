// The kernels of csrc/cuda against plain sums in double precision and against the core: in the emulation, or compiled
// by nvcc on a GPU.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "../core/codebook.h"
#include "../core/decode_step.h"
#include "../cuda/attention.h"
#include "../cuda/codebook_lookup.h"
#include "../cuda/decode_step.h"
#include "../cuda/generator.h"
#include "../cuda/linear.h"
#include "../cuda/runtime.h"
#include "generation.h"
#include "lamp_fast_cuda.h"
#include "motion_features.h"
#include "tiny_model.h"

namespace {

using lf::Error;
using lf::cuda::bf16;
using lf::cuda::Pair;

int failures = 0;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

std::mt19937 engine(7);

std::vector<float> random(std::size_t size, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(engine);
  return values;
}

template <typename Element>
Element stored(float x);
template <>
float stored<float>(float x) {
  return x;
}
template <>
bf16 stored<bf16>(float x) {
  return {lf::cuda::half_bits(x)};
}
float number(float x) { return x; }
float number(bf16 x) { return lf::cuda::from_half(x.bits); }

#if defined(__CUDACC__)
// The GPU reads and writes it where it lies, in the host's memory.
void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  expect(cudaMallocHost(&memory, bytes) == cudaSuccess, "memory of both sides");
  return memory;
}
void release(void* memory) { cudaFreeHost(memory); }

void* make_stream() {
  cudaStream_t made = nullptr;
  expect(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking) == cudaSuccess, "a stream");
  return made;
}
#else
using lf::cuda::emulation::allocate;
using lf::cuda::emulation::release;

void* make_stream() { return nullptr; }
#endif

void* stream = nullptr;  // on which everything runs

// Until the stream is empty; whatever its kernels did wrong ends the test, since no call works any more.
void finish(const std::string& what) {
  Error error;
  if (lf::cuda::synchronize(stream, error)) return;
  std::printf("FAILED: %s: %s\n", what.c_str(), error.text);
  std::exit(1);
}

// Memory that this program shares with kernels: aligned as the GPU's is, exactly as long as it may be read, NaN at
// first.
template <typename T>
struct Device {
  explicit Device(std::size_t count) : size(count), memory(allocate(count * sizeof(T)), release) {
    std::memset(memory.get(), 0xff, count * sizeof(T));
  }
  T* data() const { return static_cast<T*>(memory.get()); }
  T& operator[](std::size_t i) const { return data()[i]; }
  std::size_t size;
  std::unique_ptr<void, void (*)(void*)> memory;
};

// What lies in the GPU's own memory.
template <typename T>
std::vector<T> fetched(const T* from, std::size_t count) {
  std::vector<T> values(count);
  Error error;
  expect(lf::cuda::copy(values.data(), from, count * sizeof(T), stream, error), error.text);
  finish("a copy");
  return values;
}

template <typename T>
Device<T> device(const std::vector<T>& values) {
  Device<T> result(values.size());
  std::copy(values.begin(), values.end(), result.data());
  return result;
}

// values (rows, columns) in rows of `stride`, zeros between.
template <typename Element>
Device<Element> padded(const std::vector<float>& values, int rows, int columns, int all_rows, int stride) {
  Device<Element> result(static_cast<std::size_t>(all_rows) * stride);
  for (std::size_t i = 0; i < result.size; ++i) result[i] = stored<Element>(0);
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c)
      result[static_cast<std::size_t>(r) * stride + c] = stored<Element>(values[r * columns + c]);
  }
  return result;
}

int up(int value, int step) { return (value + step - 1) / step * step; }

// Mean and squared deviations of segments of a row, in double precision.
std::vector<Pair> segments_of(const std::vector<float>& x, int rows, int width) {
  std::vector<Pair> result;
  for (int r = 0; r < rows; ++r) {
    for (int first = 0; first < width; first += lf::cuda::kSegment) {
      const int size = std::min(lf::cuda::kSegment, width - first);
      double mean = 0, deviations = 0;
      for (int i = 0; i < size; ++i) mean += x[r * width + first + i];
      mean /= size;
      for (int i = 0; i < size; ++i) deviations += std::pow(x[r * width + first + i] - mean, 2);
      result.push_back({static_cast<float>(mean), static_cast<float>(deviations)});
    }
  }
  return result;
}

struct Stats {
  double mean, rstd;
};

Stats stats_of(const float* row, int width, double eps) {
  double mean = 0, deviations = 0;
  for (int i = 0; i < width; ++i) mean += row[i];
  mean /= width;
  for (int i = 0; i < width; ++i) deviations += (row[i] - mean) * (row[i] - mean);
  return {mean, 1 / std::sqrt(deviations / width + eps)};
}

template <typename Element>
std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = number(stored<Element>(value));
  return values;
}

template <typename Element>
void linear(int rows, int inner, int outer, bool norm, bool residual_norm, bool gather, bool gelu,
            lf::cuda::Tile tile) {
  const int stride = up(inner, lf::cuda::kColumnStep), y_stride = up(outer, lf::cuda::kColumnStep);
  const float eps = 1e-5f;
  std::vector<float> x = random(rows * inner), residual = random(rows * outer);
  for (float& value : x) value += 3;  // a mean that has to be taken off
  for (float& value : residual) value -= 2;
  x = rounded<Element>(x), residual = rounded<Element>(residual);
  const std::vector<float> weight = rounded<Element>(random(outer * inner, 1 / std::sqrt(static_cast<float>(inner))));
  const std::vector<float> bias = random(outer), scale = random(outer), shift = random(outer),
                           weight_scale = random(outer);
  std::vector<std::int32_t> rows_of;
  for (int m = 0; gather && m < rows; m += 2) rows_of.push_back(rows - 1 - m);
  const int count = gather ? static_cast<int>(rows_of.size()) : rows;
  std::vector<float> fold(outer, 0);
  for (int o = 0; o < outer; ++o) {
    double sum = 0;
    for (int i = 0; i < inner; ++i) sum += static_cast<double>(weight[o * inner + i]) * weight_scale[o];
    fold[o] = static_cast<float>(sum);
  }

  const auto vector = [&](const std::vector<float>& values) { return padded<float>(values, 1, outer, 1, y_stride); };
  const auto x_memory = padded<Element>(x, rows, inner, rows, stride);
  const auto weight_memory = padded<Element>(weight, outer, inner, up(outer, lf::cuda::kWeightRowStep), stride);
  const auto residual_memory = padded<Element>(residual, rows, outer, rows, y_stride);
  const auto bias_memory = vector(bias), fold_memory = vector(fold), scale_memory = vector(scale),
             shift_memory = vector(shift), weight_scale_memory = vector(weight_scale);
  const auto x_segments = device(segments_of(x, rows, inner)),
             residual_segments = device(segments_of(residual, rows, outer));
  const auto row_memory = device(rows_of);
  const int segments = (outer + lf::cuda::kSegment - 1) / lf::cuda::kSegment;
  const Device<Element> y(static_cast<std::size_t>(count) * y_stride);
  const Device<Pair> y_segments(static_cast<std::size_t>(count) * segments);

  lf::cuda::Linear p;
  p.x = x_memory.data(), p.x_stride = stride;
  p.weight = weight_memory.data();
  p.rows = count, p.inner = stride, p.outer = y_stride;
  if (gather) p.row_of = row_memory.data();
  if (norm) p.x_norm = {x_segments.data(), inner, eps}, p.fold = fold_memory.data();
  p.weight_scale = weight_scale_memory.data();
  p.bias = bias_memory.data();
  if (gelu) p.activation = lf::cuda::Linear::Activation::gelu;
  if (residual_norm) {
    p.residual = residual_memory.data(), p.residual_stride = y_stride;
    p.residual_norm = {residual_segments.data(), outer, eps};
    p.norm_scale = scale_memory.data(), p.norm_shift = shift_memory.data();
  }
  p.y = y.data(), p.y_stride = y_stride;
  p.y_segments = y_segments.data(), p.y_width = outer;
  Error error;
  expect(lf::cuda::run<Element>(p, tile, stream, false, error), "linear runs");
  finish("linear");

  double worst = 0, worst_segment = 0;
  const double unit = sizeof(Element) == 2 ? 0x1p-8 : 0x1p-17;  // the mean is taken off the product
  for (int m = 0; m < count; ++m) {
    const int row = gather ? rows_of[m] : m;
    const Stats in = norm ? stats_of(&x[row * inner], inner, eps) : Stats{0, 1};
    const Stats of = stats_of(&residual[row * outer], outer, eps);
    std::vector<float> result(y_stride);
    for (int o = 0; o < y_stride; ++o) {
      result[o] = number(y[static_cast<std::size_t>(m) * y_stride + o]);
      if (o >= outer) {
        expect(result[o] == 0, "filling stays zero");
        continue;
      }
      double sum = 0;
      for (int i = 0; i < inner; ++i) sum += (x[row * inner + i] - in.mean) * in.rstd * weight[o * inner + i];
      double value = sum * weight_scale[o] + bias[o];
      if (gelu) value = value * 0.5 * (1 + std::erf(value / std::sqrt(2.0)));
      if (residual_norm) value += (residual[row * outer + o] - of.mean) * of.rstd * scale[o] + shift[o];
      worst = std::max(worst, std::abs(value - result[o]) / (1 + std::abs(value)));
    }
    result.resize(outer);
    const std::vector<Pair> expected = segments_of(result, 1, outer);
    for (int s = 0; s < segments; ++s) {
      const Pair found = y_segments[static_cast<std::size_t>(m) * segments + s];
      worst_segment = std::max({worst_segment, std::abs(static_cast<double>(found.a) - expected[s].a),
                                std::abs(static_cast<double>(found.b) - expected[s].b) / (1 + expected[s].b)});
    }
  }
  const std::string name = std::to_string(rows) + "x" + std::to_string(inner) + "x" + std::to_string(outer) + " of " +
                           std::to_string(8 * sizeof(Element)) + " bits";
  expect(worst < unit, "linear " + name + " is off by " + std::to_string(worst));
  expect(worst_segment < 1e-5, "segments of " + name + " are off by " + std::to_string(worst_segment));
}

void linears() {
  using lf::cuda::Tile;
  for (const Tile tile : {Tile::small, Tile::medium, Tile::large}) {
    linear<bf16>(7, 64, 64, true, false, false, true, tile);
    linear<float>(50, 100, 63, false, true, true, false, tile);
  }
  linear<bf16>(1, 7, 1, false, false, false, false, Tile::small);
  linear<bf16>(49, 192, 130, true, true, true, false, Tile::medium);
  linear<float>(63, 640, 33, true, false, false, true, Tile::small);
  linear<bf16>(129, 72, 200, false, true, false, false, Tile::large);
}

template <typename Element>
void attention(int samples, int period, int heads, int width, lf::cuda::Mask mask, bool with_lengths) {
  const int head_width = width <= 32 ? 32 : width <= 64 ? 64 : 128, part = heads * head_width, stride = 3 * part;
  std::vector<std::int32_t> lengths;
  for (int s = 0; s < samples; ++s) lengths.push_back(with_lengths ? std::max(1, period - 5 * s) : period);
  std::vector<float> qkv(static_cast<std::size_t>(samples) * period * stride, 0);
  for (int row = 0; row < samples * period; ++row) {
    const bool beyond = row % period >= lengths[row / period];
    const std::vector<float> values = random(3 * heads * width, 1.5f);
    for (int h = 0; h < 3 * heads; ++h) {
      for (int i = 0; i < width; ++i) {
        // Rows beyond a length hold no numbers and touch nothing.
        qkv[static_cast<std::size_t>(row) * stride + h * head_width + i] = beyond ? NAN : values[h * width + i];
      }
    }
  }
  qkv = rounded<Element>(qkv);
  const auto memory = padded<Element>(qkv, samples * period, stride, samples * period, stride);
  const auto length_memory = device(lengths);
  const Device<Element> attended(static_cast<std::size_t>(samples) * period * part);
  lf::cuda::Attention p;
  p.qkv = memory.data(), p.qkv_stride = stride, p.attended = attended.data(), p.attended_stride = part;
  p.samples = samples, p.period = period, p.heads = heads, p.head_width = head_width;
  if (with_lengths) p.lengths = length_memory.data();
  p.mask = mask;
  p.scale = 1 / std::sqrt(static_cast<float>(width));
  Error error;
  expect(lf::cuda::run<Element>(p, stream, false, error), "attention runs");
  finish("attention");

  double worst = 0;
  for (int s = 0; s < samples; ++s) {
    for (int h = 0; h < heads; ++h) {
      for (int i = 0; i < period; ++i) {
        const auto row = [&](int at, int which) {
          return &qkv[static_cast<std::size_t>(s * period + at) * stride + which * part + h * head_width];
        };
        std::vector<double> weights(lengths[s], 0);
        double total = 0;
        for (int j = 0; i < lengths[s] && j < lengths[s]; ++j) {
          if (mask == lf::cuda::Mask::causal && j > i) continue;
          double score = 0;
          for (int d = 0; d < width; ++d) score += static_cast<double>(row(i, 0)[d]) * row(j, 1)[d];
          score = score * p.scale + (mask == lf::cuda::Mask::soft_causal && j <= i ? 1 : 0);
          weights[j] = std::exp(score);
          total += weights[j];
        }
        for (int d = 0; d < head_width; ++d) {
          double value = 0;
          for (int j = 0; total > 0 && d < width && j < lengths[s]; ++j) value += weights[j] / total * row(j, 2)[d];
          const float found = number(attended[static_cast<std::size_t>(s * period + i) * part + h * head_width + d]);
          worst = found == found ? std::max(worst, std::abs(found - value)) : 1e9;
        }
      }
    }
  }
  // Weights and results are rounded to 8 bits, or hold three products of TF32.
  expect(worst < (sizeof(Element) == 2 ? 3e-2 : 1e-5),
         "attention over " + std::to_string(period) + " rows is off by " + std::to_string(worst));
}

void attentions() {
  using lf::cuda::Mask;
  attention<bf16>(2, 50, 2, 64, Mask::soft_causal, true);
  attention<bf16>(1, 7, 1, 24, Mask::full, false);
  attention<bf16>(2, 130, 1, 32, Mask::causal, true);
  attention<bf16>(1, 64, 1, 100, Mask::full, true);
  attention<float>(2, 8, 2, 17, Mask::causal, true);
  attention<float>(1, 66, 1, 64, Mask::soft_causal, true);
  attention<float>(1, 1, 1, 128, Mask::full, false);
}

template <typename Scored>
void decode(int samples, int positions, int codes, bool guided, bool compact, bool given_noise, int top_k) {
  std::vector<std::int64_t> ids(samples * positions), next(samples), seeds(samples), samples_of(samples);
  int most = 1;
  for (int s = 0; s < samples; ++s) {
    int masked = 0;
    for (int n = 0; n < positions; ++n) {
      const bool wanted = (n * 7 + s) % 3 != 0;
      ids[s * positions + n] = wanted ? codes : (n + s) % codes;
      masked += wanted;
    }
    most = std::max(most, masked);
    next[s] = masked / 2;
    seeds[s] = static_cast<std::int64_t>(0x9e3779b97f4a7c15ull * (s + 1));
    samples_of[s] = 5 + s;
  }
  const int scored = compact ? most : positions;
  const std::vector<float> logits = rounded<Scored>(random(samples * scored * codes, 3)),
                           plain = rounded<Scored>(random(samples * scored * codes, 3));
  std::vector<float> noise(static_cast<std::size_t>(samples) * positions * codes);
  for (float& value : noise) value = std::uniform_real_distribution<float>(0, 1)(engine);
  const std::size_t rows = static_cast<std::size_t>(samples) * positions;
  const auto as_scored = [&](const std::vector<float>& values) {
    return padded<Scored>(values, samples * scored, codes, samples * scored, codes);
  };
  const auto logits_memory = as_scored(logits), plain_memory = as_scored(plain);
  const auto noise_memory = device(noise);
  const auto ids_memory = device(ids), next_memory = device(next), seeds_memory = device(seeds),
             of_memory = device(samples_of);
  const auto arrivals = device(std::vector<std::int32_t>(samples, 0));
  const Device<std::int64_t> out_ids(rows);
  const Device<float> confidence(rows);
  const int limit = positions / 2 + 1;
  const Device<std::int32_t> next_rows(static_cast<std::size_t>(2) * samples * limit);
  lf::cuda::DecodeStep p;
  p.logits = logits_memory.data(), p.unconditional = guided ? plain_memory.data() : nullptr;
  p.ids = ids_memory.data(), p.next_count = next_memory.data(), p.seeds = seeds_memory.data();
  p.samples_of = of_memory.data(), p.noise = given_noise ? noise_memory.data() : nullptr;
  p.out_ids = out_ids.data(), p.confidence = confidence.data(), p.arrivals = arrivals.data();
  p.next_rows = next_rows.data(), p.next_limit = limit, p.branches = 2;
  p.samples = samples, p.positions = positions, p.codes = codes, p.scored = scored, p.logits_stride = codes, p.step = 3;
  p.options = {4.0f, 0.9f, top_k};
  Error error;
  expect(lf::cuda::run<Scored>(p, stream, false, error), "decode step runs");
  finish("decode step");

  const std::string name =
      "decode step of " + std::to_string(positions) + " positions, " + std::to_string(codes) + " codes: ";
  std::vector<float> guided_logits(codes);
  for (int s = 0; s < samples; ++s) {
    std::vector<std::int64_t> expected(&ids[s * positions], &ids[s * positions] + positions);
    std::vector<float> confident(positions, lf::kKept);
    int masked = 0;
    for (int n = 0; n < positions; ++n) {
      if (expected[n] != codes) continue;
      const std::size_t row = (static_cast<std::size_t>(s) * scored + (compact ? masked : n)) * codes;
      ++masked;
      const lf::Drawn drawn =
          lf::draw_code(&logits[row], guided ? &plain[row] : nullptr, guided_logits.data(), codes,
                        {4.0f, 0.9f, static_cast<std::size_t>(top_k)},
                        {static_cast<std::uint64_t>(seeds[s]), static_cast<std::uint32_t>(samples_of[s]), 3}, n,
                        given_noise ? &noise[(static_cast<std::size_t>(s) * positions + n) * codes] : nullptr);
      expected[n] = drawn.code, confident[n] = drawn.confidence;
    }
    lf::mask_again(expected.data(), confident.data(), positions, next[s], codes);
    std::vector<int> rows_expected;
    for (const bool wanted : {true, false}) {
      for (int n = 0; n < positions; ++n) {
        if ((expected[n] == codes) == wanted) rows_expected.push_back(n);
      }
    }
    bool same = true, near = true, listed = true;
    for (int n = 0; n < positions; ++n) {
      same = same && out_ids[s * positions + n] == expected[n];
      near = near && std::abs(confidence[s * positions + n] - confident[n]) <= 1e-5f * confident[n];
    }
    for (int branch = 0; branch < 2; ++branch) {
      for (int r = 0; r < std::min(limit, positions); ++r) {
        const int of = branch * samples + s;
        listed = listed &&
                 next_rows[static_cast<std::size_t>(of) * limit + r] == of * (positions + 1) + 1 + rows_expected[r];
      }
    }
    expect(same, name + "ids");
    expect(near, name + "confidence");
    expect(listed, name + "rows");
    expect(arrivals[s] == 0, name + "arrivals are zero again");
  }
}

void decodes() {
  decode<float>(2, 49, 512, true, true, false, 52);
  decode<float>(1, 1, 7, false, false, false, 7);
  decode<bf16>(3, 7, 63, true, false, true, 1);
  decode<bf16>(2, 63, 1030, false, true, false, 103);
}

void lookup(std::int64_t rows, int codes, int width, float offset = 0) {
  std::vector<float> x = random(rows * width), codebook = random(codes * width);
  // Codes twice, and rows that lie on a code or between two.
  for (int d = 0; d < width && codes > 2; ++d) codebook[(codes - 1) * width + d] = codebook[width + d];
  for (int d = 0; d < width && rows > 2; ++d) {
    x[d] = codebook[(codes - 1) * width + d];
    x[width + d] = (codebook[d] + codebook[(codes / 2) * width + d]) / 2;
  }
  for (float& value : x) value += offset;
  for (float& value : codebook) value += offset;
  const auto x_memory = device(x), codebook_memory = device(codebook);
  const Device<std::int64_t> found(rows);
  lf::cuda::CodebookLookup p;
  p.x = x_memory.data(), p.codebook = codebook_memory.data();
  p.rows = rows, p.codes = codes, p.width = width;
  p.indices = found.data();
  const Device<unsigned char> workspace(lf::cuda::workspace_bytes(p));
  p.workspace = workspace.data();
  Error error;
  expect(lf::cuda::run(p, stream, error), "codebook lookup runs");
  finish("codebook lookup");
  std::vector<std::int64_t> expected(rows);
  lf::codebook_lookup(x.data(), rows, codebook.data(), codes, width, expected.data());
  int wrong = 0;
  for (int m = 0; m < rows; ++m) wrong += found[m] != expected[m];
  expect(wrong == 0, "codebook lookup of " + std::to_string(rows) + " rows in " + std::to_string(codes) + " codes of " +
                         std::to_string(width) + ": " + std::to_string(wrong) + " wrong");
}

void lookups() {
  lookup(49, 512, 64);
  lookup(1, 1, 1);
  lookup(7, 63, 7);
  lookup(63, 33, 100, 1000);  // an offset that leaves few bits for what tells codes apart
  lookup(300, 130, 20);
  lookup(257, 7, 33);

  const std::vector<float> codebook = {0, 1};
  const auto codes = device(codebook), x = device(std::vector<float>{NAN, 0.9f, INFINITY});
  const Device<std::int64_t> found(3);
  lf::cuda::CodebookLookup p;
  p.x = x.data(), p.codebook = codes.data(), p.rows = 3, p.codes = 2, p.width = 1, p.indices = found.data();
  const Device<unsigned char> workspace(lf::cuda::workspace_bytes(p));
  p.workspace = workspace.data();
  Error error;
  expect(lf::cuda::run(p, stream, error), "codebook lookup runs");
  finish("codebook lookup of what is not finite");
  expect(found[1] == 1, "a row beside NaN finds its code");
  expect(found[0] >= 0 && found[0] < 2 && found[2] >= 0 && found[2] < 2,
         "rows that are not finite get an index in range");
}

template <typename Element>
void embed(int samples, int positions, int width) {
  constexpr int branches = 2, table_rows = 7;
  const int rows = branches * samples * (positions + 1);
  const auto table = rounded<Element>(random(table_rows * width)), places = rounded<Element>(random(positions * width)),
             conditions = rounded<Element>(random(samples * width)), none = random(width);
  std::vector<std::int64_t> ids;
  for (int i = 0; i < samples * positions; ++i) ids.push_back(i % 11 - 1);  // some beyond the table
  const auto memory = [&](const std::vector<float>& values) {
    const int count = static_cast<int>(values.size()) / width;
    return padded<Element>(values, count, width, count, width);
  };
  const auto table_memory = memory(table), places_memory = memory(places), conditions_memory = memory(conditions);
  const auto none_memory = device(none);
  const auto ids_memory = device(ids);
  const Device<Element> out(static_cast<std::size_t>(rows) * width);
  lf::cuda::Embed p;
  p.ids = ids_memory.data(), p.conditions = conditions_memory.data(), p.no_condition = none_memory.data();
  p.table = table_memory.data(), p.positions_table = places_memory.data(), p.out = out.data();
  p.samples = samples, p.positions = positions, p.branches = branches, p.table_rows = table_rows, p.width = width;
  Error error;
  expect(lf::cuda::run<Element>(p, stream, false, error), "embedding runs");
  finish("embedding");
  bool same = true;
  for (int row = 0; row < rows; ++row) {
    const int sample = row / (positions + 1) % samples, n = row % (positions + 1) - 1;
    const bool plain = row / (positions + 1) >= samples;
    for (int i = 0; i < width; ++i) {
      float expected = plain ? none[i] : conditions[sample * width + i];
      if (n >= 0) {
        const std::int64_t id = ids[sample * positions + n];
        expected = table[(id < 0 || id >= table_rows ? table_rows - 1 : id) * width + i] + places[n * width + i];
      }
      same = same && number(out[static_cast<std::size_t>(row) * width + i]) == number(stored<Element>(expected));
    }
  }
  expect(same, "rows of tokens and conditions");
}

// A model with random weights, in the folded form of the model file.
struct RandomModel {
  RandomModel(int width, int heads, int feedforward, int codes, int tokens, int condition_width, int num_layers,
              bool int8)
      : layers(num_layers, lf::LayerWeights{}), int8(int8) {
    weights.width = width, weights.heads = heads, weights.feedforward = feedforward, weights.codes = codes;
    weights.max_tokens = tokens, weights.condition_width = condition_width;
    weights.eps = 1e-5f, weights.head_eps = 1e-12f;
    weights.table = matrix(codes + 2, 4 * width), weights.positions = matrix(tokens, 4 * width);
    weights.condition = linear(4 * width, condition_width);
    for (int l = 0; l < num_layers; ++l) {
      lf::LayerWeights& layer = layers[l];
      if (l > 0) layer.qkv = linear(3 * width, width);
      layer.attention_output = {linear(width, width), {}};
      if (l > 0) layer.attention_output.norm = norm(width);
      layer.feed_forward = {linear(feedforward, width), {linear(width, feedforward), norm(width)}};
    }
    weights.layers.assign(layers.begin(), layers.end());
    weights.dense = linear(width, width), weights.logits = linear(codes, width);
  }

  lf::WeightMatrix matrix(std::size_t rows, std::size_t columns) {
    floats.push_back(random(rows * columns, 1.5f / std::sqrt(static_cast<float>(columns))));
    if (!int8) return {lf::Dtype::f32, rows, columns, floats.back().data(), nullptr};
    std::vector<std::int8_t> numbers(rows * columns);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = static_cast<std::int8_t>(std::lround(floats.back()[i] * 99) % 127);
    bytes.push_back(numbers);
    floats.push_back(random(rows, 0.002f));
    for (float& scale : floats.back()) scale = 0.01f + std::abs(scale);
    return {lf::Dtype::i8, rows, columns, bytes.back().data(), floats.back().data()};
  }
  lf::LinearWeights linear(std::size_t rows, std::size_t columns) {
    const lf::WeightMatrix result = matrix(rows, columns);
    floats.push_back(random(rows, 0.5f));
    return {result, floats.back().data()};
  }
  lf::NormWeights norm(std::size_t width) {
    floats.push_back(random(width));
    floats.push_back(random(width));
    return {floats[floats.size() - 2].data(), floats.back().data()};
  }

  lf::Vector<lf::LayerWeights> layers;
  bool int8;
  std::deque<std::vector<float>> floats;
  std::deque<std::vector<std::int8_t>> bytes;
  lf::GeneratorWeights weights{};
};

double number(const lf::WeightMatrix& matrix, std::size_t row, std::size_t column) {
  const std::size_t at = row * matrix.columns + column;
  if (matrix.dtype == lf::Dtype::f32) return static_cast<const float*>(matrix.data)[at];
  return static_cast<double>(static_cast<const std::int8_t*>(matrix.data)[at]) * matrix.scale[row];
}

using Row = std::vector<double>;

Row times(const lf::LinearWeights& linear, const Row& x) {
  Row y(linear.matrix.rows);
  for (std::size_t o = 0; o < y.size(); ++o) {
    y[o] = linear.bias[o];
    for (std::size_t i = 0; i < x.size(); ++i) y[o] += number(linear.matrix, o, i) * x[i];
  }
  return y;
}

Row normal(const Row& x, double eps) {
  double mean = 0, deviations = 0;
  for (const double value : x) mean += value / static_cast<double>(x.size());
  for (const double value : x) deviations += (value - mean) * (value - mean);
  Row y;
  for (const double value : x)
    y.push_back((value - mean) / std::sqrt(deviations / static_cast<double>(x.size()) + eps));
  return y;
}

Row gelu(Row x) {
  for (double& value : x) value *= 0.5 * (1 + std::erf(value / std::sqrt(2.0)));
  return x;
}

Row added(const lf::ResidualWeights& residual, const Row& x, const Row& stream, double eps) {
  Row y = times(residual.linear, x);
  const Row own = residual.norm.scale != nullptr ? normal(stream, eps) : stream;
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] += residual.norm.scale != nullptr ? own[i] * residual.norm.scale[i] + residual.norm.shift[i] : own[i];
  }
  return y;
}

// Logits of all positions of one sample of one branch.
std::vector<Row> logits_of(const lf::GeneratorWeights& g, const std::int64_t* ids, int tokens, const float* condition,
                           int length) {
  const std::size_t width = g.width, own = width / g.heads;
  std::vector<Row> stream(tokens + 1), qkv(tokens + 1);
  for (int row = 0; row <= tokens; ++row) {
    Row all;
    if (row == 0) {
      all = times(g.condition,
                  condition != nullptr ? Row(condition, condition + g.condition_width) : Row(g.condition_width, 0));
    } else {
      for (std::size_t i = 0; i < 4 * width; ++i)
        all.push_back(number(g.table, ids[row - 1], i) + number(g.positions, row - 1, i));
    }
    stream[row].assign(all.begin(), all.begin() + width);
    qkv[row].assign(all.begin() + width, all.end());
  }
  for (std::size_t l = 0; l < g.layers.size(); ++l) {
    const lf::LayerWeights& layer = g.layers[l];
    for (int row = 0; l > 0 && row <= tokens; ++row) qkv[row] = times(layer.qkv, normal(stream[row], g.eps));
    for (int row = 0; row <= tokens; ++row) {
      Row attended(width, 0);
      for (std::size_t h = 0; row < length && h < g.heads; ++h) {
        Row weights(length, 0);
        double total = 0;
        for (int key = 0; key < length; ++key) {
          if (g.attention == lf::AttentionMode::causal && key > row) continue;
          double score = 0;
          for (std::size_t d = 0; d < own; ++d) score += qkv[row][h * own + d] * qkv[key][width + h * own + d];
          score = score / std::sqrt(static_cast<double>(own)) +
                  (g.attention == lf::AttentionMode::soft_causal && key <= row);
          total += weights[key] = std::exp(score);
        }
        for (int key = 0; key < length; ++key) {
          for (std::size_t d = 0; d < own; ++d)
            attended[h * own + d] += weights[key] / total * qkv[key][2 * width + h * own + d];
        }
      }
      const Row middle = added(layer.attention_output, attended, stream[row], g.eps);
      const Row hidden = gelu(times(layer.feed_forward.expand, normal(middle, g.eps)));
      stream[row] = added(layer.feed_forward.contract, hidden, middle, g.eps);
    }
  }
  std::vector<Row> logits;
  for (int n = 0; n < tokens; ++n) {
    const Row dense = gelu(times(g.dense, normal(stream[n + 1], g.eps)));
    logits.push_back(times(g.logits, normal(dense, g.head_eps)));
  }
  return logits;
}

// A whole request: each step's logits against sums in double precision, each step's codes against the core's.
void generate(RandomModel model, lf::AttentionMode mode, bool exact, lf::cuda::Numbers numbers, int samples, int tokens,
              int steps, bool guided, bool with_known) {
  lf::GeneratorWeights& g = model.weights;
  g.attention = mode, g.padding_is_exact = exact;
  const int codes = static_cast<int>(g.codes);
  const std::string name =
      "generator of width " + std::to_string(g.width) + ", " + std::to_string(tokens) + " tokens: ";
  Error error;
  lf::cuda::Generator generator;
  lf::cuda::Plan plan;
  expect(generator.create(g, numbers, error), name + error.text);
  expect(plan.create(generator, nullptr, {samples, tokens, steps, guided, true}, error), name + error.text);

  const std::vector<float> condition = random(samples * g.condition_width);
  std::vector<std::int64_t> known(samples * tokens, codes), lengths, seeds;
  for (int s = 0; s < samples; ++s) {
    lengths.push_back(std::max(1, tokens - 3 * s));
    seeds.push_back(1234567890123 + s);
    for (int n = 0; with_known && n < tokens; n += 3) known[s * tokens + n] = (n + s) % codes;
  }
  const auto condition_memory = device(condition);
  const auto known_memory = device(known), length_memory = device(lengths), seed_memory = device(seeds);
  lf::cuda::Begin request;
  request.condition = condition_memory.data(), request.lengths = length_memory.data(),
  request.seeds = seed_memory.data();
  if (with_known) request.known = known_memory.data();
  request.options = {guided ? 4.0f : 1.0f, 0.9f, (codes + 9) / 10};

  expect(plan.begin(request, stream, error), name + "begins");
  double worst = 0;
  for (int step = 0; step < steps; ++step) {
    const std::vector<std::int64_t> before = fetched(plan.ids_before(step), samples * tokens);
    expect(plan.step(step, stream, error), name + "a step");
    const int limit = plan.limit(step);
    const std::vector<std::int64_t> after = fetched(plan.ids_before(step + 1), samples * tokens);
    const std::vector<float> all_logits =
        fetched(plan.logits(), static_cast<std::size_t>(guided ? 2 : 1) * samples * limit * generator.logits_stride);
    for (int s = 0; s < samples; ++s) {
      const std::int64_t* const ids = &before[s * tokens];
      const int length = exact ? static_cast<int>(lengths[s]) + 1 : tokens + 1;
      std::vector<std::int64_t> expected(ids, ids + tokens);
      std::vector<float> confidence(tokens, lf::kKept), mixed(codes);
      std::vector<Row> logits[2];
      for (int branch = 0; branch < (guided ? 2 : 1); ++branch) {
        logits[branch] = logits_of(g, ids, tokens, branch == 0 ? &condition[s * g.condition_width] : nullptr, length);
      }
      int row = 0, wanted = 0;
      for (int n = 0; n < tokens; ++n) {
        if (step == 0) wanted += ids[n] == codes;
        if (ids[n] != codes) continue;
        const int at = limit == tokens ? n : row;
        ++row;
        const float* found[2] = {};
        for (int branch = 0; branch < (guided ? 2 : 1); ++branch) {
          found[branch] = all_logits.data() +
                          (static_cast<std::size_t>(branch * samples + s) * limit + at) * generator.logits_stride;
          for (int k = 0; k < codes; ++k) {
            const double off = std::abs(found[branch][k] - logits[branch][n][k]) / (1 + std::abs(logits[branch][n][k]));
            worst = off == off ? std::max(worst, off) : 1e9;
          }
        }
        const lf::Drawn drawn = lf::draw_code(
            found[0], found[1], mixed.data(), codes,
            {request.options.guidance_scale, 0.9f, static_cast<std::size_t>((codes + 9) / 10)},
            {static_cast<std::uint64_t>(seeds[s]), static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(step)}, n,
            nullptr);
        expected[n] = drawn.code, confidence[n] = drawn.confidence;
      }
      static std::vector<int> first_wanted;
      if (step == 0) first_wanted.resize(samples), first_wanted[s] = wanted;
      const std::size_t next = step + 1 < steps ? lf::masked_count(first_wanted[s], step + 1, steps) : 0;
      lf::mask_again(expected.data(), confidence.data(), tokens, next, codes);
      expect(std::equal(expected.begin(), expected.end(), &after[s * tokens]),
             name + "codes of step " + std::to_string(step));
    }
  }
  expect(worst < (numbers == lf::cuda::Numbers::f32 ? 2e-4 : 0.2), name + "logits are off by " + std::to_string(worst));

  const std::vector<std::int64_t> drawn = fetched(plan.ids_before(steps), samples * tokens);
  const Device<std::int64_t> ids(samples * tokens);
  for (int again = 0; again < 2; ++again) {
    expect(plan.launch(request, {ids.data()}, stream, error), name + "the graph runs");
    finish(name + "the graph");
    expect(std::equal(drawn.begin(), drawn.end(), ids.data()), name + "the graph gives what its steps give");
  }
  for (int s = 0; s < samples; ++s) {
    for (int n = 0; n < tokens; ++n) {
      const std::int64_t id = ids[s * tokens + n];
      const bool given = known[s * tokens + n] != codes;
      expect(given            ? id == known[s * tokens + n]
             : n < lengths[s] ? id >= 0 && id < codes
                              : id == codes + 1,
             name + "what ids are");
    }
  }
  request.options.top_k = 0;
  expect(!plan.launch(request, {ids.data()}, stream, error) && error.status == lf::status::invalid_argument,
         "top_k is checked");
}

void generators() {
  using lf::cuda::Numbers;
  generate(RandomModel(40, 2, 72, 33, 9, 13, 3, false), lf::AttentionMode::soft_causal, true, Numbers::f32, 2, 7, 4,
           true, false);
  generate(RandomModel(64, 1, 64, 64, 12, 64, 2, true), lf::AttentionMode::full, false, Numbers::f32, 1, 12, 3, false,
           true);
  generate(RandomModel(64, 2, 96, 40, 50, 20, 1, false), lf::AttentionMode::causal, true, Numbers::bf16, 1, 49, 2, true,
           true);
  generate(RandomModel(100, 1, 70, 20, 2, 7, 2, true), lf::AttentionMode::full, true, Numbers::bf16, 3, 1, 2, true,
           false);

  Error error;
  lf::cuda::Generator generator;
  expect(!generator.create(RandomModel(129, 1, 8, 8, 2, 8, 1, false).weights, Numbers::bf16, error) &&
             error.status == lf::status::unsupported,
         "a head too wide is refused");
  const RandomModel model(32, 1, 8, 8, 2, 8, 1, false);
  lf::cuda::Plan plan;
  expect(generator.create(model.weights, Numbers::bf16, error) &&
             !plan.create(generator, nullptr, {1, 3, 1, true, false}, error) &&
             error.status == lf::status::invalid_argument,
         "too many tokens are refused");
}

// A model file through the C interface, from conditions to joints, against the core, one motion at a time.
void motions(lf::Dtype storage, std::int32_t numbers, std::int32_t steps, bool guided) {
  constexpr std::int32_t samples = 3, tokens = 13;
  lf::TinyModel sizes;
  sizes.storage = storage;
  const std::vector<unsigned char> file = lf::tiny_model(sizes);
  lf::Model model;
  lf::Error core_error;
  expect(model.read(file.data(), file.size(), lf::Precision::f32, lf::system_allocator(), core_error), core_error.text);
  const lf::Executor executor;
  lf::Workspace workspace;
  expect(workspace.create(model, {}, lf::system_allocator(), core_error), core_error.text);

  lf_cuda_error error{};
  lf_cuda_generator* generator = nullptr;
  expect(lf_cuda_generator_create(file.data(), file.size(), numbers, &generator, &error) == LF_CUDA_OK, error.text);
  lf_cuda_generator_info info{};
  info.struct_size = sizeof info;
  expect(lf_cuda_generator_get_info(generator, &info, &error) == LF_CUDA_OK, error.text);
  expect(info.joints == 22 && info.features == 263 && info.frames_of_token == 4, "what the model makes");
  lf_cuda_plan_params params{};
  params.struct_size = sizeof params;
  params.samples = samples, params.tokens = tokens, params.steps = steps, params.guided = guided, params.decodes = 1;
  lf_cuda_plan* plan = nullptr;
  expect(lf_cuda_generator_prepare(generator, &params, &plan, &error) == LF_CUDA_OK, error.text);
  expect(lf_cuda_plan_bytes(plan) > 0, "a plan has memory");

  const std::size_t frames = 4 * tokens;
  const auto condition = device(random(samples * info.condition_width));
  const auto lengths = device(std::vector<std::int64_t>{13, 1, 7});
  const auto seeds = device(std::vector<std::int64_t>{5, -6, 7}),
             numbers_of = device(std::vector<std::int64_t>{2, 0, 1});
  const Device<std::int64_t> ids(samples * tokens);
  const Device<float> features(samples * frames * info.features), joints(samples * frames * info.joints * 3);
  lf_cuda_request request{};
  request.struct_size = sizeof request;
  request.condition = condition.data(), request.lengths = lengths.data(), request.seeds = seeds.data();
  request.sample_numbers = numbers_of.data();
  request.guidance_scale = guided ? 3.0f : 1.0f, request.temperature = 1.1f;
  request.ids = ids.data(), request.features = features.data(), request.joints = joints.data();
  expect(lf_cuda_plan_launch(plan, &request, stream, &error) == LF_CUDA_OK, error.text);
  finish("a motion");

  const bool exact = numbers == LF_CUDA_FLOAT32;
  double worst = 0, worst_joint = 0;
  for (int s = 0; s < samples; ++s) {
    const std::size_t length = static_cast<std::size_t>(lengths[s]), end = 4 * length;
    const float* const own = features.data() + s * frames * info.features;
    lf::GenerationRequest asked;
    asked.condition = condition.data() + s * info.condition_width, asked.tokens = length;
    asked.decoding = {
        static_cast<std::size_t>(steps),          request.guidance_scale, 1.1f, 0, static_cast<std::uint64_t>(seeds[s]),
        static_cast<std::uint32_t>(numbers_of[s])};
    lf::Generation generation;
    expect(generation.begin(model, workspace, executor, asked, core_error), core_error.text);
    while (generation.advance()) {
    }
    if (exact)
      expect(std::equal(generation.ids(), generation.ids() + length, &ids[s * tokens]), "tokens are the core's");
    // In bfloat16 other codes may be drawn; what is made of them must agree.
    std::vector<float> expected(end * info.features), places(end * info.joints * 3);
    expect(model.decode(workspace, executor, &ids[s * tokens], length, expected.data(), core_error), core_error.text);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(own[i]) - expected[i]) / (1 + std::abs(expected[i])));
    }
    lf::RootState root;
    lf::features_to_joints(own, end, lf::kHumanML3D, root, places.data());
    for (std::size_t i = 0; i < places.size(); ++i) {
      worst_joint = std::max<double>(worst_joint, std::abs(joints[s * frames * info.joints * 3 + i] - places[i]));
    }
    for (std::size_t i = end * info.features; i < frames * info.features; ++i)
      expect(own[i] == 0, "zeros beyond a length");
    for (std::size_t n = length; n < tokens; ++n) expect(ids[s * tokens + n] == info.codes + 1, "pads beyond a length");
  }
  expect(worst < (exact ? 1e-5 : 0.1), "features are off by " + std::to_string(worst));
  expect(worst_joint < 1e-4, "joints are off by " + std::to_string(worst_joint));  // sums over frames in another order

  params.steps = 0;
  lf_cuda_plan* decoding = nullptr;
  expect(lf_cuda_generator_prepare(generator, &params, &decoding, &error) == LF_CUDA_OK, error.text);
  const Device<float> again(features.size);
  request = {};
  request.struct_size = sizeof request;
  request.lengths = lengths.data(), request.temperature = 1, request.features = again.data();
  expect(lf_cuda_plan_launch(decoding, &request, stream, &error) == LF_CUDA_ERROR_INVALID_ARGUMENT,
         "nothing to decode");
  request.known = ids.data();
  expect(lf_cuda_plan_launch(decoding, &request, stream, &error) == LF_CUDA_OK, error.text);
  finish("decoding alone");
  expect(std::equal(again.data(), again.data() + again.size, features.data()), "the tokens alone give the same motion");
  lf_cuda_plan_destroy(decoding);

  lf_cuda_plan* none = nullptr;
  params.samples = 1, params.tokens = 1 << 20;
  expect(lf_cuda_generator_prepare(generator, &params, &none, &error) == LF_CUDA_ERROR_INVALID_ARGUMENT,
         "too many frames are refused");
  params.struct_size = 1;
  expect(lf_cuda_generator_prepare(generator, &params, &none, &error) == LF_CUDA_ERROR_STRUCT_SIZE && none == nullptr,
         "a struct of another version is refused");
  lf_cuda_plan_destroy(plan);
  lf_cuda_generator_destroy(generator);
  expect(lf_cuda_generator_create(file.data(), file.size() / 2, numbers, &generator, &error) == LF_CUDA_ERROR_FORMAT,
         "half a file is refused");
}

}  // namespace

int main() {
  Error error;
  if (!lf::cuda::find_device(error)) {
    std::printf("%s\n", error.text);
    return 77;
  }
  stream = make_stream();
  for (const unsigned order : {1u, 5u}) {
#if defined(__CUDACC__)
    std::printf("kernels, round %u\n", order);
#else
    lf::cuda::emulation::set_order(order);  // the last thread first; shuffled
#endif
    linears();
    attentions();
    decodes();
    embed<float>(2, 5, 24);
    embed<bf16>(3, 1, 1032);
    lookups();
  }
  generators();
  motions(lf::Dtype::f32, LF_CUDA_FLOAT32, 4, true);
  motions(lf::Dtype::i8, LF_CUDA_FLOAT32, 2, false);
  motions(lf::Dtype::bf16, LF_CUDA_BFLOAT16, 1, true);
  return failures == 0 ? 0 : 1;
}
