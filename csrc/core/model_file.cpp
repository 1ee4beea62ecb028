#include "model_file.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "json.h"
#include "safetensors.h"

namespace lf {
namespace {

constexpr std::uint64_t kVersion = 1;

// Far above any model's, and so low that no product of a few of them overflows.
constexpr std::size_t kMaxWidth = 1u << 20;
constexpr std::size_t kMaxLayers = 256;
constexpr std::size_t kMaxTokens = 4096;
constexpr std::size_t kMaxDilation = 1024;

struct Name {
  char text[96];
};

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
Name name_of(const char* format, ...) noexcept {
  Name name;
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(name.text, sizeof name.text, format, arguments);
  va_end(arguments);
  return name;
}

bool all_finite(const float* values, std::size_t count) noexcept {
  std::uint32_t worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    bits &= 0x7F800000;
    worst = bits > worst ? bits : worst;
  }
  return worst != 0x7F800000;
}

bool all_finite_bf16(const std::uint16_t* values, std::size_t count) noexcept {
  std::uint16_t worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<std::uint16_t>(values[i] & 0x7F80);
    worst = bits > worst ? bits : worst;
  }
  return worst != 0x7F80;
}

bool all_positive(const float* values, std::size_t count) noexcept {
  bool good = true;
  for (std::size_t i = 0; i < count; ++i) good = good && values[i] > 0;
  return good;
}

// The members of one object of the configuration.
class Section {
 public:
  Section(const Json& json, const JsonValue* object, const char* name, Error& error) noexcept
      : json_(json), object_(object), name_(name), error_(error) {}

  bool size(const char* key, std::size_t least, std::size_t most, std::size_t& out) const noexcept {
    const JsonValue* const value = find(key);
    if (value == nullptr || !value->is_whole || value->whole < least || value->whole > most) {
      return fail(error_, status::format, "the model file's %s%s must be a whole number from %zu to %zu", name_, key,
                  least, most);
    }
    out = static_cast<std::size_t>(value->whole);
    return true;
  }

  bool positive(const char* key, float& out) const noexcept {
    const JsonValue* const value = find(key);
    const float number = value == nullptr ? 0.0f : static_cast<float>(value->number);
    if (!(number > 0.0f && number < 1e6f)) {
      return fail(error_, status::format, "the model file's %s%s must be a positive number", name_, key);
    }
    out = number;
    return true;
  }

  bool boolean(const char* key, bool& out) const noexcept {
    const JsonValue* const value = find(key);
    if (value == nullptr || value->kind != JsonValue::Kind::boolean) {
      return fail(error_, status::format, "the model file's %s%s must be true or false", name_, key);
    }
    out = value->boolean;
    return true;
  }

  // The place of the string among `names`.
  template <std::size_t count>
  bool choice(const char* key, const char* const (&names)[count], std::size_t& out) const noexcept {
    const JsonValue* const value = find(key);
    for (std::size_t i = 0; value != nullptr && value->kind == JsonValue::Kind::string && i < count; ++i) {
      if (value->string != names[i]) continue;
      out = i;
      return true;
    }
    return fail(error_, status::unsupported, "the model file's %s%s is none that this version of the library knows",
                name_, key);
  }

  // A member that is an object, or null where the model lacks the part.
  bool part(const char* key, bool may_lack, const JsonValue*& out) const noexcept {
    const JsonValue* const value = find(key);
    const bool lacks = value != nullptr && value->kind == JsonValue::Kind::null;
    if (value == nullptr || (value->kind != JsonValue::Kind::object && !(lacks && may_lack))) {
      return fail(error_, status::format, "the model file's configuration does not describe its %s", key);
    }
    out = lacks ? nullptr : value;
    return true;
  }

  const JsonValue* find(const char* key) const noexcept { return json_.find(*object_, key); }

 private:
  const Json& json_;
  const JsonValue* object_;
  const char* name_;
  Error& error_;
};

// Takes tensors out of the file: each once, of the dtype and shape that the configuration asks for.
class Tensors {
 public:
  Tensors(const Safetensors& file, const Allocator& allocator, Error& error)
      : file_(file), taken_(file.tensors().size(), 0, StlAllocator<unsigned char>(allocator)), error_(error) {}

