#include "model_file.h"

#include <cstring>

#include "config_section.h"
#include "json.h"
#include "model_tensors.h"
#include "safetensors.h"

namespace lf {
namespace {

constexpr std::uint64_t kVersion = 1;

// Far above any model's, and so low that no product of a few of them overflows; nor does, in 32 bits, the sum of
// kMaxWidth products of int8.
constexpr std::size_t kMaxRows = 1u << 20;
constexpr std::size_t kMaxWidth = 1u << 16;
constexpr std::size_t kMaxLayers = 256;
constexpr std::size_t kMaxTokens = 4096;
constexpr std::size_t kMaxDilation = 1024;

constexpr const char* kDatasets[] = {"humanml3d", "kit"};
constexpr std::size_t kJoints[] = {22, 21};
constexpr const char* kAttentionModes[] = {"full", "soft_causal", "causal"};
constexpr const char* kPaddings[] = {"exact", "released"};

// Reads the parts in the order in which they depend on one another.
class Reader {
 public:
  Reader(const Json& json, ModelTensors& tensors, const Allocator& allocator, ModelFile& model, Error& error) noexcept
      : json_(json),
        root_(json, &json.root(), "", error),
        tensors_(tensors),
        allocator_(allocator),
        model_(model),
        error_(error) {}

  bool run() {
    return whole() && text() && queries() && generator() && motion() && encoders() && decoder() && length() &&
           tensors_.nothing_left();
  }

 private:
  ConfigSection section(const char* name, const JsonValue* object) noexcept { return {json_, object, name, error_}; }

  template <class T>
  void resize(Vector<T>& vector, std::size_t size) {
    vector = Vector<T>(size, T(), StlAllocator<T>(allocator_));
  }

  bool whole() {
    const JsonValue* const version = root_.find("version");
    if (version == nullptr || !version->is_whole) {
      return fail(error_, status::format, "the model file has no version; write it with lamp-fast export native");
    }
    if (version->whole != kVersion) {
      return fail(
          error_, status::unsupported,
          "the model file has version %llu, this library reads %llu; export the model again, or update the library",
          static_cast<unsigned long long>(version->whole), static_cast<unsigned long long>(kVersion));
    }
    std::size_t dataset = 0;
    if (!root_.choice("dataset", kDatasets, dataset)) return false;
    const std::size_t joints = kJoints[dataset], features = 12 * joints - 1;
    if (!root_.size("joints", joints, joints, model_.joints)) return false;
    if (!root_.size("features", features, features, model_.features)) return false;
    if (!root_.positive("frames_per_second", model_.frames_per_second)) return false;
    if (!root_.size("codes", 1, kMaxRows, model_.codes)) return false;
    if (!root_.size("code_width", 1, kMaxWidth, model_.code_width)) return false;
    if (!root_.boolean("reads_motions", model_.reads_motions)) return false;

    if (!tensors_.vector("statistics.mean", features, model_.mean)) return false;
    if (!tensors_.positive("statistics.std", features, model_.deviation)) return false;
    return tensors_.rows("codebook", model_.codes, model_.code_width, model_.codebook);
  }

  static bool divides(std::size_t heads, std::size_t width) noexcept { return width % heads == 0; }

  bool text() {
    TextWeights& text = model_.text;
    const JsonValue *object = nullptr, *queries = nullptr;
    if (!root_.part("text", false, object) || !root_.part("queries", false, queries)) return false;
    const ConfigSection sizes = section("text.", object);
    std::size_t words = 0, layers = 0, padding = 0, every = 0;
    if (!sizes.size("words", 1, kMaxRows, words) || !sizes.size("layers", 1, kMaxLayers, layers) ||
        !sizes.size("width", 1, kMaxWidth, text.width) || !sizes.size("heads", 1, text.width, text.heads) ||
        !sizes.size("feedforward", 1, kMaxWidth, text.feedforward) ||
        !sizes.size("max_positions", 1, kMaxTokens, text.max_positions) ||
        !sizes.size("max_tokens", 1, text.max_positions, text.max_tokens) ||
        !sizes.choice("padding", kPaddings, padding) || !sizes.positive("eps", text.eps) ||
        !section("queries.", queries).size("cross_attention_every", 1, kMaxLayers, every)) {
      return false;
    }
    if (!divides(text.heads, text.width))
      return fail(error_, status::format, "the model file's text.heads do not divide its width");
    text.padding_is_exact = padding == 0;
    memory_ = 2 * ((layers + every - 1) / every) * text.width;

    if (!vocabulary(words) || !tensors_.matrix("text.words", words, text.width, text.words) ||
        !tensors_.matrix("text.positions", text.max_positions, text.width, text.positions)) {
      return false;
    }
    resize(text.layers, layers);
    for (std::size_t l = 0; l < layers; ++l) {
      LayerWeights& layer = text.layers[l];
      if (!self_attention("text", l, text.width, layer) ||
          !feed_forward("text", l, text.width, text.feedforward, layer)) {
        return false;
      }
    }
    return tensors_.linear("text.memory", memory_, text.width, text.memory);
  }

