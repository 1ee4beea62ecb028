// Model files: whole ones are read, every kind of damage gets its sentence, random damage never more than that.
#include "model_file.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "json.h"
#include "safetensors.h"
#include "tiny_model.h"
#include "word_pieces.h"

namespace {

using Bytes = std::vector<unsigned char>;

int failures = 0;

void expect(bool condition, const char* what, const char* more = "") {
  if (condition) return;
  std::printf("FAILED: %s %s\n", what, more);
  ++failures;
}

const lf::Allocator kMemory = lf::system_allocator();

bool reads(const Bytes& bytes, lf::Error& error) {
  lf::ModelFile file;
  return lf::ModelFile::read(bytes.data(), bytes.size(), kMemory, file, error);
}

void refused(const Bytes& bytes, const char* words) {
  lf::Error error;
  const bool good = reads(bytes, error);
  expect(!good && error.status != lf::status::ok, "refused:", words);
  expect(std::strstr(error.text, words) != nullptr, words, error.text);
}

void whole_files() {
  for (const lf::Dtype storage : {lf::Dtype::f32, lf::Dtype::bf16, lf::Dtype::i8}) {
    for (int parts = 0; parts < 16; ++parts) {
      lf::TinyModel model;
      model.storage = storage;
      model.generator = parts & 1;
      model.length = parts & 2;
      model.reads_motions = parts & 4;
      model.motion_encoder = parts & 8;
      if (model.motion_encoder) model.motion_code_width = 10;
      const Bytes bytes = lf::tiny_model(model);
      lf::ModelFile file;
      lf::Error error;
      expect(lf::ModelFile::read(bytes.data(), bytes.size(), kMemory, file, error), "a whole file is read", error.text);
      expect(file.makes_motions == model.generator && file.predicts_lengths == model.length &&
                 file.reads_motions == model.reads_motions && file.has_motion_encoder == model.motion_encoder,
             "the parts it has");
      expect(file.text.layers.size() == 3 && file.queries.cross_attentions == 2 && file.text.memory.matrix.rows == 32,
             "the sizes of its text side");
      expect(file.decoder.stages[1].up.odd.matrix.rows == model.conv_width, "a phase of an upsampling");
      expect(file.encoder.stages[0].down.stride == 2 && file.encoder.stages[0].blocks[0].conv1.dilation == 3,
             "strides and dilations");
      expect((file.text.words.scale != nullptr) == (storage == lf::Dtype::i8), "scales beside int8");
    }
  }
}

void file_on_disk() {
  const char* const path = "model \xc3\xa9\xe6\xa8\xa1.safetensors";  // UTF-8, as everywhere
  const std::filesystem::path place = std::filesystem::u8path(path);
  const Bytes bytes = lf::tiny_model();
  std::ofstream out(place, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  out.close();
  expect(out.good(), "a file is written");
  lf::ModelFile file, other;
  lf::Error error;
  expect(lf::ModelFile::open(path, kMemory, file, error), "and mapped", error.text);
  const float first = file.codebook[0];
  other = std::move(file);
  file = lf::ModelFile();
  expect(other.codebook[0] == first && other.generator.layers.size() == 2, "and moved");
  other = lf::ModelFile();
  std::filesystem::remove(place);
  expect(!lf::ModelFile::open(path, kMemory, other, error) && error.status == lf::status::file, "no file");
  expect(!lf::ModelFile::open(".", kMemory, other, error) && error.status == lf::status::file, "a folder");
}

template <class Change>
Bytes changed(Change change, lf::Dtype storage = lf::Dtype::f32) {
  lf::TinyModel model;
  model.storage = storage;
  lf::TinyFile file(model);
  change(file.tensors());
  return file.bytes();
}

Bytes with_config(std::string_view from, std::string_view to) {
  const lf::TinyFile file{lf::TinyModel()};
  std::string config = file.config();
  const std::size_t at = config.find(from);
  expect(at != std::string::npos, "the configuration holds", std::string(from).c_str());
  return file.bytes(config.replace(at, from.size(), to));
}

Bytes with_header(std::string_view from, std::string_view to) {
  Bytes bytes = lf::tiny_model();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t at = text.find(from);
  expect(at != std::string_view::npos && from.size() == to.size(), "the header holds", std::string(from).c_str());
  std::memcpy(&bytes[at], to.data(), to.size());
  return bytes;
}

void damaged_containers() {
  const Bytes whole = lf::tiny_model();
  refused({}, "this is no model file");
  refused(Bytes(64, 0x80), "this is no model file");
  refused(Bytes(whole.begin(), whole.end() - 1), "beyond the end of the file");
  refused(Bytes(whole.begin(), whole.begin() + 100), "is cut short");
  Bytes longer = whole;
  longer.push_back(0);
  refused(longer, "before the file does");
  Bytes huge = whole;
  huge[4] = 1;
  refused(huge, "is cut short");

  refused(with_header("\"dtype\":\"F32\"", "\"dtype\":\"F64\""), "another dtype");
  refused(with_header("[263]", "[26 ]"), "another number of bytes");
  refused(with_header("\"shape\":[263]", "\"shape\":[-63]"), "zero, or too large");
  refused(with_header("\"shape\":[263]", "\"shape\":[ 0 ]"), "zero, or too large");
  refused(with_header("\"shape\":[263]", "\"shape\":[1e9]"), "zero, or too large");
  refused(with_header("\"shape\":[263]", "\"shape\":    7"), "no shape");
  refused(with_header("\"data_offsets\":[0,264]", "\"data_offsets\":[4,268]"), "does not begin where another ends");
  refused(with_header("queries.norm_shift", "queries.norm_scale"), "each name once");
  refused(with_header("statistics.std", "statistics std"), "not ASCII");
  refused(with_header("__metadata__", "__metadate__"), "tensor");
  refused(with_header("lamp_fast", "lamp_slow"), "no model for the library");
  refused(with_header("\"codebook\"", "\"codebooK\""), "lacks the tensor codebook");
}

void damaged_configurations() {
  refused(with_config("\"version\":1", "\"version\":2"), "has version 2, this library reads 1");
  refused(with_config("\"version\":1", "\"versioN\":1"), "no version");
  refused(with_config("humanml3d", "humanml4d"), "none that this version of the library knows");
  refused(with_config("\"joints\":22", "\"joints\":21"), "joints must be a whole number from 22 to 22");
  refused(with_config("20.0", "-1"), "frames_per_second must be a positive number");
  refused(with_config("20.0", "\"20\""), "frames_per_second must be a positive number");
  refused(with_config("\"heads\":3", "\"heads\":5"), "do not divide");
  refused(with_config("\"heads\":3", "\"heads\":0"), "from 1 to 12");
  refused(with_config("\"layers\":2", "\"layers\":1"), "its configuration does not describe");
  refused(with_config("\"layers\":2", "\"layers\":3"), "lacks the tensor generator.2.qkv.weight");
  refused(with_config("\"layers\":2", "\"layers\":1e9"), "layers must be a whole number");
  refused(with_config("\"width\":12", "\"width\":24"), "its configuration asks for 13 x 96");
  refused(with_config("\"attention\":\"full\"", "\"attention\":7"), "attention is none");
  refused(with_config("\"max_tokens\":16", "\"max_tokens\":17"), "text.max_tokens must be a whole number from 1 to 16");
  refused(with_config("\"dilations\":[3,1]", "\"dilations\":[]"), "dilations");
  refused(with_config("\"dilations\":[3,1]", "\"dilations\":[0,1]"), "dilations");
  refused(with_config("\"dilations\":[3,1]", "\"dilations\":[3000000,1]"), "dilations");
  refused(with_config("\"reads_motions\":true", "\"reads_motions\":1"), "true or false");
  refused(with_config("\"text\":{", "\"text\":null,\"texts\":{"), "does not describe its text");
  refused(with_config("\"code_width\":6", "\"code_width\":65537"), "code_width must be a whole number from 1 to 65536");
  refused(with_config("{\"version\"", "[{\"version\""), "should have");
  refused(with_config("\"version\":1", std::string("\"version\":") + std::string(40, '[')), "fewer levels");
}

void damaged_tensors() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto put = [](auto& tensor, std::size_t i, float value) { std::memcpy(&tensor.bytes[4 * i], &value, 4); };
  refused(changed([&](auto& t) { put(t["generator.0.expand.bias"], 3, nan); }), "holds NaN or an infinity");
  refused(changed([&](auto& t) { put(t["decoder.output.weight"], 5, 1.0f / 0.0f); }), "holds NaN or an infinity");
  refused(changed([&](auto& t) { put(t["text.words.scale"], 2, nan); }, lf::Dtype::i8), "holds NaN or an infinity");
  refused(changed([&](auto& t) { put(t["decoder.0.up.scale"], 17, -1.0f); }, lf::Dtype::i8), "positive numbers");
  refused(changed([&](auto& t) { put(t["statistics.std"], 262, 0.0f); }), "positive numbers");
  refused(changed([&](auto& t) { t["text.0.qkv.weight"].bytes[1] = 0xFF, t["text.0.qkv.weight"].bytes[0] = 0x80; },
                  lf::Dtype::bf16),
          "holds NaN or an infinity");
  refused(changed([&](auto& t) { t.erase("queries.1.contract.norm_shift"); }), "lacks the tensor");
  refused(changed([&](auto& t) { t.erase("text.words.scale"); }, lf::Dtype::i8), "lacks the tensor text.words.scale");
  refused(changed([&](auto& t) { t["generator.0.qkv.bias"] = t["generator.1.qkv.bias"]; }), "does not describe");
  refused(changed([&](auto& t) { t["codebook"].shape = {6, 11}; }), "has shape 6 x 11");
  refused(changed([&](auto& t) { t["codebook"].shape = {66}; }), "has shape 66");
  refused(changed([&](auto& t) { t["codebook"].dtype = lf::Dtype::bf16, t["codebook"].bytes.resize(132); }),
          "must be F32");
  refused(
      changed([&](auto& t) { t["text.words.weight"].dtype = lf::Dtype::u8, t["text.words.weight"].bytes.resize(128); }),
      "must be F32, BF16 or I8");
  refused(changed([&](auto& t) { t["vocabulary"].dtype = lf::Dtype::i8; }), "must be bytes");
  refused(changed([&](auto& t) { t["vocabulary"].bytes.back() = 'x'; }), "vocabulary has 15 lines");
}

void json_values() {
  lf::Json json;
  lf::Error error;
  const auto good = [&](std::string_view text) {
    const bool parsed = json.parse(text, "text", kMemory, error);
    expect(parsed, std::string(text).c_str(), error.text);
    return parsed;
  };
  const auto bad = [&](std::string_view text) {
    expect(!json.parse(text, "text", kMemory, error), "refused:", std::string(text).c_str());
  };
  const auto number = [&](std::string_view text, double value) {
    if (good(text)) expect(json.root().number == value, "number", std::string(text).c_str());
  };
  number("0", 0);
  number("-12", -12);
  number(" 18446744073709551615 ", 18446744073709551615.0);
  number("1e-12", 1e-12);
  number("12.5", 12.5);
  number("2.5E+3", 2500);
  good("18446744073709551615");
  expect(json.root().is_whole && json.root().whole == UINT64_MAX, "the largest whole number");
  good("1.0");
  expect(!json.root().is_whole, "1.0 is not whole");
  for (const char* text : {"",
                           " ",
                           "01",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "1e999",
                           "18446744073709551616",
                           "--1",
                           "nul",
                           "truex",
                           "\"",
                           "\"\\x\"",
                           "\"\\ud800\"",
                           "\"\\udc00\\ud800\"",
                           "\"\n\"",
                           "\"\x80\"",
                           "{\"a\":1,}",
                           "[1,]",
                           "[1 2]",
                           "{a:1}",
                           "{\"a\" 1}",
                           "{\"a\":1,\"a\":2}",
                           "[",
                           "{",
                           "[]]",
                           "1 1"}) {
    bad(text);
  }
  if (good("{\"a\":[1,{\"b\":null}],\"\\u00e9\\ud83d\\ude00\\n\":\"\\\"x\\/\",\"t\":true,\"f\":false}")) {
    const lf::JsonValue& root = json.root();
    expect(root.count == 4 && json.find(root, "a")->count == 2, "arrays and objects");
    expect(json.find(root, "\xC3\xA9\xF0\x9F\x98\x80\n")->string == "\"x/", "escapes");
    expect(json.find(root, "t")->boolean && !json.find(root, "f")->boolean, "true and false");
    expect(json.find(root, "b") == nullptr && json.find(*json.find(root, "a"), "b") == nullptr, "no such member");
  }
  good(std::string(15, '[') + std::string(15, ']'));
  bad(std::string(16, '[') + std::string(16, ']'));
  bad(std::string(1000000, '['));
  std::string many = "[0";
  for (std::size_t i = 0; i < lf::Json::kMaxValues; ++i) many += ",0";
  bad(many + "]");
}

// Memory that ends after so many allocations: nothing is lost, whatever fails.
void memory_that_ends() {
  struct Limited {
    int left, held;
  };
  for (int left = 0; left < 200; ++left) {
    Limited limited{left, 0};
    const lf::Allocator allocator = {[](std::size_t bytes, std::size_t, void* user) -> void* {
                                       auto& state = *static_cast<Limited*>(user);
                                       if (state.left-- <= 0) return nullptr;
                                       ++state.held;
                                       return ::operator new(bytes, std::align_val_t{lf::kAlignment}, std::nothrow);
                                     },
                                     [](void* memory, void* user) {
                                       --static_cast<Limited*>(user)->held;
                                       ::operator delete(memory, std::align_val_t{lf::kAlignment});
                                     },
                                     &limited};
    const Bytes bytes = lf::tiny_model();
    bool good = false;
    try {
      lf::ModelFile file;
      lf::Error error;
      good = lf::ModelFile::read(bytes.data(), bytes.size(), allocator, file, error);
      expect(good, "with enough memory it is read", error.text);
    } catch (const std::bad_alloc&) {
    }
    expect(limited.held == 0, "all memory is given back");
    if (good) return;
  }
  expect(false, "200 allocations are enough");
}

void words() {
  const std::string vocabulary = lf::TinyModel().vocabulary;
  lf::WordPieces words;
  lf::Error error;
  expect(words.read(vocabulary, kMemory, error), "a vocabulary is read", error.text);
  std::int32_t ids[16];
  std::size_t count = 0;
  expect(words.encode("The person WALKS, turning.", 16, ids, count, error), "a prompt is split", error.text);
  const std::int32_t expected[] = {2, 5, 6, 7, 11, 1, 12, 3};
  expect(count == 8 && std::equal(ids, ids + count, expected), "into its pieces");
  expect(!words.encode("the person", 3, ids, count, error) && error.status == lf::status::text, "a prompt too long");
  expect(std::strstr(error.text, "'the person' has 4 tokens") != nullptr, "says so", error.text);
}

// Bytes and words changed at random; whatever is still read is a whole model.
void random_damage() {
  lf::TinyModel model;
  model.storage = lf::Dtype::i8;
  const Bytes whole = lf::tiny_model(model);
  std::size_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  std::uint32_t state = 1;
  const auto random = [&](std::size_t below) {
    state = state * 1664525u + 1013904223u;
    return static_cast<std::size_t>((static_cast<std::uint64_t>(state) * below) >> 32);
  };
  constexpr std::string_view tokens[] = {
      "0", "9", "-", "e9", "[", "]", "{", "}", "\"", ",", "null", "F32", "I8", "\\u", "99999999999999999999"};
  int still_read = 0;
  for (int round = 0; round < 1500; ++round) {
    Bytes bytes = whole;
    for (std::size_t changes = 1 + random(4); changes > 0; --changes) {
      const std::size_t at = random(4) == 0 ? random(bytes.size()) : random(8 + header);
      switch (random(4)) {
        case 0:
          bytes[at] = static_cast<unsigned char>(random(256));
          break;
        case 1:
          bytes[at] ^= static_cast<unsigned char>(1u << random(8));
          break;
        case 2: {
          const std::string_view token = tokens[random(std::size(tokens))];
          for (std::size_t i = 0; i < token.size() && at + i < bytes.size(); ++i) {
            bytes[at + i] = static_cast<unsigned char>(token[i]);
          }
          break;
        }
        default:
          bytes.resize(random(16) == 0 ? at : bytes.size());
      }
      if (bytes.empty()) break;
    }
    lf::Error error;
    if (reads(bytes, error)) {
      ++still_read;
    } else {
      expect(error.status != lf::status::ok && error.text[0] != '\0', "damage gets a sentence");
    }
  }
  expect(still_read < 1500, "damage is found");
}

}  // namespace

int main() {
  whole_files();
  file_on_disk();
  damaged_containers();
  damaged_configurations();
  damaged_tensors();
  json_values();
  memory_that_ends();
  words();
  random_damage();
  return failures == 0 ? 0 : 1;
}