  bool vector(const char* name, std::size_t size, const float*& out) { return floats(name, {size}, out); }

  bool rows(const char* name, std::size_t rows, std::size_t columns, const float*& out) {
    return floats(name, {rows, columns}, out);
  }

  bool bytes(const char* name, const StoredTensor*& out) {
    if (!take(name, out)) return false;
    return (out->rank == 1 && out->dtype == Dtype::u8) ||
           fail(error_, status::format, "the model file's tensor %s must be bytes", name);
  }

  bool matrix(const char* name, std::size_t rows, std::size_t columns, WeightMatrix& out) {
    return weight(name, {rows, columns}, 1, out);
  }

  bool linear(const char* name, std::size_t outputs, std::size_t inputs, LinearWeights& out) {
    return matrix(name, outputs, inputs, out.matrix) && vector(name_of("%s.bias", name).text, outputs, out.bias);
  }

  bool norm(const char* name, std::size_t width, NormWeights& out) {
    return vector(name_of("%s.norm_scale", name).text, width, out.scale) &&
           vector(name_of("%s.norm_shift", name).text, width, out.shift);
  }

  bool residual(const char* name, std::size_t outputs, std::size_t inputs, bool normalised, ResidualWeights& out) {
    return linear(name, outputs, inputs, out.linear) && (!normalised || norm(name, outputs, out.norm));
  }

  bool feed_forward(const char* name, std::size_t width, std::size_t inner, FeedForwardWeights& out) {
    return linear(name_of("%s.expand", name).text, inner, width, out.expand) &&
           residual(name_of("%s.contract", name).text, width, inner, true, out.contract);
  }

  bool conv(const char* name, std::size_t outputs, std::size_t taps, std::size_t inputs, ConvWeights& out) {
    out.inputs = inputs;
    out.taps = taps;
    LinearWeights& linear = out.linear;
    const bool found = taps == 1 ? weight(name, {outputs, inputs}, 1, linear.matrix)
                                 : weight(name, {outputs, taps, inputs}, 1, linear.matrix);
    return found && vector(name_of("%s.bias", name).text, outputs, linear.bias);
  }

  bool conv_block(const char* name, std::size_t width, std::size_t dilation, ConvBlockWeights& out) {
    out.conv1.dilation = dilation;
    return conv(name_of("%s.conv1", name).text, width, 3, width, out.conv1) &&
           conv(name_of("%s.conv2", name).text, width, 1, width, out.conv2);
  }

  bool upsample(const char* name, std::size_t width, UpsampleWeights& out) {
    WeightMatrix both;
    if (!weight(name, {2, width, 2, width}, 2, both)) return false;
    if (!vector(name_of("%s.bias", name).text, width, out.even.bias)) return false;
    both.rows = width;
    out.even.matrix = out.odd.matrix = both;
    out.odd.bias = out.even.bias;
    out.odd.matrix.data = static_cast<const unsigned char*>(both.data) + width * both.columns * size_of(both.dtype);
    if (both.scale != nullptr) out.odd.matrix.scale = both.scale + width;
    return true;
  }

  // What nothing asked for would be weights that the configuration does not describe.
  bool nothing_left() const noexcept {
    for (std::size_t i = 0; i < taken_.size(); ++i) {
      if (taken_[i] != 0) continue;
      const std::string_view name = file_.tensors()[i].name;
      return fail(error_, status::format, "the model file holds a tensor %.*s that its configuration does not describe",
                  static_cast<int>(name.size()), name.data());
    }
    return true;
  }

 private:
  bool take(const char* name, const StoredTensor*& out) noexcept {
    out = file_.find(name);
    if (out == nullptr) return fail(error_, status::format, "the model file lacks the tensor %s", name);
    taken_[static_cast<std::size_t>(out - file_.tensors().data())] = 1;
    return true;
  }

  bool has_shape(const StoredTensor& tensor, const std::size_t* shape, std::size_t rank) noexcept {
    bool same = tensor.rank == rank;
    for (std::size_t i = 0; same && i < rank; ++i) same = tensor.shape[i] == shape[i];
    if (same) return true;
    char expected[96] = "", found[96] = "";
    describe(shape, rank, expected, sizeof expected);
    describe(tensor.shape, tensor.rank, found, sizeof found);
    return fail(error_, status::format, "the model file's tensor %.*s has shape %s, and its configuration asks for %s",
                static_cast<int>(tensor.name.size()), tensor.name.data(), found, expected);
  }

