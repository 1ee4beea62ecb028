// A model in one file, checked before anything of it is used: sizes, and a view of every weight.
#pragma once

#include <cstddef>
#include <cstdint>

#include "attention.h"
#include "error.h"
#include "mapped_file.h"
#include "memory.h"
#include "weights.h"

namespace lf {

struct FeedForwardWeights {
  LinearWeights expand;  // then GELU
  ResidualWeights contract;
};

// A layer of a transformer; what its two parts make is added to the stream.
struct LayerWeights {
  LinearWeights qkv;  // (3D, D): queries, keys, values
  ResidualWeights attention_output;
  FeedForwardWeights feed_forward;
};

// Sizes are in the order of the matrices; widths of heads are width / heads.
struct GeneratorWeights {
  std::size_t width = 0, heads = 0, feedforward = 0, condition_width = 0, max_tokens = 0, codes = 0;
  AttentionMode attention = AttentionMode::full;
  bool padding_is_exact = true;
  float eps = 0, head_eps = 0;

  WeightMatrix table;           // (K + 2, 4D): hidden state, queries, keys, values of each id
  WeightMatrix positions;       // (max_tokens, 4D)
  LinearWeights condition;      // (4D, C); without a condition the row is the bias
  Vector<LayerWeights> layers;  // qkv of the first is empty: the tables hold it
  LinearWeights dense, logits;  // GELU between them; (D, D), (K, D)
};

// Text alone: word pieces to hidden states, which carry sums before their LayerNorm.
struct TextWeights {
  std::size_t width = 0, heads = 0, feedforward = 0, max_positions = 0, max_tokens = 0, embedding_width = 0;
  bool padding_is_exact = true;
  float eps = 0;

  WeightMatrix words, positions;  // (V, D), (P, D); their sum enters the first layer
  Vector<LayerWeights> layers;
  LinearWeights memory;     // (2XD, D): keys, then values of each cross-attention in turn
  LinearWeights embedding;  // (E, D) of the first piece, then to length 1; empty where the model reads no motion
};

// The queries that read a text or a motion: a memory of M rows of 2XD.
struct QueryWeights {
  std::size_t count = 0, width = 0, heads = 0, feedforward = 0, cross_attentions = 0;
  float eps = 0;

  // qkv and attention_output of the first are empty: `start` holds the result.
  struct Layer : LayerWeights {
    bool has_cross_attention = false;
    LinearWeights cross_query;  // (D, D)
    ResidualWeights cross_output;
  };
  const float* start = nullptr;  // (Q, D): behind the first self-attention, before its LayerNorm
  Vector<Layer> layers;
  NormWeights norm;  // of what comes out
};

// Motion side, behind the encoder.
struct MotionWeights {
  LinearWeights memory;     // (2XD, code_dim), no LayerNorm in front
  LinearWeights embedding;  // (E, D) of each query, each to length 1, then their mean to length 1
};

struct EncoderWeights {
  std::size_t features = 0, width = 0, code_width = 0;

  struct Stage {
    ConvWeights down;  // 4 taps, stride 2
    Vector<ConvBlockWeights> blocks;
  };
  ConvWeights input;  // then relu
  Vector<Stage> stages;
  ConvWeights output;
};

struct DecoderWeights {
  std::size_t code_width = 0, width = 0, features = 0;

  struct Stage {
    Vector<ConvBlockWeights> blocks;
    UpsampleWeights up;
  };
  ConvWeights input;  // then relu
  Vector<Stage> stages;
  ConvWeights hidden, output;  // relu between them
};

// linear, LayerNorm, GELU; the same again; linear: class i means i + 1 tokens.
struct LengthWeights {
  std::size_t condition_width = 0, hidden = 0, max_tokens = 0;
  float eps = 0;
  LinearWeights first, second, logits;
  NormWeights first_norm, second_norm;
};

class ModelFile {
 public:
  // Maps a file. What is wrong with it is said in one sentence; then nothing is left open.
  static bool open(const char* path, const Allocator& allocator, ModelFile& file, Error& error);

  // The same of memory, which must stay as long as the ModelFile; if it is not aligned to 64 bytes, it is copied.
  static bool read(const void* data, std::size_t bytes, const Allocator& allocator, ModelFile& file, Error& error);

  bool makes_motions = false;       // generator, decoder, codebook are there; the last two always are
  bool predicts_lengths = false;    // length is there
  bool reads_motions = false;       // motion, text.embedding are there; encoder always is
  bool has_motion_encoder = false;  // motions are read by motion_encoder, else by encoder

  std::size_t joints = 0, features = 0, codes = 0, code_width = 0;
  float frames_per_second = 0;

  GeneratorWeights generator;
  TextWeights text;
  QueryWeights queries;
  MotionWeights motion;
  EncoderWeights encoder, motion_encoder;
  DecoderWeights decoder;
  LengthWeights length;
  const float* codebook = nullptr;                    // (codes, code_width)
  const float *mean = nullptr, *deviation = nullptr;  // (features,)
  const char* vocabulary = nullptr;                   // vocabulary_bytes of UTF-8, a piece a line, each with its '\n'
  std::size_t vocabulary_bytes = 0;

 private:
  MappedFile mapping_;
  Buffer<unsigned char> copy_;
};

}  // namespace lf
