#include <cstring>

#include "decoder.h"
#include "linear.h"

namespace lf::cuda {
namespace {

constexpr int kThreads = 128;

struct Gather {
  const std::int64_t* ids;  // (rows,); beyond the codes the last one counts
  const void* codebook;     // (codes, stride)
  void* out;                // (rows, stride)
  int codes, stride;
};

// One block a row.
template <typename Element>
LF_KERNEL(kThreads)
gather_kernel(const Gather p) {
  wait_for_previous_kernel();
  let_next_kernel_begin();
  const std::int64_t id = p.ids[block_x()];
  const std::int64_t code = id < 0 || id >= p.codes ? p.codes - 1 : id;
  const Element* const from = static_cast<const Element*>(p.codebook) + code * p.stride;
  Element* const to = static_cast<Element*>(p.out) + static_cast<std::size_t>(block_x()) * p.stride;
  for (int i = thread() * 8; i < p.stride; i += kThreads * 8) {
    float eight[8];
    load8(eight, from + i);
    store8(to + i, eight);
  }
}

// kernels/recover_joints.py, of features in units.
struct Recover {
  const float* raw;             // (samples, frames, stride)
  const std::int64_t* lengths;  // (samples,) in tokens
  float* features;              // (samples, frames, width), zeros at and beyond a length
  float* joints;                // (samples, frames, num_joints, 3), the same
  float* track;                 // (samples, 3, frames): half the yaw, and the root's x and z
  int stride, frames, frames_of_token, width, num_joints;
};

// values[0] + ... + values[i] in the place of each, by one warp: a run of them a lane.
LF_DEVICE void sum_up(float* values, int count) {
  const int run = (count + kWarp - 1) / kWarp, first = lane() * run, end = first + run < count ? first + run : count;
  float own = 0;
  for (int i = first; i < end; ++i) own += values[i];
  float before = own;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const float other = shuffle_from(before, lane() >= distance ? lane() - distance : lane());
    if (lane() >= distance) before += other;
  }
  float sum = before - own;
  for (int i = first; i < end; ++i) values[i] = sum += values[i];
}

struct Turned {
  float x, z;
};

// A horizontal vector turned about -Y by twice the angle.
LF_DEVICE Turned turn(float half_angle, float x, float z) {
  const Pair direction = turned_by(half_angle * 0.636619772367581343f);
  return {direction.a * x - direction.b * z, direction.b * x + direction.a * z};
}

// One block a sample.
LF_KERNEL(kThreads) recover_kernel(const Recover p) {
  float* const half = p.track + static_cast<std::size_t>(block_x()) * 3 * p.frames;
  float* const root_x = half + p.frames;
  float* const root_z = root_x + p.frames;
  wait_for_previous_kernel();
  let_next_kernel_begin();
  const int sample = block_x();
  const float* const raw = p.raw + static_cast<std::size_t>(sample) * p.frames * p.stride;
  const int end = static_cast<int>(p.lengths[sample]) * p.frames_of_token;
  const std::size_t first = static_cast<std::size_t>(sample) * p.frames;

  for (int i = thread(); i < p.frames * p.width; i += kThreads) {
    const int t = i / p.width;
    p.features[first * p.width + i] = t < end ? raw[static_cast<std::size_t>(t) * p.stride + i % p.width] : 0;
  }
  // A frame tells the turn and the step into the next one.
  for (int t = thread(); t < end; t += kThreads) half[t] = t > 0 ? raw[static_cast<std::size_t>(t - 1) * p.stride] : 0;
  block_barrier();
  if (thread() < kWarp) sum_up(half, end);
  block_barrier();
  for (int t = thread(); t < end; t += kThreads) {
    const float* const step = raw + static_cast<std::size_t>(t > 0 ? t - 1 : 0) * p.stride;
    const Turned turned = turn(half[t], step[1], step[2]);
    root_x[t] = t > 0 ? turned.x : 0;
    root_z[t] = t > 0 ? turned.z : 0;
  }
  block_barrier();
  if (thread() / kWarp == 0) sum_up(root_x, end);
  if (thread() / kWarp == 1) sum_up(root_z, end);
  block_barrier();
  for (int i = thread(); i < p.frames * p.num_joints; i += kThreads) {
    const int t = i / p.num_joints, joint = i % p.num_joints;
    float* const to = p.joints + (first * p.num_joints + i) * 3;
    const float* const frame = raw + static_cast<std::size_t>(t) * p.stride;
    float x = 0, y = 0, z = 0;
    if (t < end) {
      x = root_x[t], y = frame[3], z = root_z[t];
      if (joint > 0) {
        const float* const local = frame + 4 + 3 * (joint - 1);
        const Turned turned = turn(half[t], local[0], local[2]);
        x += turned.x, y = local[1], z += turned.z;
      }
    }
    to[0] = x, to[1] = y, to[2] = z;
  }
}

}  // namespace

