// The innermost loops, for every instruction set that the machine has, against plain sums in double precision.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "attention.h"
#include "codebook.h"
#include "conv.h"
#include "executor.h"
#include "linear.h"

namespace {

using lf::Executor;
using lf::Format;
using lf::Kernels;
using lf::Precision;

int failures = 0;
const char* where = "";

void expect(bool condition, const char* what, double value = 0.0) {
  if (condition) return;
  std::printf("FAILED (%s): %s, %g\n", where, what, value);
  ++failures;
}

// The greater error; a NaN is worse than any other, and stays.
double worse(double worst, double error) { return error > worst || std::isnan(error) ? error : worst; }

// The same numbers on every machine: a linear congruential generator.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2654435761u + 1) {}
  float next() {  // roughly normal
    float sum = 0.0f;
    for (int i = 0; i < 4; ++i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      sum += static_cast<float>(state_ >> 40) * 0x1p-24f - 0.5f;
    }
    return sum * 1.7320508f;
  }
  std::vector<float> many(std::size_t count, float scale = 1.0f, float shift = 0.0f) {
    std::vector<float> values(count);
    for (float& value : values) value = next() * scale + shift;
    return values;
  }

 private:
  std::uint64_t state_;
};

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

float from_bf16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// Scratch whose every byte is poison: NaN as float, as bfloat16 and, for integers, not zero.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : memory_(bytes, lf::system_allocator()) {
    std::memset(memory_.data(), 0xff, memory_.size());
  }
  lf::Arena arena() { return lf::Arena(memory_.data(), memory_.size()); }

 private:
  lf::Buffer<unsigned char> memory_;
};

// A layer whose matrix has so many rows.
lf::LinearWeights floats(const std::vector<float>& matrix, std::size_t outputs, const float* bias = nullptr) {
  return {{lf::Dtype::f32, outputs, matrix.size() / outputs, matrix.data()}, bias};
}

struct LinearCase {
  std::size_t rows, inputs, outputs;
  lf::Preparation preparation;
  lf::Activation activation;
  bool residual, stats, gather;
};

double gelu(double x) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); }

std::vector<float> run_linear(const Kernels& kernels, const Executor& executor, Precision precision,
                              const LinearCase& c, const std::vector<float>& x, const std::vector<float>& residual,
                              const std::vector<float>& stats, const std::vector<std::int32_t>& gathered,
                              const lf::ResidualWeights& weights) {
  const lf::Linear linear(kernels, precision, weights, lf::system_allocator());
  lf::Arena measure;
  lf::LinearInput(kernels, precision, c.rows + 2, c.inputs, measure);
  Scratch scratch(measure.used());
  lf::Arena arena = scratch.arena();
  lf::LinearInput in(kernels, precision, c.rows + 2, c.inputs, arena);
  lf::LinearInput::Options options;
  options.rows = c.gather ? gathered.data() : nullptr;
  in.prepare(executor, x.data(), c.inputs, c.rows, c.preparation, options);

  const std::size_t stride = c.outputs + 3;
  std::vector<float> out(c.rows * stride, 7.0f);
  lf::LinearCall call;
  call.activation = c.activation;
  call.out = lf::float_rows(out.data(), stride);
  if (c.residual) {
    call.residual = residual.data();
    call.residual_stride = c.outputs;
    call.residual_rows = options.rows;
    if (c.stats) call.stats = stats.data();
  }
  linear.run(executor, in, call);
  std::vector<float> result;
  for (std::size_t m = 0; m < c.rows; ++m) {
    for (std::size_t o = 0; o < c.outputs; ++o) result.push_back(out[m * stride + o]);
    for (std::size_t o = c.outputs; o < stride; ++o) expect(out[m * stride + o] == 7.0f, "nothing beside the result");
  }
  return result;
}

