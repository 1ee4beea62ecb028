// A whole model file of random weights, a few kilobytes, for tests that have no Python to export one.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "weights.h"

namespace lf {

struct TinyModel {
  Dtype storage = Dtype::f32;
  bool generator = true, length = true, reads_motions = true, motion_encoder = false;
  std::uint32_t seed = 1;

  // Sizes, odd where they may be.
  std::size_t codes = 11, code_width = 6, motion_code_width = 6, max_tokens = 13;
  std::size_t width = 12, heads = 3, layers = 2, feedforward = 20;
  std::size_t text_width = 8, text_heads = 2, text_layers = 3, text_feedforward = 10, positions = 16;
  std::size_t queries = 5, query_feedforward = 9, cross_attention_every = 2, embedding = 7;
  std::size_t conv_width = 9, hidden = 15;
  std::vector<std::size_t> dilations = {3, 1};
  std::string vocabulary =
      "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nthe\nperson\nwalks\nwaves\nturns\nforward\n,\n.\n##s\n##ing\n[DEC]\n";
};

// What lamp-fast export native would write: docs/native.md names every tensor.
class TinyFile {
 public:
  explicit TinyFile(const TinyModel& model) : model_(model), state_(model.seed) {
    constexpr std::size_t features = 263;
    const TinyModel& m = model_;
    const std::size_t d = m.text_width;
    std::vector<unsigned char> words(m.vocabulary.begin(), m.vocabulary.end());
    add("vocabulary", Dtype::u8, {words.size()}, words);
    vector("statistics.mean", {features});
    vector("statistics.std", {features}, 1.0f);
    vector("codebook", {m.codes, m.code_width});

    std::size_t num_words = 0;
    for (const char c : m.vocabulary) num_words += c == '\n';
    matrix("text.words", {num_words, d});
    matrix("text.positions", {m.positions, d});
    vector("queries.start", {m.queries, d});
    std::size_t memory = 0;
    for (std::size_t l = 0; l < m.text_layers; ++l) {
      const std::string text = "text." + std::to_string(l), queries = "queries." + std::to_string(l);
      attention(text, d);
      feed_forward(text, d, m.text_feedforward);
      if (l > 0) attention(queries, d);
      if (l % m.cross_attention_every == 0) {
        linear(queries + ".cross_query", d, d);
        residual(queries + ".cross_output", d, d);
        memory += 2 * d;
      }
      feed_forward(queries, d, m.query_feedforward);
    }
    linear("text.memory", memory, d);
    norm("queries", d);
    if (m.reads_motions) {
      linear("motion.memory", memory, m.motion_code_width);
      linear("motion.embedding", m.embedding, d);
      linear("text.embedding", m.embedding, d);
    }
    if (m.generator) {
      matrix("generator.table", {m.codes + 2, 4 * m.width});
      matrix("generator.positions", {m.max_tokens, 4 * m.width});
      linear("generator.condition", 4 * m.width, d);
      for (std::size_t l = 0; l < m.layers; ++l) {
        const std::string layer = "generator." + std::to_string(l);
        if (l == 0) linear(layer + ".attention_output", m.width, m.width);
        if (l > 0) attention(layer, m.width);
        feed_forward(layer, m.width, m.feedforward);
      }
      linear("generator.dense", m.width, m.width);
      linear("generator.logits", m.codes, m.width);
    }
    encoder("encoder", m.code_width);
    if (m.motion_encoder) encoder("motion_encoder", m.motion_code_width);
    conv("decoder.input", {m.conv_width, 3, m.code_width});
    for (std::size_t s = 0; s < 2; ++s) {
      const std::string stage = "decoder." + std::to_string(s);
      blocks(stage);
      matrix(stage + ".up", {2, m.conv_width, 2, m.conv_width}, 2);
      vector(stage + ".up.bias", {m.conv_width});
    }
    conv("decoder.hidden", {m.conv_width, 3, m.conv_width});
    conv("decoder.output", {features, 3, m.conv_width});
    if (m.length) {
      linear("length.first", m.hidden, d);
      norm("length.first", m.hidden);
      linear("length.second", m.hidden, m.hidden);
      norm("length.second", m.hidden);
      linear("length.logits", m.max_tokens, m.hidden);
    }
  }