  static void describe(const std::size_t* shape, std::size_t rank, char* out, std::size_t room) noexcept {
    std::size_t used = 0;
    for (std::size_t i = 0; i < rank && used < room; ++i) {
      const int written = std::snprintf(out + used, room - used, "%s%zu", i == 0 ? "" : " x ", shape[i]);
      used += written > 0 ? static_cast<std::size_t>(written) : room;
    }
  }

  bool finite(const StoredTensor& tensor) noexcept {
    const std::size_t count = tensor.bytes / size_of(tensor.dtype);
    const bool good = tensor.dtype == Dtype::f32 ? all_finite(static_cast<const float*>(tensor.data), count)
                      : tensor.dtype == Dtype::bf16
                          ? all_finite_bf16(static_cast<const std::uint16_t*>(tensor.data), count)
                          : true;
    return good || fail(error_, status::not_finite, "the model file's tensor %.*s holds NaN or an infinity",
                        static_cast<int>(tensor.name.size()), tensor.name.data());
  }

  template <std::size_t rank>
  bool floats(const char* name, const std::size_t (&shape)[rank], const float*& out) {
    const StoredTensor* tensor = nullptr;
    if (!take(name, tensor) || !has_shape(*tensor, shape, rank)) return false;
    if (tensor->dtype != Dtype::f32)
      return fail(error_, status::format, "the model file's tensor %s must be F32", name);
    if (!finite(*tensor)) return false;
    out = static_cast<const float*>(tensor->data);
    return true;
  }

  // NAME.weight, whose first `row_rank` sizes count rows, and NAME.scale of those sizes where it is int8.
  template <std::size_t rank>
  bool weight(const char* name, const std::size_t (&shape)[rank], std::size_t row_rank, WeightMatrix& out) {
    const Name full = name_of("%s.weight", name);
    const StoredTensor* tensor = nullptr;
    if (!take(full.text, tensor) || !has_shape(*tensor, shape, rank)) return false;
    if (tensor->dtype == Dtype::u8) {
      return fail(error_, status::format, "the model file's tensor %s must be F32, BF16 or I8", full.text);
    }
    if (!finite(*tensor)) return false;
    out.dtype = tensor->dtype;
    out.data = tensor->data;
    out.rows = out.columns = 1;
    for (std::size_t i = 0; i < rank; ++i) (i < row_rank ? out.rows : out.columns) *= shape[i];
    if (out.dtype != Dtype::i8) return true;

    const Name scale_name = name_of("%s.scale", name);
    const bool found = row_rank == 1 ? floats(scale_name.text, {shape[0]}, out.scale)
                                     : floats(scale_name.text, {shape[0], shape[1]}, out.scale);
    if (!found) return false;
    return all_positive(out.scale, out.rows) ||
           fail(error_, status::format, "the model file's tensor %s must hold positive numbers", scale_name.text);
  }

  const Safetensors& file_;
  Vector<unsigned char> taken_;  // by the tensor's place in the file's list
  Error& error_;
};

constexpr const char* kDatasets[] = {"humanml3d", "kit"};
constexpr std::size_t kJoints[] = {22, 21};
constexpr const char* kAttentionModes[] = {"full", "soft_causal", "causal"};
constexpr const char* kPaddings[] = {"exact", "released"};

// Reads the parts in the order in which they depend on one another.
class Reader {
 public:
  Reader(const Json& json, Tensors& tensors, const Allocator& allocator, ModelFile& model, Error& error) noexcept
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
  Section section(const char* name, const JsonValue* object) noexcept { return {json_, object, name, error_}; }

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
    if (!root_.size("codes", 1, kMaxWidth, model_.codes)) return false;
    if (!root_.size("code_width", 1, kMaxWidth, model_.code_width)) return false;
    if (!root_.boolean("reads_motions", model_.reads_motions)) return false;