void linear_layers(const Kernels& kernels) {
  using lf::Activation;
  using lf::Preparation;
  const LinearCase cases[] = {
      {1, 1, 1, Preparation::plain, Activation::none, false, false, false},
      {7, 5, 33, Preparation::relu, Activation::relu, true, false, false},
      {63, 49, 31, Preparation::plain, Activation::none, true, true, false},
      {49, 63, 70, Preparation::normalise, Activation::gelu, false, false, false},
      {50, 384, 97, Preparation::normalise, Activation::none, true, true, false},
      {13, 130, 64, Preparation::plain, Activation::none, true, true, true},
      {196, 31, 41, Preparation::plain, Activation::gelu, true, false, false},
  };
  const Executor one, two = Executor::pool(2), three = Executor::pool(3);
  for (const LinearCase& c : cases) {
    Random random(c.rows);
    const std::size_t sources = c.rows + 5;
    const std::vector<float> x = random.many(sources * c.inputs, 2.0f, 0.5f);
    const std::vector<float> residual = random.many(sources * c.outputs, 3.0f, 1.0f);
    const std::vector<float> w = random.many(c.outputs * c.inputs, 1.0f / std::sqrt(static_cast<float>(c.inputs)));
    const std::vector<float> bias = random.many(c.outputs), scale = random.many(c.outputs),
                             shift = random.many(c.outputs);
    std::vector<float> stats = random.many(2 * sources);
    std::vector<std::int32_t> gathered(c.rows);
    for (std::size_t m = 0; m < c.rows; ++m) gathered[m] = static_cast<std::int32_t>((m * 3) % sources);

    lf::ResidualWeights weights = {floats(w, c.outputs, bias.data()), {}};
    if (c.stats) weights.norm = {scale.data(), shift.data()};

    for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8}) {
      const std::vector<float> got = run_linear(kernels, one, precision, c, x, residual, stats, gathered, weights);
      for (const Executor* executor : {&two, &three}) {
        const std::vector<float> again =
            run_linear(kernels, *executor, precision, c, x, residual, stats, gathered, weights);
        expect(std::memcmp(got.data(), again.data(), got.size() * sizeof(float)) == 0, "bits whatever the threads");
      }
      double worst = 0.0;
      for (std::size_t m = 0; m < c.rows; ++m) {
        const std::size_t from = c.gather ? static_cast<std::size_t>(gathered[m]) : m;
        std::vector<double> row(x.begin() + static_cast<std::ptrdiff_t>(from * c.inputs),
                                x.begin() + static_cast<std::ptrdiff_t>((from + 1) * c.inputs));
        if (c.preparation == Preparation::normalise) {
          double mean = 0.0, squares = 0.0;
          for (const double v : row) mean += v / static_cast<double>(c.inputs);
          for (const double v : row) squares += (v - mean) * (v - mean) / static_cast<double>(c.inputs);
          for (double& v : row) v = (v - mean) / std::sqrt(squares + 1e-5);
        }
        if (c.preparation == Preparation::relu) {
          for (double& v : row) v = v > 0.0 ? v : 0.0;
        }
        for (std::size_t o = 0; o < c.outputs; ++o) {
          double y = bias[o];
          for (std::size_t i = 0; i < c.inputs; ++i) y += row[i] * static_cast<double>(w[o * c.inputs + i]);
          if (c.activation == Activation::gelu) y = gelu(y);
          if (c.activation == Activation::relu) y = y > 0.0 ? y : 0.0;
          if (c.residual) {
            const double r = residual[from * c.outputs + o];
            y += c.stats ? (r - stats[2 * from]) * stats[2 * from + 1] * scale[o] + shift[o] : r;
          }
          worst = worse(worst, std::fabs(y - got[m * c.outputs + o]));
        }
      }
      // Sums of terms whose squares add up to a few: what rounding each factor to 8 bits of mantissa (bf16) or to 127
      // and 255 steps (int8) leaves, five deviations of it.
      const double allowed = precision == Precision::f32 ? 2e-5 : precision == Precision::bf16 ? 4e-2 : 8e-2;
      expect(worst < allowed,
             precision == Precision::f32    ? "linear f32"
             : precision == Precision::bf16 ? "linear bf16"
                                            : "linear int8",
             worst);
    }
  }
}

