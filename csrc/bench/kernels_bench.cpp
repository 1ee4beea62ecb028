// Times the core's products, attention and codebook lookup on one thread: share of the peak that a loop over registers
// reaches in this process, and oneDNN beside them where the build found it. Ways are called in turn; the best call
// counts, since whatever else the machine does only adds to it.
//
//   cmake -S . -B build/bench -DLAMP_FAST_BENCH=ON [-DCMAKE_PREFIX_PATH=<folder of oneDNN>]
//   cmake --build build/bench --target kernels_bench && OMP_NUM_THREADS=1 build/bench/kernels_bench [seconds a row]
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "attention.h"
#include "codebook.h"
#include "linear.h"
#include "peak.h"

#if defined(LF_HAS_ONEDNN)
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace {

using lf::Executor;
using lf::Format;
using lf::Precision;
using Clock = std::chrono::steady_clock;

double seconds_a_row = 0.3;

struct Way {
  std::string name;
  double operations;
  std::function<void()> call;
  double best = 1e9;
};

void time_in_turn(std::vector<Way>& ways) {
  const Clock::time_point end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(seconds_a_row * static_cast<double>(ways.size())));
  for (Way& way : ways) way.call();
  do {
    for (Way& way : ways) {
      const Clock::time_point start = Clock::now();
      way.call();
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      way.best = seconds < way.best ? seconds : way.best;
    }
  } while (Clock::now() < end);
}

// A buffer that a LinearInput is laid out over.
struct Input {
  lf::Buffer<unsigned char> memory;
  lf::LinearInput rows;

  Input(const lf::Kernels& kernels, Precision precision, std::size_t count, std::size_t width) {
    lf::Arena measure;
    lf::LinearInput(kernels, precision, count, width, measure);
    memory = lf::Buffer<unsigned char>(measure.used(), lf::system_allocator());
    lf::Arena arena(memory.data(), memory.size());
    rows = lf::LinearInput(kernels, precision, count, width, arena);
  }
};

std::vector<float> numbers(std::size_t count, float scale, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = scale * (static_cast<float>(random() >> 40) * 0x1p-23f - 1.0f);
  return values;
}

const char* name_of(Precision precision) {
  return precision == Precision::f32 ? "f32" : precision == Precision::bf16 ? "bf16" : "int8";
}

#if defined(LF_HAS_ONEDNN)

// x (m,k) in the precision's own numbers by a weight that oneDNN has packed, into float32, with bias; for int8 it
// leaves out the scales of rows and columns, which ours applies.
class OneDnn {
 public:
  OneDnn(Precision precision, std::size_t m, std::size_t k, std::size_t n, lf::Activation activation)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using Type = dnnl::memory::data_type;
    using Tag = dnnl::memory::format_tag;
    const auto dim = [](std::size_t size) { return static_cast<dnnl::memory::dim>(size); };
    const Type in = precision == Precision::f32 ? Type::f32 : precision == Precision::bf16 ? Type::bf16 : Type::u8;
    const Type weight = precision == Precision::int8 ? Type::s8 : in;
    const dnnl::memory::desc x({dim(m), dim(k)}, in, Tag::ab), y({dim(m), dim(n)}, Type::f32, Tag::ab);
    const dnnl::memory::desc w({dim(k), dim(n)}, weight, Tag::any), b({1, dim(n)}, Type::f32, Tag::ab);
    dnnl::post_ops after;
    if (activation == lf::Activation::gelu) after.append_eltwise(dnnl::algorithm::eltwise_gelu_erf, 0.0f, 0.0f);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(after);
    const dnnl::matmul::primitive_desc description(engine_, x, w, b, y, attributes);
    product_ = dnnl::matmul(description);
    arguments_ = {{DNNL_ARG_SRC, filled(x)},
                  {DNNL_ARG_WEIGHTS, filled(description.weights_desc())},
                  {DNNL_ARG_BIAS, filled(b)},
                  {DNNL_ARG_DST, filled(y)}};
  }
  void run() {
    product_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::memory filled(const dnnl::memory::desc& description) {
    dnnl::memory memory(description, engine_);
    std::memset(memory.get_data_handle(), 0, description.get_size());
    return memory;
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul product_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

#endif

double peaks[3];

void measure_peaks() {
  std::printf("peak from registers, G operations/s:");
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8}) {
    constexpr std::size_t kRounds = 20000;
    std::vector<Way> ways{{"peak", static_cast<double>(peak_operations(precision, kRounds)),
                           [=] { peak_operations(precision, kRounds); }}};
    time_in_turn(ways);
    peaks[static_cast<int>(precision)] = ways[0].operations / ways[0].best;
    std::printf(" %s %.0f", name_of(precision), peaks[static_cast<int>(precision)] * 1e-9);
  }
  std::printf("\n");
}

void report(const std::vector<Way>& ways, double peak) {
  for (const Way& way : ways) {
    std::printf("  %s %.1f us", way.name.c_str(), way.best * 1e6);
    if (peak > 0.0 && way.operations > 0.0) std::printf(" %.0f %%", 100.0 * way.operations / way.best / peak);
  }
}