  struct Tensor {
    Dtype dtype;
    std::vector<std::size_t> shape;
    std::vector<unsigned char> bytes;
  };

  // To be changed by tests before the bytes are asked for.
  std::map<std::string, Tensor>& tensors() { return tensors_; }

  std::vector<unsigned char> bytes() const { return bytes(config()); }

  std::vector<unsigned char> bytes(const std::string& config) const {
    constexpr const char* names[] = {"F32", "BF16", "I8", "U8"};
    std::string header = "{\"__metadata__\":{\"lamp_fast\":\"";
    for (const char c : config) header += c == '"' ? "\\\"" : std::string(1, c);
    header += "\"}";
    std::vector<unsigned char> numbers;
    for (const std::size_t number_size : {4, 2, 1}) {
      for (const auto& [name, tensor] : tensors_) {
        if (size_of(tensor.dtype) != number_size) continue;
        header += ",\"" + name + "\":{\"dtype\":\"" + names[static_cast<int>(tensor.dtype)] + "\",\"shape\":";
        header += list(tensor.shape) + ",\"data_offsets\":";
        header += list({numbers.size(), numbers.size() + tensor.bytes.size()}) + "}";
        numbers.insert(numbers.end(), tensor.bytes.begin(), tensor.bytes.end());
      }
    }
    header += "}";
    while ((8 + header.size()) % 64 != 0) header += ' ';
    std::vector<unsigned char> file;
    for (int i = 0; i < 8; ++i) file.push_back(static_cast<unsigned char>(header.size() >> (8 * i)));
    file.insert(file.end(), header.begin(), header.end());
    file.insert(file.end(), numbers.begin(), numbers.end());
    return file;
  }

  std::string config() const {
    const TinyModel& m = model_;
    std::size_t num_words = 0;
    for (const char c : m.vocabulary) num_words += c == '\n';
    const std::string convolutions = object({{"width", m.conv_width}}, "\"dilations\":" + list(m.dilations));
    std::string text =
        "{\"version\":1,\"dataset\":\"humanml3d\",\"joints\":22,\"features\":263,\"frames_per_second\":20.0";
    text += ",\"codes\":" + std::to_string(m.codes) + ",\"code_width\":" + std::to_string(m.code_width);
    text += std::string(",\"reads_motions\":") + (m.reads_motions ? "true" : "false");
    text += ",\"generator\":";
    text += m.generator ? object({{"layers", m.layers},
                                  {"width", m.width},
                                  {"heads", m.heads},
                                  {"feedforward", m.feedforward},
                                  {"condition_width", m.text_width},
                                  {"max_tokens", m.max_tokens}},
                                 "\"attention\":\"full\",\"padding\":\"exact\",\"eps\":1e-05,\"head_eps\":1e-12")
                        : "null";
    text += ",\"text\":" + object({{"words", num_words},
                                   {"layers", m.text_layers},
                                   {"width", m.text_width},
                                   {"heads", m.text_heads},
                                   {"feedforward", m.text_feedforward},
                                   {"max_positions", m.positions},
                                   {"max_tokens", m.positions}},
                                  "\"padding\":\"exact\",\"eps\":1e-12");
    text += ",\"queries\":{\"count\":" + std::to_string(m.queries) +
            ",\"feedforward\":" + std::to_string(m.query_feedforward) +
            ",\"cross_attention_every\":" + std::to_string(m.cross_attention_every) + "}";
    text += ",\"motion\":{\"code_width\":" + std::to_string(m.motion_code_width) +
            ",\"embedding_width\":" + std::to_string(m.embedding) + "}";
    text += ",\"encoder\":" + convolutions + ",\"decoder\":" + convolutions;
    text += ",\"motion_encoder\":" + (m.motion_encoder ? convolutions : "null");
    text += ",\"length\":";
    text += m.length ? object({{"hidden", m.hidden}, {"max_tokens", m.max_tokens}}, "\"eps\":1e-05") : "null";
    return text + "}";
  }

 private:
  using Shape = std::vector<std::size_t>;

  static std::string list(const Shape& values) {
    std::string text = "[";
    for (std::size_t i = 0; i < values.size(); ++i) text += (i == 0 ? "" : ",") + std::to_string(values[i]);
    return text + "]";
  }