void layers_in_a_row(const Kernels& kernels) {
  // One layer writes straight into the input of the next; the same as through memory of one's own.
  constexpr std::size_t rows = 17, width = 45, hidden = 83, out_width = 9;
  Random random(5);
  const std::vector<float> x = random.many(rows * width), w1 = random.many(hidden * width, 0.2f);
  const std::vector<float> w2 = random.many(out_width * hidden, 0.2f);
  const Executor executor = Executor::pool(2);
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8}) {
    const lf::Linear one(kernels, precision, floats(w1, hidden), lf::system_allocator());
    const lf::Linear two(kernels, precision, floats(w2, out_width), lf::system_allocator());
    Scratch scratch(1 << 18);
    lf::Arena arena = scratch.arena();
    lf::LinearInput in(kernels, precision, rows, width, arena), between(kernels, precision, rows, hidden, arena),
        copied(kernels, precision, rows, hidden, arena);
    std::vector<float> straight(rows * out_width), through(rows * out_width), memory(rows * hidden);
    in.prepare(executor, x.data(), width, rows);
    lf::LinearCall call;
    call.activation = lf::Activation::gelu;
    call.out = between.target(rows);
    one.run(executor, in, call);
    between.ready(executor);
    call.out = lf::float_rows(memory.data(), hidden);
    one.run(executor, in, call);
    copied.prepare(executor, memory.data(), hidden, rows);
    lf::LinearCall last;
    last.out = lf::float_rows(straight.data(), out_width);
    two.run(executor, between, last);
    last.out = lf::float_rows(through.data(), out_width);
    two.run(executor, copied, last);
    expect(std::memcmp(straight.data(), through.data(), straight.size() * sizeof(float)) == 0,
           "straight into the next");
  }
}

void stored_weights(const Kernels& kernels) {
  // A weight of bfloat16 or int8 with scales is what it says, in float32 too.
  constexpr std::size_t inputs = 19, outputs = 5;
  std::vector<std::uint16_t> narrow(inputs * outputs);
  std::vector<std::int8_t> eight(inputs * outputs);
  std::vector<float> scale(outputs), x(inputs, 0.0f), wide(inputs * outputs);
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    narrow[i] = static_cast<std::uint16_t>(0x3f00 + i * 5);
    eight[i] = static_cast<std::int8_t>(static_cast<int>(i * 37 % 255) - 127);
  }
  for (std::size_t o = 0; o < outputs; ++o) scale[o] = 0.01f * static_cast<float>(o + 1);
  Scratch scratch(1 << 14);
  lf::Arena arena = scratch.arena();
  lf::LinearInput in(kernels, Precision::f32, 1, inputs, arena);
  x[3] = 1.0f;
  const Executor executor;
  in.prepare(executor, x.data(), inputs, 1);
  float out[outputs];
  lf::LinearCall call;
  call.out = lf::float_rows(out, outputs);
  lf::LinearWeights weights = {{lf::Dtype::bf16, outputs, inputs, narrow.data()}};
  lf::Linear(kernels, Precision::f32, weights, lf::system_allocator()).run(executor, in, call);
  for (std::size_t o = 0; o < outputs; ++o)
    expect(out[o] == from_bf16(narrow[o * inputs + 3]), "bf16 is read as it is");
  weights.matrix = {lf::Dtype::i8, outputs, inputs, eight.data(), scale.data()};
  lf::Linear(kernels, Precision::f32, weights, lf::system_allocator()).run(executor, in, call);
  for (std::size_t o = 0; o < outputs; ++o) {
    expect(out[o] == scale[o] * static_cast<float>(eight[o * inputs + 3]), "int8 times its scale");
  }
}

// The largest sums of int8 products that a model file may ask for fit into 32 bits.
void widest_sums(const Kernels& kernels) {
  constexpr std::size_t inputs = 1 << 16;
  const std::vector<std::int8_t> lowest(inputs, -128);
  const float scale = 1.0f;
  const lf::LinearWeights weights = {{lf::Dtype::i8, 1, inputs, lowest.data(), &scale}};
  Scratch scratch(1 << 20);
  lf::Arena arena = scratch.arena();
  lf::LinearInput in(kernels, Precision::int8, 1, inputs, arena);
  std::vector<float> x(inputs, 1.0f);
  x[0] = 0.0f;  // all others become 255
  const Executor executor;
  in.prepare(executor, x.data(), inputs, 1);
  float out;
  lf::LinearCall call;
  call.out = lf::float_rows(&out, 1);
  lf::Linear(kernels, Precision::int8, weights, lf::system_allocator()).run(executor, in, call);
  expect(std::fabs(out / (-128.0 * (inputs - 1)) - 1.0) < 1e-5, "the widest sum", out);
}

