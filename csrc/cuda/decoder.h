// From tokens to features and joints: the conv decoder of a model file, channels last.
#pragma once

#include <vector>

#include "error.h"
#include "model_file.h"
#include "pack.h"
#include "runtime.h"

namespace lf::cuda {

// Weights in the GPU's memory.
class Decoder {
 public:
  bool create(const ModelFile& file, Numbers numbers, Error& error);

  struct Conv {
    Packed packed;
    int taps, first_tap, dilation;
  };
  struct Block {
    Conv conv1, conv2;
  };
  struct Stage {
    std::vector<Block> blocks;
    Conv even, odd;
  };

  Numbers numbers = Numbers::bf16;
  int codes = 0, features = 0, joints = 0;
  int code_stride = 0, width_stride = 0, feature_stride = 0;
  std::size_t codebook = 0;
  Conv input{}, hidden{}, output{};  // the output holds the statistics: its result is in the data set's units
  std::vector<Stage> stages;
  Memory memory;
};

// The memory between the layers, for one shape of request.
class Decoding {
 public:
  bool create(const Decoder& decoder, int samples, int tokens, Error& error);

  // ids (samples, tokens), lengths (samples,) in tokens.
  bool enqueue(const std::int64_t* ids, const std::int64_t* lengths, void* stream, bool dependent, Error& error);

  int frames() const { return tokens_ << stages_; }                       // of a sample
  const float* features() const { return memory_.at<float>(features_); }  // (samples, frames, features)
  const float* joints() const { return memory_.at<float>(joints_); }      // (samples, frames, joints, 3)
  std::size_t bytes() const { return memory_.bytes(); }

 private:
  template <typename Element>
  bool stages(const std::int64_t* ids, const std::int64_t* lengths, void* stream, bool dependent, Error& error);

  const Decoder* decoder_ = nullptr;
  int samples_ = 0, tokens_ = 0, stages_ = 0, processors_ = 1;
  std::size_t gathered_ = 0, x_[2] = {}, hidden_ = 0, raw_ = 0, features_ = 0, joints_ = 0, track_ = 0;
  Memory memory_;
};

}  // namespace lf::cuda