bool Decoder::create(const ModelFile& file, Numbers wanted, Error& error) {
  if (!find_device(error)) return false;
  const DecoderWeights& weights = file.decoder;
  numbers = wanted;
  codes = static_cast<int>(file.codes), features = static_cast<int>(weights.features);
  joints = static_cast<int>(file.joints);
  code_stride = up(weights.code_width, kColumnStep), width_stride = up(weights.width, kColumnStep);
  feature_stride = up(weights.features, kColumnStep);

  Packer packer(numbers);
  const WeightMatrix vectors{Dtype::f32, file.codes, file.code_width, file.codebook, nullptr};
  codebook = packer.matrix(vectors, straight(file.codes), codes, straight(file.code_width), code_stride, true, nullptr);
  const auto matrix = [&](const LinearWeights& linear, std::size_t inputs, std::size_t taps, int inner) {
    return packer.linear(linear, {}, false, straight(linear.matrix.rows), by_taps(inputs, taps, inner), inner,
                         static_cast<int>(taps));
  };
  const auto conv = [&](const ConvWeights& given, int inner) {
    const int taps = static_cast<int>(given.taps), dilation = static_cast<int>(given.dilation);
    return Conv{matrix(given.linear, given.inputs, given.taps, inner), taps, -(taps / 2) * dilation, dilation};
  };
  const auto phase = [&](const LinearWeights& given, int first_tap) {
    return Conv{matrix(given, weights.width, 2, width_stride), 2, first_tap, 1};
  };
  input = conv(weights.input, code_stride);
  stages.clear();
  for (const DecoderWeights::Stage& given : weights.stages) {
    Stage stage;
    for (const ConvBlockWeights& block : given.blocks) {
      stage.blocks.push_back({conv(block.conv1, width_stride), conv(block.conv2, width_stride)});
    }
    stage.even = phase(given.up.even, -1), stage.odd = phase(given.up.odd, 0);
    stages.push_back(stage);
  }
  hidden = conv(weights.hidden, width_stride);
  output = conv(weights.output, width_stride);
  std::vector<float> scale(file.deviation, file.deviation + features), bias(file.mean, file.mean + features);
  for (int f = 0; f < features; ++f) {
    bias[f] += weights.output.linear.bias[f] * scale[f];
    if (weights.output.linear.matrix.scale != nullptr) scale[f] *= weights.output.linear.matrix.scale[f];
  }
  output.packed.weight_scale = packer.vector(scale.data(), straight(scale.size()), feature_stride);
  output.packed.bias = packer.vector(bias.data(), straight(bias.size()), feature_stride);

  const std::vector<unsigned char>& bytes = packer.bytes();
  return memory.allocate(bytes.size(), error) && copy(memory.at<void>(0), bytes.data(), bytes.size(), nullptr, error) &&
         synchronize(nullptr, error);
}

bool Decoding::create(const Decoder& decoder, int samples, int tokens, Error& error) {
  decoder_ = &decoder, samples_ = samples, tokens_ = tokens, stages_ = static_cast<int>(decoder.stages.size());
  const std::size_t rows = static_cast<std::size_t>(samples) * frames();
  const std::size_t element = decoder.numbers == Numbers::bf16 ? 2 : 4;
  std::size_t bytes = 0;
  const auto reserve = [&](std::size_t& at, std::size_t count, std::size_t size) {
    at = bytes;
    bytes = (bytes + count * size + kAlign - 1) / kAlign * kAlign;
  };
  reserve(gathered_, static_cast<std::size_t>(samples) * tokens * decoder.code_stride, element);
  for (std::size_t& at : x_) reserve(at, rows * decoder.width_stride, element);
  reserve(hidden_, rows * decoder.width_stride, element);
  reserve(raw_, rows * decoder.feature_stride, 4);
  reserve(features_, rows * decoder.features, 4);
  reserve(joints_, rows * decoder.joints * 3, 4);
  reserve(track_, rows * 3, 4);
  return count_processors(processors_, error) && memory_.allocate(bytes, error) &&
         clear(memory_.at<void>(0), bytes, nullptr, error) && synchronize(nullptr, error);
}