void attend(const Kernels& kernels, std::size_t batch, std::size_t queries, std::size_t keys, std::size_t heads,
            std::size_t width, lf::AttentionMode mode, Precision precision) {
  const Format format = lf::attention_format(kernels, precision, width);
  Random random(queries * 31 + keys);
  const std::size_t d = heads * width, stride = 3 * d + 2;
  std::vector<float> q = random.many(batch * queries * stride), k = random.many(batch * keys * stride);
  std::vector<float> v = random.many(batch * keys * stride);
  std::vector<std::uint16_t> q16(q.size()), k16(k.size()), v16(v.size());
  const auto rows = [&](std::vector<float>& wide, std::vector<std::uint16_t>& narrow) {
    if (format == Format::f32) return lf::float_rows(wide.data(), stride);
    kernels.convert(wide.data(), wide.size(), Format::bf16, narrow.data());
    for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = from_bf16(narrow[i]);
    return lf::Rows{narrow.data(), stride, Format::bf16};
  };
  lf::AttentionCall call;
  call.batch = batch, call.queries = queries, call.keys = keys, call.heads = heads, call.head_width = width;
  call.q = rows(q, q16), call.k = rows(k, k16), call.v = rows(v, v16);
  call.mode = mode;
  std::vector<float> out(batch * queries * d, kPoison), again(out);
  call.out = lf::float_rows(out.data(), d);
  Scratch scratch(lf::attention_scratch(kernels, batch, keys, heads, width));
  lf::Arena arena = scratch.arena();
  unsigned char* memory = arena.take<unsigned char>(1);
  lf::attention(kernels, Executor(), call, memory);
  call.out = lf::float_rows(again.data(), d);
  lf::attention(kernels, Executor::pool(3), call, memory);
  expect(std::memcmp(out.data(), again.data(), out.size() * sizeof(float)) == 0, "attention bits whatever the threads");

  double worst = 0.0;
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t m = 0; m < queries; ++m) {
        const float* row = out.data() + (b * queries + m) * d + h * width;
        const std::size_t position = keys - queries + m;
        std::vector<double> weights(keys, 0.0), expected(width, 0.0);
        double sum = 0.0;
        for (std::size_t n = 0; n < keys; ++n) {
          if (mode == lf::AttentionMode::causal && n > position) continue;
          double score = 0.0;
          for (std::size_t i = 0; i < width; ++i) {
            score += static_cast<double>(q[(b * queries + m) * stride + h * width + i]) *
                     static_cast<double>(k[(b * keys + n) * stride + h * width + i]);
          }
          score /= std::sqrt(static_cast<double>(width));
          if (mode == lf::AttentionMode::soft_causal && n <= position) score += 1.0;
          weights[n] = std::exp(score);
          sum += weights[n];
        }
        for (std::size_t n = 0; n < keys; ++n) {
          for (std::size_t i = 0; i < width; ++i) {
            expected[i] += weights[n] / sum * static_cast<double>(v[(b * keys + n) * stride + h * width + i]);
          }
        }
        for (std::size_t i = 0; i < width; ++i) worst = worse(worst, std::fabs(expected[i] - row[i]));
      }
    }
  }
  // bf16: the weights, at most 1 in sum, are rounded to 8 bits.
  expect(worst < (format == Format::f32 ? 3e-6 : 8e-3), "attention", worst);
}

void attentions(const Kernels& kernels) {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    for (const lf::AttentionMode mode :
         {lf::AttentionMode::full, lf::AttentionMode::soft_causal, lf::AttentionMode::causal}) {
      for (const std::size_t n : {1, 7, 49, 63}) attend(kernels, 2, n, n, 3, 24, mode, precision);
      for (const std::size_t width : {1, 13}) attend(kernels, 2, 49, 49, 3, width, mode, precision);
      attend(kernels, 1, 196, 196, 1, 64, mode, precision);
      attend(kernels, 1, 5, 50, 2, 32, mode, precision);
    }
    attend(kernels, 2, 49, 33, 2, 64, lf::AttentionMode::full, precision);
  }
  attend(kernels, 1, 6, 6, 2, 7, lf::AttentionMode::full, Precision::f32);
}

