#include <algorithm>
#include <cmath>
#include <iterator>

#include "../core/decode_step.h"
#include "attention.h"
#include "generator.h"
#include "linear.h"

namespace lf::cuda {
namespace {

// Of any stage: a grid has 65,535 rows of tiles at most, and places in a stage are counted in int.
constexpr int kMostRows = 1 << 21;

}  // namespace

bool Generator::create(const GeneratorWeights& weights, Numbers wanted, Error& error) {
  if (!find_device(error)) return false;
  const std::size_t own = weights.width / weights.heads;
  const int* const fitting = std::find_if(std::begin(kHeadWidths), std::end(kHeadWidths),
                                          [own](int width) { return static_cast<std::size_t>(width) >= own; });
  if (fitting == std::end(kHeadWidths)) {
    return fail(error, status::unsupported, "The model has heads of %d numbers; on a GPU they may have %d at most.",
                static_cast<int>(own), kHeadWidths[2]);
  }
  numbers = wanted;
  width = static_cast<int>(weights.width), heads = static_cast<int>(weights.heads), head_width = *fitting;
  codes = static_cast<int>(weights.codes), max_tokens = static_cast<int>(weights.max_tokens);
  condition_width = static_cast<int>(weights.condition_width);
  stream_stride = up(weights.width, kColumnStep);
  attended_stride = up(static_cast<std::size_t>(heads) * head_width, kColumnStep);
  qkv_stride = up(static_cast<std::size_t>(heads) * head_width * 3, kColumnStep);
  feedforward_stride = up(weights.feedforward, kColumnStep);
  row_stride = stream_stride + qkv_stride;
  logits_stride = up(weights.codes, kColumnStep);
  scale = 1 / std::sqrt(static_cast<float>(own));
  eps = weights.eps, head_eps = weights.head_eps;
  mask = weights.attention == AttentionMode::full          ? Mask::full
         : weights.attention == AttentionMode::soft_causal ? Mask::soft_causal
                                                           : Mask::causal;
  padding_is_exact = weights.padding_is_exact;

  Packer packer(numbers);
  const Places stream = straight(weights.width), hidden = straight(weights.feedforward);
  const Places attended = by_heads(weights.width, weights.heads, head_width, 1);
  const Places qkv = by_heads(weights.width, weights.heads, head_width, 3);
  Places row = stream;
  const Places row_qkv = by_heads(weights.width, weights.heads, head_width, 3, stream_stride);
  row.insert(row.end(), row_qkv.begin(), row_qkv.end());
  const auto whole = [&](const WeightMatrix& matrix) {
    return packer.matrix(matrix, straight(matrix.rows), static_cast<int>(matrix.rows), row, row_stride, true, nullptr);
  };
  table = whole(weights.table);
  positions = whole(weights.positions);

  linears.clear();
  layers.clear();
  const auto add = [&](const LinearWeights& linear, const NormWeights& norm, bool folded, const Places& rows,
                       const Places& columns, int inner) {
    linears.push_back(packer.linear(linear, norm, folded, rows, columns, inner));
    return static_cast<int>(linears.size()) - 1;
  };
  condition = add(weights.condition, {}, false, row, straight(weights.condition_width),
                  up(weights.condition_width, kColumnStep));
  for (const LayerWeights& layer : weights.layers) {
    Layer packed{};
    if (!layers.empty()) packed.qkv = add(layer.qkv, {}, true, qkv, stream, stream_stride);
    const ResidualWeights &output = layer.attention_output, &contract = layer.feed_forward.contract;
    packed.attention_output = add(output.linear, output.norm, false, stream, attended, attended_stride);
    packed.expand = add(layer.feed_forward.expand, {}, true, hidden, stream, stream_stride);
    packed.contract = add(contract.linear, contract.norm, false, stream, hidden, feedforward_stride);
    layers.push_back(packed);
  }
  dense = add(weights.dense, {}, true, stream, stream, stream_stride);
  logits = add(weights.logits, {}, true, straight(weights.codes), stream, stream_stride);

  const std::vector<unsigned char>& bytes = packer.bytes();
  return memory.allocate(bytes.size(), error) && copy(memory.at<void>(0), bytes.data(), bytes.size(), nullptr, error) &&
         synchronize(nullptr, error);
}

bool Plan::create(const Generator& generator, const Decoder* decoder, const PlanShape& shape, Error& error) {
  const auto limited = [&](const char* name, int value, int least, int most) {
    return (value >= least && value <= most) ||
           fail(error, status::invalid_argument, "%s is %d; it must be %d to %d.", name, value, least, most);
  };
  const bool draws = shape.steps != 0;
  if (!limited("samples", shape.samples, 1, 32767) ||
      !limited("tokens", shape.tokens, 1, draws ? generator.max_tokens : kMostRows) ||
      !limited("steps", shape.steps, decoder != nullptr ? 0 : 1, 4096)) {
    return false;
  }
  generator_ = &generator, decoder_ = decoder;
  shape_ = shape;
  branches_ = shape.guided ? 2 : 1;
  const std::size_t samples = shape.samples, tokens = shape.tokens, steps = shape.steps, all = samples * branches_;
  const std::size_t frames = decoder != nullptr ? samples * tokens << decoder->stages.size() : 0;
  if (std::max(all * (tokens + 1), frames) > kMostRows) {
    return fail(error, status::invalid_argument, "%d samples of %d tokens are too many for one request; give fewer.",
                shape.samples, shape.tokens);
  }
  limits_.clear();
  for (std::size_t step = 0; step < steps; ++step)
    limits_.push_back(static_cast<int>(masked_count(tokens, step, steps)));

  std::vector<std::int32_t> schedule;
  for (std::size_t wanted = 0; wanted <= tokens; ++wanted) {
    for (std::size_t step = 0; step <= steps; ++step) {
      schedule.push_back(step == steps ? 0 : static_cast<std::int32_t>(masked_count(wanted, step, steps)));
    }
  }

  const std::size_t element = generator.numbers == Numbers::bf16 ? 2 : 4;
  std::size_t bytes = 0;
  const auto reserve = [&](std::size_t& at, std::size_t count, std::size_t size) {
    at = bytes;
    bytes = (bytes + count * size + kAlign - 1) / kAlign * kAlign;
  };
  const std::size_t rows = draws ? all * (tokens + 1) : 0, most_masked = draws ? all * tokens : 0;
  const std::size_t segments = static_cast<std::size_t>(generator.width + kSegment - 1) / kSegment;
  reserve(schedule_, schedule.size(), 4);
  reserve(options_, 1, sizeof(DecodeOptions));
  for (std::size_t& at : ids_) reserve(at, samples * tokens, 8);
  reserve(token_lengths_, samples, 8);
  reserve(row_lengths_, all, 4);
  reserve(seeds_, samples, 8);
  reserve(counters_, samples, 8);
  reserve(next_counts_, steps * samples, 8);
  reserve(rows_, all * tokens, 4);
  reserve(arrivals_, samples, 4);
  reserve(confidence_, samples * tokens, 4);
  reserve(stored_condition_, samples * generator.linears[generator.condition].inner, element);
  reserve(conditions_, samples * generator.row_stride, element);
  reserve(embedded_, rows * generator.row_stride, element);
  reserve(qkv_, rows * generator.qkv_stride, element);
  reserve(attended_, rows * generator.attended_stride, element);
  reserve(hidden_, rows * generator.feedforward_stride, element);
  for (int i = 0; i < 2; ++i) {
    reserve(streams_[i], rows * generator.stream_stride, element);
    reserve(segments_[i], rows * segments, sizeof(Pair));
  }
  reserve(dense_, most_masked * generator.stream_stride, element);
  reserve(dense_segments_, most_masked * segments, sizeof(Pair));
  reserve(logits_, most_masked * generator.logits_stride, 4);

  // Cleared, because what fills rows up is never written.
  return find_device(error) && count_processors(processors_, error) && memory_.allocate(bytes, error) &&
         clear(memory_.at<void>(0), bytes, nullptr, error) &&
         copy(memory_.at<void>(schedule_), schedule.data(), schedule.size() * 4, nullptr, error) &&
         synchronize(nullptr, error) &&
         (decoder == nullptr || decoding_.create(*decoder, shape.samples, shape.tokens, error)) &&
         graph_.capture(
             [&](void* stream) {
               bool good = true;
               for (int index = 0; good && index < shape_.steps; ++index) good = this->step(index, stream, error);
               if (good && decoder_ != nullptr) {
                 good = decoding_.enqueue(ids_before(shape_.steps), memory_.at<std::int64_t>(token_lengths_), stream,
                                          shape_.dependent_launch && shape_.steps > 0, error);
               }
               return good;
             },
             error);
}

bool Plan::begin(const Begin& request, void* stream, Error& error) {
  Begin p = request;
  const Generator& g = *generator_;
  p.samples = shape_.samples, p.positions = shape_.tokens, p.codes = g.codes, p.steps = shape_.steps,
  p.branches = branches_;
  p.condition_width = g.condition_width;
  p.condition_stride = shape_.steps > 0 ? g.linears[g.condition].inner : 0;
  p.pads_are_hidden = g.padding_is_exact;
  p.schedule = memory_.at<std::int32_t>(schedule_);
  p.stored_condition = memory_.at<void>(stored_condition_);
  p.ids = memory_.at<std::int64_t>(ids_[0]);
  p.token_lengths = memory_.at<std::int64_t>(token_lengths_);
  p.row_lengths = memory_.at<std::int32_t>(row_lengths_);
  p.seeds_of = memory_.at<std::int64_t>(seeds_);
  p.counters = memory_.at<std::int64_t>(counters_);
  p.next_counts = memory_.at<std::int64_t>(next_counts_);
  p.rows = memory_.at<std::int32_t>(rows_);
  p.arrivals = memory_.at<std::int32_t>(arrivals_);
  p.stored_options = memory_.at<DecodeOptions>(options_);
  return g.numbers == Numbers::bf16 ? run<bf16>(p, stream, error) : run<float>(p, stream, error);
}

bool Plan::launch(const Begin& request, const Results& results, void* stream, Error& error) {
  const DecodeOptions& options = request.options;
  if (shape_.steps > 0 && (request.condition == nullptr || request.seeds == nullptr)) {
    return fail(error, status::invalid_argument, "A request needs a condition and seeds.");
  }
  if (shape_.steps == 0 && request.known == nullptr) {
    return fail(error, status::invalid_argument, "A request without steps needs known tokens.");
  }
  if (decoder_ == nullptr && (results.features != nullptr || results.joints != nullptr)) {
    return fail(error, status::invalid_argument, "The plan ends with tokens; make one that decodes.");
  }
  if (!(options.temperature > 0) || !std::isfinite(options.temperature) || !std::isfinite(options.guidance_scale) ||
      options.top_k < 1 || options.top_k > generator_->codes) {
    return fail(error, status::invalid_argument,
                "guidance_scale must be finite, temperature positive and finite, top_k 1 to %d.", generator_->codes);
  }
  const auto take = [&](void* to, const void* from, std::size_t bytes) {
    return to == nullptr || copy(to, from, bytes, stream, error);
  };
  const std::size_t samples = shape_.samples;
  if (!begin(request, stream, error) || !graph_.launch(stream, error) ||
      !take(results.ids, ids_before(shape_.steps), samples * shape_.tokens * sizeof(std::int64_t))) {
    return false;
  }
  if (decoder_ == nullptr) return true;
  const std::size_t numbers = samples * decoding_.frames() * sizeof(float);
  return take(results.features, decoding_.features(), numbers * decoder_->features) &&
         take(results.joints, decoding_.joints(), numbers * decoder_->joints * 3);
}

bool Plan::step(int index, void* stream, Error& error) {
  return generator_->numbers == Numbers::bf16 ? stages<bf16>(index, stream, error)
                                              : stages<float>(index, stream, error);
}

template <typename Element>
bool Plan::linear(Linear p, int which, void* stream, Error& error) const {
  const Packed& packed = generator_->linears[which];
  const auto vector = [&](std::size_t at) { return at == kNone ? nullptr : generator_->memory.at<float>(at); };
  p.weight = generator_->memory.at<void>(packed.weight);
  p.inner = packed.inner, p.outer = packed.outer;
  p.weight_scale = vector(packed.weight_scale), p.bias = vector(packed.bias), p.fold = vector(packed.fold);
  p.norm_scale = vector(packed.norm_scale), p.norm_shift = vector(packed.norm_shift);
  if (p.norm_scale == nullptr) p.residual_norm = {};
  const bool dependent = shape_.dependent_launch && which != generator_->condition;  // which is the first
  return run<Element>(p, tile_for(p, processors_), stream, dependent, error);
}

template <typename Element>
bool Plan::stages(int index, void* stream, Error& error) {
  const Generator& g = *generator_;
  const int samples = shape_.samples * branches_, period = shape_.tokens + 1, rows = samples * period,
            limit = limits_[index];
  const bool dependent = shape_.dependent_launch;
  Element* const embedded = memory_.at<Element>(embedded_);

  if (index == 0) {
    Linear condition;
    condition.x = memory_.at<void>(stored_condition_), condition.x_stride = g.linears[g.condition].inner;
    condition.rows = shape_.samples;
    condition.y = memory_.at<void>(conditions_), condition.y_stride = g.row_stride;
    if (!linear<Element>(condition, g.condition, stream, error)) return false;
  }

  Embed embed;
  embed.ids = ids_before(index), embed.conditions = memory_.at<void>(conditions_);
  embed.no_condition = g.memory.at<float>(g.linears[g.condition].bias);
  embed.table = g.memory.at<void>(g.table), embed.positions_table = g.memory.at<void>(g.positions);
  embed.out = embedded;
  embed.samples = shape_.samples, embed.positions = shape_.tokens, embed.branches = branches_;
  embed.table_rows = g.codes + 2, embed.width = g.row_stride;
  if (!run<Element>(embed, stream, dependent, error)) return false;

  // What a stage reads: the stream before its norm, and where there is one, the norm.
  struct Stream {
    const void* x;
    int stride;
    Norm norm;
  };
  const auto kept = [&](int which) {
    return Stream{
        memory_.at<void>(streams_[which]), g.stream_stride, {memory_.at<Pair>(segments_[which]), g.width, g.eps}};
  };
  const auto write = [&](Linear& p, int which) {
    p.y = memory_.at<void>(streams_[which]), p.y_stride = g.stream_stride;
    p.y_segments = memory_.at<Pair>(segments_[which]), p.y_width = g.width;
  };
  Stream in{embedded, g.row_stride, {}};
  int active = rows;
  for (std::size_t l = 0; l < g.layers.size(); ++l) {
    const Generator::Layer& layer = g.layers[l];
    Attention attention;
    attention.qkv = embedded + g.stream_stride, attention.qkv_stride = g.row_stride;
    if (l > 0) {
      Linear qkv;
      qkv.x = in.x, qkv.x_stride = in.stride, qkv.x_norm = in.norm, qkv.rows = rows;
      qkv.y = memory_.at<void>(qkv_), qkv.y_stride = g.qkv_stride;
      if (!linear<Element>(qkv, layer.qkv, stream, error)) return false;
      attention.qkv = qkv.y, attention.qkv_stride = g.qkv_stride;
    }
    attention.attended = memory_.at<void>(attended_), attention.attended_stride = g.attended_stride;
    attention.samples = samples, attention.period = period, attention.heads = g.heads,
    attention.head_width = g.head_width;
    attention.lengths = memory_.at<std::int32_t>(row_lengths_);
    attention.mask = g.mask, attention.scale = g.scale;
    if (!run<Element>(attention, stream, dependent, error)) return false;

    Linear output;
    output.x = attention.attended, output.x_stride = g.attended_stride;
    output.residual = in.x, output.residual_stride = in.stride, output.residual_norm = in.norm;
    if (l + 1 == g.layers.size()) {  // the rest is for masked tokens only
      active = samples * limit;
      output.row_of = memory_.at<std::int32_t>(rows_);
    }
    output.rows = active;
    write(output, 1);
    if (!linear<Element>(output, layer.attention_output, stream, error)) return false;

    const Stream middle = kept(1);
    Linear expand;
    expand.x = middle.x, expand.x_stride = middle.stride, expand.x_norm = middle.norm, expand.rows = active;
    expand.activation = Linear::Activation::gelu;
    expand.y = memory_.at<void>(hidden_), expand.y_stride = g.feedforward_stride;
    if (!linear<Element>(expand, layer.expand, stream, error)) return false;

    Linear contract;
    contract.x = expand.y, contract.x_stride = expand.y_stride, contract.rows = active;
    contract.residual = middle.x, contract.residual_stride = middle.stride, contract.residual_norm = middle.norm;
    write(contract, 0);
    if (!linear<Element>(contract, layer.contract, stream, error)) return false;
    in = kept(0);
  }

  Linear dense;
  dense.x = in.x, dense.x_stride = in.stride, dense.x_norm = in.norm, dense.rows = active;
  dense.activation = Linear::Activation::gelu;
  dense.y = memory_.at<void>(dense_), dense.y_stride = g.stream_stride;
  dense.y_segments = memory_.at<Pair>(dense_segments_), dense.y_width = g.width;
  if (!linear<Element>(dense, g.dense, stream, error)) return false;
  Linear logits;
  logits.x = dense.y, logits.x_stride = g.stream_stride, logits.rows = active;
  logits.x_norm = {memory_.at<Pair>(dense_segments_), g.width, g.head_eps};
  logits.y = memory_.at<float>(logits_), logits.y_stride = g.logits_stride, logits.y_is_float = true;
  if (!linear<Element>(logits, g.logits, stream, error)) return false;

  DecodeStep decode;
  decode.logits = this->logits();
  if (shape_.guided)
    decode.unconditional = this->logits() + static_cast<std::size_t>(shape_.samples) * limit * g.logits_stride;
  decode.ids = ids_before(index);
  decode.next_count = memory_.at<std::int64_t>(next_counts_) + static_cast<std::size_t>(index) * shape_.samples;
  decode.seeds = memory_.at<std::int64_t>(seeds_), decode.samples_of = memory_.at<std::int64_t>(counters_);
  decode.out_ids = memory_.at<std::int64_t>(ids_[(index + 1) % 2]), decode.confidence = memory_.at<float>(confidence_);
  decode.arrivals = memory_.at<std::int32_t>(arrivals_);
  if (index + 1 < shape_.steps) {
    decode.next_rows = memory_.at<std::int32_t>(rows_);
    decode.next_limit = limits_[index + 1];
    decode.branches = branches_;
  }
  decode.samples = shape_.samples, decode.positions = shape_.tokens, decode.codes = g.codes;
  decode.scored = limit, decode.logits_stride = g.logits_stride;
  decode.step = static_cast<std::uint32_t>(index);
  decode.shared_options = memory_.at<DecodeOptions>(options_);
  return run<float>(decode, stream, dependent, error);
}

}  // namespace lf::cuda