    if (!tensors_.vector("statistics.mean", features, model_.mean)) return false;
    if (!tensors_.vector("statistics.std", features, model_.deviation)) return false;
    if (!all_positive(model_.deviation, features)) {
      return fail(error_, status::format, "the model file's tensor statistics.std must hold positive numbers");
    }
    return tensors_.rows("codebook", model_.codes, model_.code_width, model_.codebook);
  }

  static bool divides(std::size_t heads, std::size_t width) noexcept { return width % heads == 0; }

  bool text() {
    TextWeights& text = model_.text;
    const JsonValue *object = nullptr, *queries = nullptr;
    if (!root_.part("text", false, object) || !root_.part("queries", false, queries)) return false;
    const Section sizes = section("text.", object);
    std::size_t words = 0, layers = 0, padding = 0, every = 0;
    if (!sizes.size("words", 1, kMaxWidth, words) || !sizes.size("layers", 1, kMaxLayers, layers) ||
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
      TextWeights::Layer& layer = text.layers[l];
      if (!self_attention("text", l, text.width, layer.qkv, layer.attention_output) ||
          !tensors_.feed_forward(name_of("text.%zu", l).text, text.width, text.feedforward, layer.feed_forward)) {
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

  bool self_attention(const char* part, std::size_t layer, std::size_t width, LinearWeights& qkv,
                      ResidualWeights& output) {
    return tensors_.linear(name_of("%s.%zu.qkv", part, layer).text, 3 * width, width, qkv) &&
           tensors_.residual(name_of("%s.%zu.attention_output", part, layer).text, width, width, true, output);
  }

  bool queries() {
    QueryWeights& queries = model_.queries;
    const JsonValue* object = nullptr;
    if (!root_.part("queries", false, object)) return false;
    const Section sizes = section("queries.", object);
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
      if (l > 0 && !self_attention("queries", l, width, layer.qkv, layer.attention_output)) return false;
      layer.has_cross_attention = l % every == 0;
      queries.cross_attentions += layer.has_cross_attention;
      if (layer.has_cross_attention &&
          (!tensors_.linear(name_of("queries.%zu.cross_query", l).text, width, width, layer.cross_query) ||
           !tensors_.residual(name_of("queries.%zu.cross_output", l).text, width, width, true, layer.cross_output))) {
        return false;
      }
      if (!tensors_.feed_forward(name_of("queries.%zu", l).text, width, queries.feedforward, layer.feed_forward)) {
        return false;
      }
    }
    return tensors_.norm("queries", width, queries.norm);
  }

  bool generator() {
    GeneratorWeights& generator = model_.generator;
    const JsonValue* object = nullptr;
    if (!root_.part("generator", true, object)) return false;
    model_.makes_motions = object != nullptr;
    if (object == nullptr) return true;
    const Section sizes = section("generator.", object);
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
      GeneratorWeights::Layer& layer = generator.layers[l];
      const bool attends =
          l == 0 ? tensors_.residual("generator.0.attention_output", width, width, false, layer.attention_output)
                 : self_attention("generator", l, width, layer.qkv, layer.attention_output);
      if (!attends ||
          !tensors_.feed_forward(name_of("generator.%zu", l).text, width, generator.feedforward, layer.feed_forward)) {
        return false;
      }
    }
    return tensors_.linear("generator.dense", width, width, generator.dense) &&
           tensors_.linear("generator.logits", model_.codes, width, generator.logits);
  }

  bool motion() {
    const JsonValue* object = nullptr;
    if (!root_.part("motion", false, object)) return false;
    const Section sizes = section("motion.", object);
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
    const JsonValue* const list = json_.find(*object, "dilations");
    bool good =
        list != nullptr && list->kind == JsonValue::Kind::array && list->count >= 1 && list->count <= kMaxLayers;
    resize(dilations, 0);
    for (const JsonValue* value = good ? json_.first(*list) : nullptr; value != nullptr; value = json_.next(*value)) {
      good = good && value->is_whole && value->whole >= 1 && value->whole <= kMaxDilation;
      dilations.push_back(static_cast<std::size_t>(value->whole));
    }
    return good || fail(error_, status::format, "the model file's %s.dilations must be whole numbers from 1 to %zu",
                        part, kMaxDilation);
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
    const Section sizes = section("length.", object);
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
  Section root_;
  Tensors& tensors_;
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
  Tensors tensors(file, allocator, error);
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