void convolutions(const Kernels& kernels) {
  struct Case {
    std::size_t t, inputs, outputs, taps, stride, dilation, padding;
  };
  const Case cases[] = {{1, 4, 3, 3, 1, 1, 1},
                        {7, 31, 33, 3, 1, 3, 3},
                        {49, 40, 70, 3, 1, 9, 9},
                        {63, 9, 20, 4, 2, 1, 1},
                        {196, 17, 5, 1, 1, 1, 0}};
  const Executor one, three = Executor::pool(3);
  for (const Case& c : cases) {
    Random random(c.t);
    const std::vector<float> x = random.many(c.t * c.inputs), bias = random.many(c.outputs);
    const std::vector<float> w =
        random.many(c.outputs * c.taps * c.inputs, 1.0f / std::sqrt(static_cast<float>(c.taps * c.inputs)));
    const lf::ConvWeights weights = {floats(w, c.outputs, bias.data()), c.inputs, c.taps, c.dilation, c.stride};
    for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8}) {
      const lf::Conv conv(kernels, precision, weights, c.padding, lf::system_allocator());
      Scratch scratch(1 << 18);
      lf::Arena arena = scratch.arena();
      lf::LinearInput in(kernels, precision, c.t + 1, c.inputs, arena, c.padding);
      in.prepare(one, x.data(), c.inputs, c.t, lf::Preparation::relu);
      const std::size_t rows = conv.output_rows(c.t);
      std::vector<float> out(rows * c.outputs, kPoison), again(out);
      lf::LinearCall call;
      call.out = lf::float_rows(out.data(), c.outputs);
      conv.run(one, in, call);
      call.out = lf::float_rows(again.data(), c.outputs);
      conv.run(three, in, call);
      expect(std::memcmp(out.data(), again.data(), out.size() * sizeof(float)) == 0, "conv bits whatever the threads");
      double worst = 0.0;
      for (std::size_t t = 0; t < rows; ++t) {
        for (std::size_t o = 0; o < c.outputs; ++o) {
          double y = bias[o];
          for (std::size_t tap = 0; tap < c.taps; ++tap) {
            const std::size_t place = t * c.stride + tap * c.dilation;
            if (place < c.padding || place - c.padding >= c.t) continue;
            for (std::size_t i = 0; i < c.inputs; ++i) {
              y += std::fmax(0.0, x[(place - c.padding) * c.inputs + i]) *
                   static_cast<double>(w[(o * c.taps + tap) * c.inputs + i]);
            }
          }
          worst = worse(worst, std::fabs(y - out[t * c.outputs + o]));
        }
      }
      expect(worst < (precision == Precision::f32 ? 1e-5 : 3e-2), "convolution", worst);
    }
  }
}

void upsampling(const Kernels& kernels, Precision precision) {
  constexpr std::size_t inputs = 5, outputs = 6;
  for (const std::size_t t : {1, 7, 49}) {
    Random random(t);
    const std::vector<float> x = random.many(t * inputs), w = random.many(2 * outputs * 2 * inputs);
    lf::UpsampleWeights weights = {floats(w, 2 * outputs), floats(w, 2 * outputs)};
    weights.even.matrix.rows = weights.odd.matrix.rows = outputs;
    weights.odd.matrix.data = w.data() + outputs * 2 * inputs;
    const lf::UpsampleConv conv(kernels, precision, weights, lf::system_allocator());
    Scratch scratch(1 << 16);
    lf::Arena arena = scratch.arena();
    lf::LinearInput in(kernels, precision, t + 1, inputs, arena, 1);
    const Executor executor;
    in.prepare(executor, x.data(), inputs, t);
    std::vector<float> out(2 * t * outputs, kPoison);
    lf::LinearCall call;
    call.out = lf::float_rows(out.data(), outputs);
    conv.run(executor, in, call);
    double worst = 0.0;
    for (std::size_t s = 0; s < 2 * t; ++s) {
      const std::size_t phase = s % 2;
      for (std::size_t o = 0; o < outputs; ++o) {
        double y = 0.0;
        for (std::size_t tap = 0; tap < 2; ++tap) {
          const std::size_t place = s / 2 + phase + tap;  // one more than the row
          if (place < 1 || place > t) continue;
          for (std::size_t i = 0; i < inputs; ++i) {
            y += static_cast<double>(x[(place - 1) * inputs + i]) *
                 static_cast<double>(w[((phase * outputs + o) * 2 + tap) * inputs + i]);
          }
        }
        worst = worse(worst, std::fabs(y - out[s * outputs + o]));
      }
    }
    expect(worst < (precision == Precision::f32 ? 1e-5 : 0.1), "upsampling", worst);
  }
}

