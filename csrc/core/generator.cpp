#include "generator.h"

#include <algorithm>
#include <cstring>

namespace lf {
namespace {

constexpr std::size_t kDrawnAtOnce = 4;  // positions in one task

}  // namespace

Generator::Scratch::Scratch(const Generator& generator, Arena& arena) noexcept {
  const Kernels& kernels = *generator.kernels_;
  const Precision precision = generator.precision_;
  const std::size_t width = generator.width_, most = generator.max_tokens_, rows = 2 * (1 + most);
  stream = ResidualStream(kernels, precision, rows, width, generator.heads_, generator.feedforward_, generator.epsilon_,
                          arena);
  const Format format = stream.qkv.format;
  condition = LinearInput(kernels, Precision::f32, 1, generator.condition_width_, arena);
  row = arena.take<float>(8 * width);
  embedded = arena.take<float>(rows * width);
  embedded_qkv = {arena.take<unsigned char>(rows * 3 * width * format_size(format)), 3 * width, format};
  gathered = arena.take<float>(2 * most * width);
  queries = {arena.take<unsigned char>(2 * most * width * format_size(format)), width, format};
  dense = arena.take<float>(2 * most * width);
  dense_input = LinearInput(kernels, precision, 2 * most, width, arena);
  logits = arena.take<float>(2 * most * generator.codes_);
  confidence = arena.take<float>(most);
  shown = arena.take<std::int64_t>(most);
  masked = arena.take<std::int32_t>(most);
  masked_rows = arena.take<std::int32_t>(2 * most);
  asking = arena.take<std::int32_t>(2 * most);
  attention =
      arena.take<unsigned char>(attention_scratch(kernels, 2, 1 + most, generator.heads_, width / generator.heads_));
}

Generator::FirstStep::FirstStep(const Generator& generator, Arena& arena) noexcept
    : logits(arena.take<float>(kPlaces * generator.max_tokens_ * generator.codes_)) {}

Generator::Generator(const Kernels& kernels, Precision precision, const GeneratorWeights& weights,
                     const Allocator& allocator)
    : kernels_(&kernels),
      precision_(precision),
      width_(weights.width),
      feedforward_(weights.feedforward),
      heads_(weights.heads),
      max_tokens_(weights.max_tokens),
      codes_(weights.codes),
      condition_width_(weights.condition_width),
      mode_(weights.attention),
      epsilon_(weights.eps),
      head_epsilon_(weights.head_eps),
      table_(weights.table),
      positions_(weights.positions),
      no_condition_(weights.condition.bias),
      condition_(kernels, Precision::f32, weights.condition, allocator),
      layers_(transformer_layers(kernels, precision, weights.layers, heads_, allocator)),
      dense_(kernels, precision, weights.dense, allocator),
      logits_(kernels, precision, weights.logits, allocator) {}

std::size_t Generator::bytes() const noexcept {
  return condition_.bytes() + bytes_of(layers_) + dense_.bytes() + logits_.bytes();
}

void Generator::begin(const Executor& executor, Scratch& scratch, const DecodingOptions& options,
                      const float* condition, const std::int64_t* ids, std::size_t tokens) const noexcept {
  const std::int64_t mask_id = static_cast<std::int64_t>(codes_);
  scratch.options = options;
  if (options.top_k == 0) scratch.options.top_k = (codes_ + 9) / 10;
  scratch.tokens = tokens;
  scratch.wanted = static_cast<std::size_t>(std::count(ids, ids + tokens, mask_id));
  scratch.step = scratch.wanted > 0 ? 0 : options.steps;
  scratch.layer = 0;
  scratch.steps.restart();

  scratch.condition.prepare(executor, condition, condition_width_, 1);
  LinearCall call;
  call.out = float_rows(scratch.row, 4 * width_);
  condition_.run(executor, scratch.condition, call);
  embed(scratch, 0, scratch.row);
  embed(scratch, 1 + tokens, no_condition_);
  std::fill_n(scratch.shown, tokens, std::int64_t{-1});
}

bool Generator::advance(const Executor& executor, Scratch& scratch, FirstStep& first,
                        std::int64_t* ids) const noexcept {
  if (scratch.step == scratch.options.steps) return false;
  if (scratch.is_between_steps()) begin_step(scratch, &first, ids);
  if (scratch.layer < layers_.size()) {
    if (!run_layer(executor, scratch)) ++scratch.layer;
    return true;
  }
  if (run_head(executor, scratch)) return true;
  draw(executor, scratch, first, ids);
  scratch.layer = 0;
  ++scratch.step;
  return scratch.step < scratch.options.steps;
}

void Generator::score(const Executor& executor, Scratch& scratch, bool guided, const float* condition,
                      const std::int64_t* ids, std::size_t tokens) const noexcept {
  DecodingOptions options;
  if (!guided) options.guidance_scale = 1.0f;
  begin(executor, scratch, options, condition, ids, tokens);
  begin_step(scratch, nullptr, ids);
  if (scratch.count == 0) return;
  for (; scratch.layer < layers_.size(); ++scratch.layer) {
    while (run_layer(executor, scratch)) {
    }
  }
  while (run_head(executor, scratch)) {
  }
}

void Generator::embed(Scratch& scratch, std::size_t row, const float* values) const noexcept {
  std::memcpy(scratch.embedded + row * width_, values, width_ * sizeof(float));
  const Rows qkv = scratch.embedded_qkv.from_row(row);
  kernels_->convert(values + width_, 3 * width_, qkv.format, qkv.data);
}

void Generator::begin_step(Scratch& scratch, FirstStep* first, const std::int64_t* ids) const noexcept {
  const std::int64_t mask_id = static_cast<std::int64_t>(codes_);
  const std::size_t tokens = scratch.tokens;
  scratch.count = 0;
  for (std::size_t n = 0; n < tokens; ++n) {
    if (ids[n] == mask_id) scratch.masked[scratch.count++] = static_cast<std::int32_t>(n);
    if (scratch.shown[n] == ids[n]) continue;
    scratch.shown[n] = ids[n];
    add_row(scratch, ids[n], n);
  }
  scratch.all_masked = scratch.count == tokens;
  const bool is_known = scratch.all_masked && first != nullptr && first->length_kept(tokens) == tokens;
  scratch.branches = scratch.options.guided() && !is_known ? 2 : 1;
  for (std::size_t branch = 0; branch < scratch.branches; ++branch) {
    for (std::size_t r = 0; r < scratch.count; ++r) {
      scratch.asking[branch * scratch.count + r] = 1 + scratch.masked[r];
      scratch.masked_rows[branch * scratch.count + r] =
          static_cast<std::int32_t>(branch * (1 + tokens)) + 1 + scratch.masked[r];
    }
  }
}

void Generator::add_row(Scratch& scratch, std::int64_t id, std::size_t position) const noexcept {
  // The sum of two table rows, the same in both branches.
  float* position_row = scratch.row + 4 * width_;
  widened_row(table_, static_cast<std::size_t>(id), scratch.row);
  widened_row(positions_, position, position_row);
  for (std::size_t i = 0; i < 4 * width_; ++i) scratch.row[i] += position_row[i];
  embed(scratch, 1 + position, scratch.row);
  if (scratch.options.guided()) embed(scratch, 1 + scratch.tokens + 1 + position, scratch.row);
}

bool Generator::run_layer(const Executor& executor, Scratch& scratch) const noexcept {
  const TransformerLayer& layer = layers_[scratch.layer];
  const bool is_first = scratch.layer == 0, is_last = scratch.layer + 1 == layers_.size();
  const std::size_t rows = 1 + scratch.tokens, all_rows = scratch.branches * rows;
  const std::size_t asking = scratch.branches * scratch.count;
  ResidualStream& stream = scratch.stream;
  Steps& steps = scratch.steps;
  steps.begin();

  SelfAttentionCall call;
  call.batch = scratch.branches;
  call.rows = rows;
  call.mode = mode_;
  call.qkv = is_first ? scratch.embedded_qkv : stream.qkv;
  if (!is_first) {
    if (steps.starts()) stream.normalise(executor, stream.x, all_rows);
    LinearCall project;
    project.out = stream.qkv;
    steps.run(executor, layer.attention.qkv, stream.input, project);
  }
  if (is_last) {
    for (std::size_t r = 0; steps.starts() && r < asking; ++r) {
      std::memcpy(scratch.queries.from_row(r).data,
                  call.qkv.from_row(static_cast<std::size_t>(scratch.masked_rows[r])).data,
                  width_ * format_size(scratch.queries.format));
    }
    call.queries = scratch.queries;
    call.asking = scratch.count;
    call.positions = scratch.asking;
  }
  layer.attention.attend(executor, stream, call, scratch.attention, steps);

  float* x = is_last ? scratch.gathered : stream.x;
  LinearCall add;
  add.residual = is_first ? scratch.embedded : stream.x;
  add.residual_stride = width_;
  add.residual_rows = is_last ? scratch.masked_rows : nullptr;
  add.stats = is_first ? nullptr : stream.stats;
  add.out = float_rows(x, width_);
  steps.run(executor, layer.attention.output, stream.attended, add);
  layer.feed_forward.run(executor, stream, x, is_last ? asking : all_rows, steps);
  return steps.more();
}

bool Generator::run_head(const Executor& executor, Scratch& scratch) const noexcept {
  const std::size_t rows = scratch.branches * scratch.count;
  Steps& steps = scratch.steps;
  steps.begin();
  if (steps.starts()) scratch.stream.normalise(executor, scratch.gathered, rows);
  LinearCall dense;
  dense.activation = Activation::gelu;
  dense.out = float_rows(scratch.dense, width_);
  steps.run(executor, dense_, scratch.stream.input, dense);

  LinearInput::Options options;
  options.epsilon = head_epsilon_;
  if (steps.starts()) {
    scratch.dense_input.prepare(executor, scratch.dense, width_, rows, Preparation::normalise, options);
  }
  LinearCall logits;
  logits.out = float_rows(scratch.logits, codes_);
  steps.run(executor, logits_, scratch.dense_input, logits);
  return steps.more();
}

void Generator::draw(const Executor& executor, Scratch& scratch, FirstStep& first, std::int64_t* ids) const noexcept {
  const DecodingOptions& options = scratch.options;
  const std::size_t count = scratch.count, tokens = scratch.tokens;
  const float* unconditional = scratch.branches == 2 ? scratch.logits + count * codes_ : nullptr;
  if (options.guided() && scratch.all_masked) {
    float* kept = first.of(*this, tokens);
    if (scratch.branches == 2) {
      std::memcpy(kept, unconditional, count * codes_ * sizeof(float));
      first.length_kept(tokens) = tokens;
    }
    unconditional = kept;
  }
  std::fill_n(scratch.confidence, tokens, kKept);
  const Sampling sampling = {options.guidance_scale, options.temperature, options.top_k};
  const NoiseKey key = {options.seed, options.sample, static_cast<std::uint32_t>(scratch.step)};
  executor.run((count + kDrawnAtOnce - 1) / kDrawnAtOnce, [&](std::size_t task) {
    for (std::size_t r = task * kDrawnAtOnce; r < std::min(count, (task + 1) * kDrawnAtOnce); ++r) {
      const std::size_t position = static_cast<std::size_t>(scratch.masked[r]);
      float* logits = scratch.logits + r * codes_;
      const Drawn drawn = draw_code(logits, unconditional == nullptr ? nullptr : unconditional + r * codes_, logits,
                                    codes_, sampling, key, position, nullptr);
      ids[position] = drawn.code;
      scratch.confidence[position] = drawn.confidence;
    }
  });
  mask_again(ids, scratch.confidence, tokens, masked_count(scratch.wanted, scratch.step + 1, options.steps),
             static_cast<std::int64_t>(codes_));
}

}  // namespace lf