bool Decoding::enqueue(const std::int64_t* ids, const std::int64_t* lengths, void* stream, bool dependent,
                       Error& error) {
  return decoder_->numbers == Numbers::bf16 ? stages<bf16>(ids, lengths, stream, dependent, error)
                                            : stages<float>(ids, lengths, stream, dependent, error);
}

template <typename Element>
bool Decoding::stages(const std::int64_t* ids, const std::int64_t* lengths, void* stream, bool dependent,
                      Error& error) {
  const Decoder& d = *decoder_;
  const Memory& weights = d.memory;
  int rate = 1;  // rows of a token
  const auto conv = [&](const Decoder::Conv& layer, std::size_t from, std::size_t to, bool relu_input, auto&& more) {
    const auto vector = [&](std::size_t at) { return at == kNone ? nullptr : weights.at<float>(at); };
    Linear p;
    p.x = memory_.at<void>(from), p.x_stride = layer.packed.inner;
    p.weight = weights.at<void>(layer.packed.weight);
    p.inner = layer.packed.inner, p.outer = layer.packed.outer;
    p.weight_scale = vector(layer.packed.weight_scale), p.bias = vector(layer.packed.bias);
    p.rows = samples_ * tokens_ * rate, p.period = tokens_ * rate;
    p.taps = layer.taps, p.first_tap = layer.first_tap, p.dilation = layer.dilation;
    p.lengths = lengths, p.rows_of_length = rate;
    p.relu_input = relu_input;
    p.y = memory_.at<void>(to), p.y_stride = layer.packed.outer;
    more(p);
    return run<Element>(p, tile_for(p, processors_), stream, dependent, error);
  };
  const auto rectified = [](Linear& p) { p.activation = Linear::Activation::relu; };

  const Gather gather{ids, weights.at<void>(d.codebook), memory_.at<void>(gathered_), d.codes, d.code_stride};
  const Launch rows{{static_cast<unsigned>(samples_) * tokens_, 1, 1}, kThreads, 0, stream, dependent};
  if (!launch(gather_kernel<Element>, rows, error, gather)) return false;
  std::size_t x = x_[0], wider = x_[1];
  if (!conv(d.input, gathered_, x, false, rectified)) return false;
  for (const Decoder::Stage& stage : d.stages) {
    for (const Decoder::Block& block : stage.blocks) {
      // Each row of x is read where it is written.
      const auto added = [&](Linear& p) { p.residual = memory_.at<void>(x), p.residual_stride = d.width_stride; };
      if (!conv(block.conv1, x, hidden_, true, rectified) || !conv(block.conv2, hidden_, x, false, added)) return false;
    }
    const auto phase = [](int which) { return [which](Linear& p) { p.y_first = which, p.y_step = 2; }; };
    if (!conv(stage.even, x, wider, false, phase(0)) || !conv(stage.odd, x, wider, false, phase(1))) return false;
    std::swap(x, wider);
    rate *= 2;
  }
  const auto as_float = [](Linear& p) { p.y_is_float = true; };
  if (!conv(d.hidden, x, hidden_, false, rectified) || !conv(d.output, hidden_, raw_, false, as_float)) return false;

  const Recover recover{memory_.at<float>(raw_),
                        lengths,
                        memory_.at<float>(features_),
                        memory_.at<float>(joints_),
                        memory_.at<float>(track_),
                        d.feature_stride,
                        frames(),
                        rate,
                        d.features,
                        d.joints};
  const Launch whole{{static_cast<unsigned>(samples_), 1, 1}, kThreads, 0, stream, dependent};
  return launch(recover_kernel, whole, error, recover);
}

}  // namespace lf::cuda