std::int64_t plainly_nearest(const float* x, const std::vector<float>& codebook, std::size_t width) {
  std::int64_t index = -1;
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t k = 0; k * width < codebook.size(); ++k) {
    double distance = 0.0;
    for (std::size_t d = 0; d < width; ++d) {
      const double difference = static_cast<double>(x[d]) - static_cast<double>(codebook[k * width + d]);
      distance += difference * difference;
    }
    if (distance < best) {
      best = distance;
      index = static_cast<std::int64_t>(k);
    }
  }
  return index;
}

void codebooks(const Kernels& kernels) {
  const Executor one, three = Executor::pool(3);
  for (const std::size_t width : {1, 7, 49, 63, 130}) {
    for (const std::size_t rows : {1, 7, 33, 100}) {
      const std::size_t codes = 5 + rows;
      Random random(width + rows);
      // A common offset makes the scores of all codes nearly equal, and three codes stand twice.
      std::vector<float> codebook = random.many(codes * width, 1.0f, rows == 33 ? 300.0f : 0.0f);
      for (std::size_t d = 0; d < width; ++d) codebook[(codes - 1) * width + d] = codebook[2 * width + d];
      std::vector<float> x = random.many(rows * width, 1.0f, rows == 33 ? 300.0f : 0.0f);
      for (std::size_t d = 0; d < width; ++d) x[(rows - 1) * width + d] = codebook[2 * width + d];
      if (rows > 1) x[width - 1] = kPoison;
      if (rows > 7) x[2 * width - 1] = 1e30f;
      std::vector<std::int64_t> found(rows, -7);
      for (const Executor* executor : {&one, &three}) {
        Scratch scratch(lf::codebook_scratch(kernels, *executor, codes, width));
        unsigned char* memory = scratch.arena().take<unsigned char>(1);
        const bool complete = lf::codebook_lookup(kernels, *executor, x.data(), rows, codebook.data(), codes, width,
                                                  found.data(), memory);
        expect(complete == (rows == 1), "a row that is not finite is reported");
        for (std::size_t m = 0; m < rows; ++m) {
          const bool nan = rows > 1 && m == 0;
          const std::int64_t nearest = nan ? -1 : plainly_nearest(x.data() + m * width, codebook, width);
          expect(found[m] == nearest, "the nearest code", static_cast<double>(found[m]));
        }
      }
      expect(found[rows - 1] == 2, "the lowest of two equal codes");
    }
  }

  // Levels: what a level leaves is the next one's input.
  constexpr std::size_t rows = 49, width = 24, codes = 17, levels = 3;
  Random random(9);
  const std::vector<float> x = random.many(rows * width), books = random.many(levels * codes * width, 0.6f);
  std::vector<std::int64_t> found(rows * levels);
  std::vector<float> quantized(rows * width);
  Scratch scratch(lf::codebook_scratch(kernels, three, codes, width, levels));
  unsigned char* memory = scratch.arena().take<unsigned char>(1);
  expect(lf::residual_codebook_lookup(kernels, three, x.data(), rows, books.data(), levels, codes, width, found.data(),
                                      quantized.data(), memory),
         "all levels found");
  for (std::size_t m = 0; m < rows; ++m) {
    std::vector<float> left(x.begin() + static_cast<std::ptrdiff_t>(m * width),
                            x.begin() + static_cast<std::ptrdiff_t>((m + 1) * width));
    std::vector<float> sum(width, 0.0f);
    for (std::size_t level = 0; level < levels; ++level) {
      const auto begin = books.begin() + static_cast<std::ptrdiff_t>(level * codes * width);
      const std::vector<float> book(begin, begin + static_cast<std::ptrdiff_t>(codes * width));
      const std::int64_t nearest = plainly_nearest(left.data(), book, width);
      expect(found[m * levels + level] == nearest, "the nearest code of a level");
      for (std::size_t d = 0; d < width; ++d) {
        left[d] -= book[static_cast<std::size_t>(nearest) * width + d];
        sum[d] += book[static_cast<std::size_t>(nearest) * width + d];
      }
    }
    expect(std::memcmp(sum.data(), quantized.data() + m * width, width * sizeof(float)) == 0, "the sum of the codes");
  }
}