  bool vocabulary(std::size_t words) {
    const StoredTensor* tensor = nullptr;
    if (!tensors_.bytes("vocabulary", tensor)) return false;
    const char* const bytes = static_cast<const char*>(tensor->data);
    std::size_t lines = 0;
    for (std::size_t i = 0; i < tensor->bytes; ++i) lines += bytes[i] == '\n';
    if (lines != words || bytes[tensor->bytes - 1] != '\n') {
      return fail(error_, status::format, "the model file's vocabulary has %zu lines, and its configuration %zu words",
                  lines, words);
    }
    model_.vocabulary = bytes;
    model_.vocabulary_bytes = tensor->bytes;
    return true;
  }

  bool self_attention(const char* part, std::size_t l, std::size_t width, LayerWeights& layer) {
    return tensors_.linear(name_of("%s.%zu.qkv", part, l).text, 3 * width, width, layer.qkv) &&
           tensors_.residual(name_of("%s.%zu.attention_output", part, l).text, width, width, true,
                             layer.attention_output);
  }

  bool feed_forward(const char* part, std::size_t l, std::size_t width, std::size_t inner, LayerWeights& layer) {
    FeedForwardWeights& out = layer.feed_forward;
    return tensors_.linear(name_of("%s.%zu.expand", part, l).text, inner, width, out.expand) &&
           tensors_.residual(name_of("%s.%zu.contract", part, l).text, width, inner, true, out.contract);
  }

  bool queries() {
    QueryWeights& queries = model_.queries;
    const JsonValue* object = nullptr;
    if (!root_.part("queries", false, object)) return false;
    const ConfigSection sizes = section("queries.", object);
    std::size_t every = 0;
    if (!sizes.size("count", 1, kMaxTokens, queries.count) ||
        !sizes.size("feedforward", 1, kMaxWidth, queries.feedforward) ||
        !sizes.size("cross_attention_every", 1, kMaxLayers, every)) {
      return false;
    }
    const std::size_t width = queries.width = model_.text.width, layers = model_.text.layers.size();
    queries.heads = model_.text.heads;
    queries.eps = model_.text.eps;
    if (!tensors_.rows("queries.start", queries.count, width, queries.start)) return false;
    resize(queries.layers, layers);
    for (std::size_t l = 0; l < layers; ++l) {
      QueryWeights::Layer& layer = queries.layers[l];
      if (l > 0 && !self_attention("queries", l, width, layer)) return false;
      layer.has_cross_attention = l % every == 0;
      queries.cross_attentions += layer.has_cross_attention;
      if (layer.has_cross_attention &&
          (!tensors_.linear(name_of("queries.%zu.cross_query", l).text, width, width, layer.cross_query) ||
           !tensors_.residual(name_of("queries.%zu.cross_output", l).text, width, width, true, layer.cross_output))) {
        return false;
      }
      if (!feed_forward("queries", l, width, queries.feedforward, layer)) return false;
    }
    return tensors_.norm("queries", width, queries.norm);
  }

