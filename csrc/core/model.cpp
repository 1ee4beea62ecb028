#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

namespace lf {
namespace {

bool out_of_memory(Error& error) noexcept {
  return fail(error, status::out_of_memory, "there is not enough memory for the model");
}

// The linear layers of a motion's side read latents as they are.
Precision latent_precision(Precision precision) noexcept {
  return precision == Precision::int8 ? Precision::bf16 : precision;
}

// Copies what a view shows, and lets it show the copy; only measures where the arena has no memory.
template <class T>
void keep(const T*& view, std::size_t bytes, Arena& arena) noexcept {
  void* const copy = arena.take<unsigned char>(bytes);
  if (copy != nullptr) view = static_cast<const T*>(std::memcpy(copy, view, bytes));
}

void keep(WeightMatrix& matrix, Arena& arena) noexcept {
  keep(matrix.data, matrix.rows * matrix.columns * size_of(matrix.dtype), arena);
  if (matrix.scale != nullptr) keep(matrix.scale, matrix.rows * sizeof(float), arena);
}

void keep(NormWeights& norm, std::size_t width, Arena& arena) noexcept {
  keep(norm.scale, width * sizeof(float), arena);
  keep(norm.shift, width * sizeof(float), arena);
}

// What is looked up while the model is used. All else is packed when it is loaded, so the file may go.
void keep_tables(ModelFile& file, Arena& arena) noexcept {
  keep(file.vocabulary, file.vocabulary_bytes, arena);
  keep(file.mean, file.features * sizeof(float), arena);
  keep(file.deviation, file.features * sizeof(float), arena);
  keep(file.codebook, file.codes * file.code_width * sizeof(float), arena);
  keep(file.text.words, arena);
  keep(file.text.positions, arena);
  keep(file.queries.start, file.queries.count * file.queries.width * sizeof(float), arena);
  keep(file.queries.norm, file.queries.width, arena);
  if (file.makes_motions) {
    keep(file.generator.table, arena);
    keep(file.generator.positions, arena);
    keep(file.generator.condition.bias, 4 * file.generator.width * sizeof(float), arena);
  }
  if (file.predicts_lengths) {
    keep(file.length.first_norm, file.length.hidden, arena);
    keep(file.length.second_norm, file.length.hidden, arena);
  }
}

}  // namespace

bool Model::open(const char* path, Precision precision, const Allocator& allocator, Error& error,
                 const Kernels& kernels) noexcept {
  try {
    ModelFile file;
    return ModelFile::open(path, allocator, file, error) && load(file, precision, allocator, error, kernels);
  } catch (const std::bad_alloc&) {
    return out_of_memory(error);
  }
}

bool Model::read(const void* data, std::size_t bytes, Precision precision, const Allocator& allocator, Error& error,
                 const Kernels& kernels) noexcept {
  try {
    ModelFile file;
    return ModelFile::read(data, bytes, allocator, file, error) && load(file, precision, allocator, error, kernels);
  } catch (const std::bad_alloc&) {
    return out_of_memory(error);
  }
}

bool Model::load(ModelFile& file, Precision precision, const Allocator& allocator, Error& error,
                 const Kernels& kernels) {
  if (!file.text.padding_is_exact || (file.makes_motions && !file.generator.padding_is_exact)) {
    return fail(error, status::unsupported,
                "this model attends to padding, as released ones do; export one with padding \"exact\"");
  }
  precision_ = precision;
  kernels_ = &kernels;
  Arena measure;
  keep_tables(file, measure);
  tables_ = Buffer<unsigned char>(measure.used(), allocator);
  Arena arena(tables_.data(), tables_.size());
  keep_tables(file, arena);
  codebook_ = file.codebook;
  mean_ = file.mean;
  deviation_ = file.deviation;
  text_ = TextEncoder(kernels, precision, file.text, allocator);
  queries_ = Queries(kernels, precision, file.queries, allocator);
  decoder_ = Decoder(kernels, precision, file.decoder, file.codebook, file.codes, allocator);
  encoder_ = Encoder(kernels, precision, file.encoder, allocator);
  if (file.makes_motions) generator_ = Generator(kernels, precision, file.generator, allocator);
  if (file.predicts_lengths) length_ = LengthPredictor(kernels, file.length, allocator);
  if (file.has_motion_encoder) motion_encoder_ = Encoder(kernels, precision, file.motion_encoder, allocator);
  if (file.reads_motions) {
    motion_memory_ = Linear(kernels, latent_precision(precision), file.motion.memory, allocator);
    motion_embedding_ = Linear(kernels, precision, file.motion.embedding, allocator);
  }
  if (!words_.read({file.vocabulary, file.vocabulary_bytes}, allocator, error)) return false;

  sizes_.max_tokens = file.makes_motions ? file.generator.max_tokens : file.queries.count;
  sizes_.max_text_tokens = file.text.max_tokens;
  sizes_.codes = file.codes;
  sizes_.features = file.features;
  sizes_.joints = file.joints;
  sizes_.condition_width = file.text.width;
  sizes_.embedding_width = file.reads_motions ? file.text.embedding_width : 0;
  sizes_.frames_per_second = file.frames_per_second;
  sizes_.makes_motions = file.makes_motions;
  sizes_.predicts_lengths = file.predicts_lengths;
  sizes_.reads_motions = file.reads_motions;
  sizes_.has_motion_encoder = file.has_motion_encoder;
  return true;
}

std::size_t Model::bytes() const noexcept {
  return text_.bytes() + queries_.bytes() + generator_.bytes() + decoder_.bytes() + encoder_.bytes() +
         motion_encoder_.bytes() + motion_memory_.bytes() + motion_embedding_.bytes() + length_.bytes() +
         tables_.size();
}

bool Model::length(Workspace& workspace, const Executor& executor, const float* condition, std::size_t& tokens,
                   Error& error) const noexcept {
  if (!sizes_.predicts_lengths) return fail(error, status::unsupported, kPredictsNone);
  tokens = length_.predict(executor, workspace.reading_.length, condition);
  return true;
}

bool Model::check_known(const std::int64_t* ids, std::size_t tokens, Error& error) const noexcept {
  if (tokens < 1 || tokens > sizes_.max_tokens) {
    return fail(error, status::invalid_argument, "%zu tokens are wanted, expected 1 to %zu", tokens, sizes_.max_tokens);
  }
  const std::int64_t pad_id = static_cast<std::int64_t>(sizes_.codes) + 1;
  for (std::size_t n = 0; n < tokens; ++n) {
    if (ids[n] >= 0 && ids[n] <= pad_id) continue;
    return fail(error, status::invalid_argument, "known token %zu is %lld, expected 0 to %zu; %zu asks for one", n,
                static_cast<long long>(ids[n]), sizes_.codes, sizes_.codes);
  }
  return true;
}

bool Model::score(Workspace& workspace, const Executor& executor, const float* condition, const std::int64_t* ids,
                  std::size_t tokens, bool guided, float* logits, Error& error) const noexcept {
  if (!sizes_.makes_motions) return fail(error, status::unsupported, kMakesNone);
  if (!check_known(ids, tokens, error)) return false;
  Generator::Scratch& scratch = workspace.drawing_;
  generator_.score(executor, scratch, guided, condition, ids, tokens);
  for (std::size_t branch = 0; branch < scratch.branches; ++branch) {
    for (std::size_t r = 0; r < scratch.count; ++r) {
      std::copy_n(scratch.logits + (branch * scratch.count + r) * sizes_.codes, sizes_.codes,
                  logits + (branch * tokens + static_cast<std::size_t>(scratch.masked[r])) * sizes_.codes);
    }
  }
  return true;
}

bool Model::decode(Workspace& workspace, const Executor& executor, const std::int64_t* ids, std::size_t tokens,
                   float* features, Error& error) const noexcept {
  if (tokens < 1 || tokens > workspace.max_tokens_) {
    return fail(error, status::invalid_argument, "there are %zu tokens to decode, expected 1 to %zu", tokens,
                workspace.max_tokens_);
  }
  for (std::size_t n = 0; n < tokens; ++n) {
    if (ids[n] < 0 || ids[n] >= static_cast<std::int64_t>(sizes_.codes)) {
      return fail(error, status::invalid_argument, "token %zu is %lld, expected a code from 0 to %zu", n,
                  static_cast<long long>(ids[n]), sizes_.codes - 1);
    }
  }
  decoder_.begin(workspace.decoding_, ids, tokens);
  while (decoder_.advance(executor, workspace.decoding_, features)) {
  }
  to_units(features, tokens * kFramesPerToken);
  return true;
}

void Model::to_units(float* features, std::size_t frames) const noexcept {
  for (std::size_t t = 0; t < frames; ++t, features += sizes_.features) {
    for (std::size_t f = 0; f < sizes_.features; ++f) features[f] = features[f] * deviation_[f] + mean_[f];
  }
}

std::size_t Workspace::bytes(const Model& model, std::size_t max_tokens) noexcept {
  Workspace measured;
  Arena arena;
  measured.lay_out(model, max_tokens, arena);
  return measured.used_;
}

bool Workspace::create(const Model& model, std::size_t max_tokens, const Allocator& allocator, Error& error) noexcept {
  const std::size_t needed = bytes(model, max_tokens);
  try {
    memory_ = Buffer<unsigned char>(needed, allocator);
  } catch (const std::bad_alloc&) {
    return fail(error, status::out_of_memory, "there is not enough memory for a workspace of %zu bytes", needed);
  }
  Arena arena(memory_.data(), memory_.size());
  lay_out(model, max_tokens, arena);
  return true;
}

void Workspace::lay_out(const Model& model, std::size_t max_tokens, Arena& arena) noexcept {
  const ModelSizes& sizes = model.sizes_;
  const Kernels& kernels = *model.kernels_;
  max_tokens_ = max_tokens = std::max(max_tokens, sizes.max_tokens);
  pieces_ = arena.take<std::int32_t>(sizes.max_text_tokens);
  condition_ = arena.take<float>(sizes.condition_width);
  ids_ = arena.take<std::int64_t>(max_tokens);
  features_ = arena.take<float>(max_tokens * kFramesPerToken * sizes.features);
  latents_ = arena.take<float>(max_tokens * std::max(model.encoder_.code_width(), model.motion_encoder_.code_width()));
  if (sizes.makes_motions) first_step_ = Generator::FirstStep(model.generator_, arena);

  const std::size_t shared = arena.used();
  used_ = shared;
  const auto next = [&] {
    used_ = std::max(used_, arena.used());
    arena.rewind(shared);
  };
  reading_.text = TextEncoder::Scratch(model.text_, arena);
  reading_.queries = Queries::Scratch(model.queries_, std::max(sizes.max_text_tokens, sizes.max_tokens), arena);
  if (sizes.predicts_lengths) reading_.length = LengthPredictor::Scratch(model.length_, arena);
  if (sizes.reads_motions) {
    reading_.latents = LinearInput(kernels, latent_precision(model.precision_), sizes.max_tokens,
                                   model.motion_memory_.inputs(), arena);
    reading_.embeddings = arena.take<float>(model.queries_.count() * sizes.embedding_width);
  }
  next();
  if (sizes.makes_motions) drawing_ = Generator::Scratch(model.generator_, arena);
  next();
  decoding_ = Decoder::Scratch(model.decoder_, max_tokens, arena);
  next();
  encoding_.normal = arena.take<float>(max_tokens * kFramesPerToken * sizes.features);
  encoding_.encoder = Encoder::Scratch(model.encoder_, max_tokens, arena);
  if (model.sizes_.has_motion_encoder) {
    encoding_.motion_encoder = Encoder::Scratch(model.motion_encoder_, sizes.max_tokens, arena);
  }
  next();
}

}  // namespace lf