double ulp(double exact) {
  const float near = static_cast<float>(exact);
  return static_cast<double>(std::nextafter(std::fabs(near), std::numeric_limits<float>::infinity())) -
         static_cast<double>(std::fabs(near));
}

void functions(const Kernels& kernels) {
  std::vector<float> x, y;
  for (int i = -8700; i <= 8800; ++i) x.push_back(static_cast<float>(i) * 0.01f + 1e-4f * static_cast<float>(i % 7));
  y.resize(x.size());
  kernels.exp(x.data(), x.size(), y.data());
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] < -87.0f || x[i] > 88.0f) continue;
    const double exact = std::exp(static_cast<double>(x[i]));
    worst = worse(worst, std::fabs(y[i] - exact) / ulp(exact));
  }
  expect(worst < 2.0, "exp, ulp", worst);

  kernels.gelu(x.data(), x.size(), y.data());
  worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    worst = worse(worst, std::fabs(y[i] - gelu(x[i])) / (1.0 + std::fabs(static_cast<double>(x[i]))));
  }
  expect(worst < 2e-7, "gelu", worst);

  Random random(3);
  for (const std::size_t count : {1, 7, 49, 63, 196}) {
    const std::vector<float> a = random.many(count), b = random.many(count);
    double exact = 0.0;
    for (std::size_t i = 0; i < count; ++i) exact += static_cast<double>(a[i]) * b[i];
    expect(std::fabs(kernels.dot(a.data(), b.data(), count) - exact) < 1e-5, "dot");
  }
}

void executors() {
  // Every task once, from several callers at a time.
  for (const std::size_t threads : {1, 2, 3, 5}) {
    const Executor executor = Executor::pool(threads);
    std::vector<int> hits(1000);
    for (int round = 0; round < 200; ++round) {
      const std::size_t tasks = static_cast<std::size_t>(round * 5);
      executor.run(tasks, [&](std::size_t i) { ++hits[i]; });
      for (std::size_t i = 0; i < hits.size(); ++i) expect(hits[i] == (i < tasks ? 1 : 0), "each task once");
      for (int& hit : hits) hit = 0;
    }
    std::atomic<int> inner{0};
    executor.run(2, [&](std::size_t) { executor.run(3, [&](std::size_t i) { inner += i == 2; }); });
    expect(inner == 2, "a task may run tasks");
  }
  const lf::ParallelFor backwards = {[](void*, std::size_t tasks, lf::Task task, void* context) {
                                       while (tasks > 0) task(context, --tasks);
                                     },
                                     nullptr, 4};
  std::size_t sum = 0;
  Executor(backwards).run(10, [&](std::size_t i) { sum += i; });
  expect(sum == 45, "an engine's own threads");
}

// Everything, by a caller that has so many bytes on its stack.
template <std::size_t kBytes>
void from_a_stack_of(const Kernels& kernels) {
  volatile char bytes[kBytes];
  bytes[0] = 0;
  functions(kernels);
  linear_layers(kernels);
  layers_in_a_row(kernels);
  stored_weights(kernels);
  widest_sums(kernels);
  attentions(kernels);
  convolutions(kernels);
  upsampling(kernels, Precision::f32);
  upsampling(kernels, Precision::int8);
  codebooks(kernels);
  static_cast<void>(bytes[0]);
}

}  // namespace

int main() {
  executors();
  // Callers align their stacks to 16 bytes: kernels may rely on no more for the vectors that they keep there.
  void (*volatile const callers[])(const Kernels&) = {from_a_stack_of<16>, from_a_stack_of<32>, from_a_stack_of<48>,
                                                      from_a_stack_of<64>};
  for (const lf::Isa isa : lf::kIsas) {
    const Kernels* kernels = lf::find_kernels(isa);
    if (kernels == nullptr) continue;
    where = lf::isa_name(isa);
    std::printf("%s\n", where);
    for (const auto& caller : callers) caller(*kernels);
  }
  return failures == 0 ? 0 : 1;
}