void products(const lf::Kernels& kernels, std::size_t m, std::size_t k, std::size_t n, lf::Activation activation) {
  std::printf("%zu x %zu -> %zu%s\n", m, k, n, activation == lf::Activation::gelu ? ", gelu" : "");
  const Executor executor;
  const std::vector<float> w = numbers(n * k, 0.05f), x = numbers(m * k, 2.0f);
  std::vector<float> y(m * n);
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8}) {
    const lf::LinearWeights weights = {{lf::Dtype::f32, n, k, w.data()}};
    const lf::Linear linear(kernels, precision, weights, lf::system_allocator());
    Input in(kernels, precision, m, k);
    in.rows.prepare(executor, x.data(), k, m);
    lf::LinearCall call;
    call.activation = activation;
    call.out = lf::float_rows(y.data(), n);
    const double operations = 2.0 * static_cast<double>(m * k * n);
    std::vector<Way> ways;
    ways.push_back({"ours", operations, [&] { linear.run(executor, in.rows, call); }});
#if defined(LF_HAS_ONEDNN)
    OneDnn other(precision, m, k, n, activation);
    ways.push_back({"oneDNN", operations, [&] { other.run(); }});
#endif
    ways.push_back(
        {"rows prepared", 0.0, [&] { in.rows.prepare(executor, x.data(), k, m, lf::Preparation::normalise); }});
    time_in_turn(ways);
    std::printf("  %-4s", name_of(precision));
    report(ways, peaks[static_cast<int>(precision)]);
    std::printf("\n");
  }
}

void attentions(const lf::Kernels& kernels, std::size_t batch, std::size_t rows, std::size_t heads, std::size_t width) {
  std::printf("attention, %zu samples of %zu rows, %zu heads of %zu\n", batch, rows, heads, width);
  const std::size_t stride = 3 * heads * width;
  const std::vector<float> wide = numbers(batch * rows * stride, 1.0f);
  std::vector<std::uint16_t> narrow(wide.size());
  kernels.convert(wide.data(), wide.size(), Format::bf16, narrow.data());
  std::vector<float> out(batch * rows * heads * width);
  lf::Buffer<unsigned char> scratch(lf::attention_scratch(kernels, batch, rows, heads, width), lf::system_allocator());
  for (const Format format : {Format::f32, Format::bf16}) {
    if (kernels.tile[static_cast<int>(format)].run == nullptr) continue;
    lf::AttentionCall call;
    call.batch = batch, call.queries = call.keys = rows, call.heads = heads, call.head_width = width;
    call.q = {format == Format::f32 ? static_cast<void*>(const_cast<float*>(wide.data())) : narrow.data(), stride,
              format};
    call.k = call.q.from_column(heads * width), call.v = call.q.from_column(2 * heads * width);
    call.mode = lf::AttentionMode::soft_causal;
    call.out = lf::float_rows(out.data(), heads * width);
    std::vector<Way> ways{{"ours", 4.0 * static_cast<double>(batch * heads * rows * rows * width),
                           [&] { lf::attention(kernels, Executor(), call, scratch.data()); }}};
    time_in_turn(ways);
    std::printf("  %-4s", format == Format::f32 ? "f32" : "bf16");
    report(ways, peaks[format == Format::f32 ? 0 : 1]);
    std::printf("\n");
  }
}

void codebooks(const lf::Kernels& kernels, std::size_t rows, std::size_t codes, std::size_t width) {
  std::printf("codebook lookup, %zu rows, %zu codes of %zu\n", rows, codes, width);
  const std::vector<float> x = numbers(rows * width, 1.0f), book = numbers(codes * width, 1.0f, 2);
  std::vector<std::int64_t> found(rows);
  const Executor executor;
  lf::Buffer<unsigned char> scratch(lf::codebook_scratch(kernels, executor, codes, width), lf::system_allocator());
  std::vector<Way> ways{{"ours", 2.0 * static_cast<double>(rows * codes * width), [&] {
                           lf::codebook_lookup(kernels, executor, x.data(), rows, book.data(), codes, width,
                                               found.data(), scratch.data());
                         }}};
  time_in_turn(ways);
  std::printf("  f32 ");
  report(ways, peaks[0]);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) seconds_a_row = std::atof(argv[1]);
  const lf::Kernels& kernels = lf::best_kernels();
  std::printf("%s, one thread\n", lf::isa_name(kernels.isa));
  measure_peaks();
  // Two branches of 50 rows through one layer: queries, keys and values; attention's output; up; down; then the head.
  for (const std::size_t width : {256, 384, 512}) {
    products(kernels, 100, width, 3 * width, lf::Activation::none);
    products(kernels, 100, width, width, lf::Activation::none);
    products(kernels, 100, width, 1024, lf::Activation::none);
    products(kernels, 100, width, 1024, lf::Activation::gelu);
    products(kernels, 100, 1024, width, lf::Activation::none);
  }
  products(kernels, 49, 512, 512, lf::Activation::none);
  products(kernels, 196, 1536, 512, lf::Activation::none);
  products(kernels, 1, 768, 2048, lf::Activation::none);
  attentions(kernels, 2, 50, 4, 64);
  attentions(kernels, 2, 50, 6, 64);
  attentions(kernels, 2, 50, 8, 64);
  attentions(kernels, 1, 196, 8, 64);
  codebooks(kernels, 49, 512, 512);
  codebooks(kernels, 512, 512, 512);
  codebooks(kernels, 1024, 512, 32);
  return 0;
}