  bool generator() {
    GeneratorWeights& generator = model_.generator;
    const JsonValue* object = nullptr;
    if (!root_.part("generator", true, object)) return false;
    model_.makes_motions = object != nullptr;
    if (object == nullptr) return true;
    const ConfigSection sizes = section("generator.", object);
    const std::size_t condition = model_.text.width;
    std::size_t layers = 0, attention = 0, padding = 0;
    if (!sizes.size("layers", 1, kMaxLayers, layers) || !sizes.size("width", 1, kMaxWidth, generator.width) ||
        !sizes.size("heads", 1, generator.width, generator.heads) ||
        !sizes.size("feedforward", 1, kMaxWidth, generator.feedforward) ||
        !sizes.size("condition_width", condition, condition, generator.condition_width) ||
        !sizes.size("max_tokens", 1, kMaxTokens, generator.max_tokens) ||
        !sizes.choice("attention", kAttentionModes, attention) || !sizes.choice("padding", kPaddings, padding) ||
        !sizes.positive("eps", generator.eps) || !sizes.positive("head_eps", generator.head_eps)) {
      return false;
    }
    const std::size_t width = generator.width;
    if (!divides(generator.heads, width))
      return fail(error_, status::format, "the model file's generator.heads do not divide its width");
    generator.codes = model_.codes;
    generator.attention = static_cast<AttentionMode>(attention);
    generator.padding_is_exact = padding == 0;

    if (!tensors_.matrix("generator.table", model_.codes + 2, 4 * width, generator.table) ||
        !tensors_.matrix("generator.positions", generator.max_tokens, 4 * width, generator.positions) ||
        !tensors_.linear("generator.condition", 4 * width, condition, generator.condition)) {
      return false;
    }
    resize(generator.layers, layers);
    for (std::size_t l = 0; l < layers; ++l) {
      LayerWeights& layer = generator.layers[l];
      const bool attends =
          l == 0 ? tensors_.residual("generator.0.attention_output", width, width, false, layer.attention_output)
                 : self_attention("generator", l, width, layer);
      if (!attends || !feed_forward("generator", l, width, generator.feedforward, layer)) return false;
    }
    return tensors_.linear("generator.dense", width, width, generator.dense) &&
           tensors_.linear("generator.logits", model_.codes, width, generator.logits);
  }

  bool motion() {
    const JsonValue* object = nullptr;
    if (!root_.part("motion", false, object)) return false;
    const ConfigSection sizes = section("motion.", object);
    std::size_t embedding = 0;
    if (!sizes.size("code_width", 1, kMaxWidth, motion_code_width_) ||
        !sizes.size("embedding_width", 1, kMaxWidth, embedding)) {
      return false;
    }
    if (!model_.reads_motions) return true;
    const std::size_t width = model_.text.width;
    model_.text.embedding_width = embedding;
    return tensors_.linear("motion.memory", memory_, motion_code_width_, model_.motion.memory) &&
           tensors_.linear("motion.embedding", embedding, width, model_.motion.embedding) &&
           tensors_.linear("text.embedding", embedding, width, model_.text.embedding);
  }

  // Of the widest convolutions first.
  bool convolutions(const char* part, const JsonValue* object, std::size_t& width, Vector<std::size_t>& dilations) {
    const Name name = name_of("%s.", part);
    if (!section(name.text, object).size("width", 1, kMaxWidth, width)) return false;
    resize(dilations, 0);
    return section(name.text, object).sizes("dilations", kMaxLayers, kMaxDilation, dilations);
  }

  bool conv_blocks(const char* part, std::size_t stage, std::size_t width, const Vector<std::size_t>& dilations,
                   Vector<ConvBlockWeights>& out) {
    resize(out, dilations.size());
    for (std::size_t i = 0; i < dilations.size(); ++i) {
      if (!tensors_.conv_block(name_of("%s.%zu.block.%zu", part, stage, i).text, width, dilations[i], out[i]))
        return false;
    }
    return true;
  }

  bool encoders() {
    const JsonValue *own = nullptr, *motion = nullptr;
    if (!root_.part("encoder", false, own) || !root_.part("motion_encoder", true, motion)) return false;
    model_.has_motion_encoder = motion != nullptr;
    if (motion == nullptr && motion_code_width_ != model_.code_width) {
      return fail(error_, status::format, "the model file's motion.code_width must be its code_width, %zu",
                  model_.code_width);
    }
    return encoder("encoder", own, model_.code_width, model_.encoder) &&
           (motion == nullptr || encoder("motion_encoder", motion, motion_code_width_, model_.motion_encoder));
  }

  bool encoder(const char* part, const JsonValue* object, std::size_t code_width, EncoderWeights& out) {
    Vector<std::size_t> dilations;
    if (!convolutions(part, object, out.width, dilations)) return false;
    const std::size_t width = out.width;
    out.features = model_.features;
    out.code_width = code_width;
    if (!tensors_.conv(name_of("%s.input", part).text, width, 3, out.features, out.input)) return false;
    resize(out.stages, kStages);
    for (std::size_t s = 0; s < kStages; ++s) {
      EncoderWeights::Stage& stage = out.stages[s];
      stage.down.stride = 2;
      if (!tensors_.conv(name_of("%s.%zu.down", part, s).text, width, 4, width, stage.down) ||
          !conv_blocks(part, s, width, dilations, stage.blocks)) {
        return false;
      }
    }
    return tensors_.conv(name_of("%s.output", part).text, code_width, 3, width, out.output);
  }