  static std::string object(const std::vector<std::pair<const char*, std::size_t>>& sizes, const std::string& rest) {
    std::string text = "{";
    for (const auto& [name, size] : sizes) text += "\"" + std::string(name) + "\":" + std::to_string(size) + ",";
    return text + rest + "}";
  }

  // Small, as trained weights are, from -scale to scale.
  float random(float scale) {
    state_ = state_ * 1664525u + 1013904223u;
    return (static_cast<float>(state_ >> 8) / 8388608.0f - 1.0f) * scale;
  }

  void add(const std::string& name, Dtype dtype, const Shape& shape, const std::vector<unsigned char>& bytes) {
    tensors_[name] = {dtype, shape, bytes};
  }

  static std::size_t count(const Shape& shape) {
    std::size_t count = 1;
    for (const std::size_t extent : shape) count *= extent;
    return count;
  }

  template <class T, class Make>
  void fill(const std::string& name, Dtype dtype, const Shape& shape, Make make) {
    std::vector<unsigned char> bytes(count(shape) * sizeof(T));
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(T)) {
      const T value = make();
      std::memcpy(&bytes[i], &value, sizeof value);
    }
    add(name, dtype, shape, bytes);
  }

  void vector(const std::string& name, const Shape& shape, float around = 0.0f) {
    fill<float>(name, Dtype::f32, shape, [&] { return around + random(0.2f); });
  }

  void matrix(const std::string& name, const Shape& shape, std::size_t row_rank = 1) {
    const std::string weight = name + ".weight";
    if (model_.storage == Dtype::f32) {
      fill<float>(weight, Dtype::f32, shape, [&] { return random(0.5f); });
    } else if (model_.storage == Dtype::bf16) {
      fill<std::uint16_t>(weight, Dtype::bf16, shape, [&] {
        const float value = random(0.5f);
        std::uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return static_cast<std::uint16_t>(bits >> 16);
      });
    } else {
      fill<std::int8_t>(weight, Dtype::i8, shape, [&] { return static_cast<std::int8_t>(random(127.0f)); });
      const Shape rows(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(row_rank));
      fill<float>(name + ".scale", Dtype::f32, rows, [&] { return 0.004f + random(0.001f); });
    }
  }

  void linear(const std::string& name, std::size_t outputs, std::size_t inputs) {
    matrix(name, {outputs, inputs});
    vector(name + ".bias", {outputs});
  }

  void norm(const std::string& name, std::size_t width) {
    vector(name + ".norm_scale", {width}, 1.0f);
    vector(name + ".norm_shift", {width});
  }

  void residual(const std::string& name, std::size_t outputs, std::size_t inputs) {
    linear(name, outputs, inputs);
    norm(name, outputs);
  }

  void attention(const std::string& name, std::size_t width) {
    linear(name + ".qkv", 3 * width, width);
    residual(name + ".attention_output", width, width);
  }

  void feed_forward(const std::string& name, std::size_t width, std::size_t inner) {
    linear(name + ".expand", inner, width);
    residual(name + ".contract", width, inner);
  }

  void conv(const std::string& name, const Shape& shape) {
    matrix(name, shape);
    vector(name + ".bias", {shape[0]});
  }

  void blocks(const std::string& stage) {
    for (std::size_t i = 0; i < model_.dilations.size(); ++i) {
      const std::string block = stage + ".block." + std::to_string(i);
      conv(block + ".conv1", {model_.conv_width, 3, model_.conv_width});
      conv(block + ".conv2", {model_.conv_width, model_.conv_width});
    }
  }

  void encoder(const std::string& name, std::size_t code_width) {
    conv(name + ".input", {model_.conv_width, 3, 263});
    for (std::size_t s = 0; s < 2; ++s) {
      const std::string stage = name + "." + std::to_string(s);
      conv(stage + ".down", {model_.conv_width, 4, model_.conv_width});
      blocks(stage);
    }
    conv(name + ".output", {code_width, 3, model_.conv_width});
  }

  TinyModel model_;
  std::uint32_t state_;
  std::map<std::string, Tensor> tensors_;
};

inline std::vector<unsigned char> tiny_model(const TinyModel& model = {}) { return TinyFile(model).bytes(); }

}  // namespace lf