  bool decoder() {
    DecoderWeights& out = model_.decoder;
    const JsonValue* object = nullptr;
    Vector<std::size_t> dilations;
    if (!root_.part("decoder", false, object) || !convolutions("decoder", object, out.width, dilations)) return false;
    const std::size_t width = out.width;
    out.code_width = model_.code_width;
    out.features = model_.features;
    if (!tensors_.conv("decoder.input", width, 3, out.code_width, out.input)) return false;
    resize(out.stages, kStages);
    for (std::size_t s = 0; s < kStages; ++s) {
      if (!conv_blocks("decoder", s, width, dilations, out.stages[s].blocks) ||
          !tensors_.upsample(name_of("decoder.%zu.up", s).text, width, out.stages[s].up)) {
        return false;
      }
    }
    return tensors_.conv("decoder.hidden", width, 3, width, out.hidden) &&
           tensors_.conv("decoder.output", out.features, 3, width, out.output);
  }

  bool length() {
    LengthWeights& length = model_.length;
    const JsonValue* object = nullptr;
    if (!root_.part("length", true, object)) return false;
    model_.predicts_lengths = object != nullptr;
    if (object == nullptr) return true;
    const ConfigSection sizes = section("length.", object);
    const std::size_t most = model_.makes_motions ? model_.generator.max_tokens : kMaxTokens;
    length.condition_width = model_.text.width;
    if (!sizes.size("hidden", 1, kMaxWidth, length.hidden) || !sizes.size("max_tokens", 1, most, length.max_tokens) ||
        !sizes.positive("eps", length.eps)) {
      return false;
    }
    const std::size_t hidden = length.hidden;
    return tensors_.linear("length.first", hidden, length.condition_width, length.first) &&
           tensors_.norm("length.first", hidden, length.first_norm) &&
           tensors_.linear("length.second", hidden, hidden, length.second) &&
           tensors_.norm("length.second", hidden, length.second_norm) &&
           tensors_.linear("length.logits", length.max_tokens, hidden, length.logits);
  }

  static constexpr std::size_t kStages = 2;  // each halves the frames: a token is four of them

  const Json& json_;
  ConfigSection root_;
  ModelTensors& tensors_;
  const Allocator& allocator_;
  ModelFile& model_;
  Error& error_;
  std::size_t memory_ = 0, motion_code_width_ = 0;
};

bool describe(const unsigned char* data, std::size_t bytes, const Allocator& allocator, ModelFile& model,
              Error& error) {
  Safetensors file;
  Json config;
  if (!file.read(data, bytes, allocator, error)) return false;
  const std::string_view text = file.metadata("lamp_fast");
  if (text.empty()) {
    return fail(error, status::format,
                "this safetensors file is no model for the library; write one with lamp-fast export native");
  }
  if (!config.parse(text, "the configuration of the model file", allocator, error)) return false;
  ModelTensors tensors(file, allocator, error);
  return Reader(config, tensors, allocator, model, error).run();
}

}  // namespace

bool ModelFile::open(const char* path, const Allocator& allocator, ModelFile& file, Error& error) {
  ModelFile made;
  if (!made.mapping_.open(path, error)) return false;
  if (!describe(made.mapping_.data(), made.mapping_.size(), allocator, made, error)) return false;
  file = std::move(made);
  return true;
}

bool ModelFile::read(const void* data, std::size_t bytes, const Allocator& allocator, ModelFile& file, Error& error) {
  ModelFile made;
  const auto* memory = static_cast<const unsigned char*>(data);
  if (bytes > 0 && reinterpret_cast<std::uintptr_t>(data) % kAlignment != 0) {
    made.copy_ = Buffer<unsigned char>(bytes, allocator);
    std::memcpy(made.copy_.data(), data, bytes);
    memory = made.copy_.data();
  }
  if (!describe(memory, bytes, allocator, made, error)) return false;
  file = std::move(made);
  return true;
}

}  // namespace lf
