#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "codebook.h"

namespace lf {
namespace {

constexpr char kMakesNone[] = "this model has no generator: it reads motions and texts but makes none";
constexpr char kPredictsNone[] = "this model does not predict lengths: give the number of tokens";
constexpr char kReadsNone[] = "this model makes motions but reads none";

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

bool Model::read_words(Workspace& workspace, const char* text, std::size_t bytes, Error& error) const noexcept {
  return words_.encode({text, bytes}, sizes_.max_text_tokens, workspace.pieces_, workspace.piece_count_, error);
}

bool Model::check_pieces(const std::int32_t* pieces, std::size_t count, Error& error) const noexcept {
  if (count < 1 || count > sizes_.max_text_tokens) {
    return fail(error, status::text, "the text has %zu word pieces, expected 1 to %zu", count, sizes_.max_text_tokens);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (pieces[i] < 0 || static_cast<std::size_t>(pieces[i]) >= words_.size()) {
      return fail(error, status::text, "word piece %zu is %d, expected 0 to %zu", i, pieces[i], words_.size() - 1);
    }
  }
  return true;
}

namespace {

bool read_all(const Model& model, Workspace& workspace, const Executor& executor, const ReadingRequest& request,
              Error& error) noexcept {
  Reading reading;
  if (!reading.begin(model, workspace, executor, request, error)) return false;
  while (reading.advance()) {
  }
  return reading.finish(error);
}

}  // namespace

bool Model::condition(Workspace& workspace, const Executor& executor, const char* text, std::size_t bytes,
                      float* condition, Error& error) const noexcept {
  ReadingRequest request;
  request.text = text;
  request.text_bytes = bytes;
  request.condition = condition;
  return read_all(*this, workspace, executor, request, error);
}

bool Model::condition(Workspace& workspace, const Executor& executor, const std::int32_t* pieces, std::size_t count,
                      float* condition, Error& error) const noexcept {
  ReadingRequest request;
  request.pieces = pieces;
  request.piece_count = count;
  request.condition = condition;
  return read_all(*this, workspace, executor, request, error);
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

bool Model::encode(Workspace& workspace, const Executor& executor, const float* features, std::size_t frames,
                   std::int64_t* ids, Error& error) const noexcept {
  ReadingRequest request;
  request.features = features;
  request.frames = frames;
  request.ids = ids;
  return read_all(*this, workspace, executor, request, error);
}

bool Model::embed_text(Workspace& workspace, const Executor& executor, const char* text, std::size_t bytes,
                       float* embedding, Error& error) const noexcept {
  ReadingRequest request;
  request.text = text;
  request.text_bytes = bytes;
  request.embedding = embedding;
  return read_all(*this, workspace, executor, request, error);
}

bool Model::embed_text(Workspace& workspace, const Executor& executor, const std::int32_t* pieces, std::size_t count,
                       float* embedding, Error& error) const noexcept {
  ReadingRequest request;
  request.pieces = pieces;
  request.piece_count = count;
  request.embedding = embedding;
  return read_all(*this, workspace, executor, request, error);
}

bool Model::embed_motion(Workspace& workspace, const Executor& executor, const float* features, std::size_t frames,
                         float* embedding, Error& error) const noexcept {
  ReadingRequest request;
  request.features = features;
  request.frames = frames;
  request.embedding = embedding;
  return read_all(*this, workspace, executor, request, error);
}

bool Reading::begin(const Model& model, Workspace& workspace, const Executor& executor, const ReadingRequest& request,
                    Error& error) noexcept {
  model_ = &model;
  workspace_ = &workspace;
  executor_ = &executor;
  request_ = request;
  phase_ = Phase::done;
  if (request.embeds() && !model.sizes_.reads_motions) return fail(error, status::unsupported, kReadsNone);
  if (request.features != nullptr) return begin_motion(error);
  if (request.text != nullptr) {
    if (!model.read_words(workspace, request.text, request.text_bytes, error)) return false;
    request_.pieces = workspace.pieces_;
    request_.piece_count = workspace.piece_count_;
  }
  if (!model.check_pieces(request_.pieces, request_.piece_count, error)) return false;
  model.text_.begin(workspace.reading_.text, request_.pieces, request_.piece_count);
  phase_ = Phase::words;
  return true;
}

bool Reading::begin_motion(Error& error) noexcept {
  Workspace::Encoding& encoding = workspace_->encoding_;
  const bool is_embedded = request_.embeds(), own = is_embedded && model_->sizes_.has_motion_encoder;
  const std::size_t most = is_embedded ? model_->sizes_.max_tokens : workspace_->max_tokens_;
  std::size_t tokens = request_.frames / kFramesPerToken;
  if (is_embedded) tokens = std::min(tokens, most);
  if (tokens < 1 || tokens > most) {
    return fail(error, status::invalid_argument, "the motion has %zu frames, expected %zu to %zu", request_.frames,
                kFramesPerToken, most * kFramesPerToken);
  }
  request_.frames = tokens * kFramesPerToken;
  const std::size_t width = model_->sizes_.features, count = request_.frames * width;
  bool finite = true;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t f = i % width;
    encoding.normal[i] = (request_.features[i] - model_->mean_[f]) / model_->deviation_[f];
    finite = finite && std::isfinite(encoding.normal[i]);
  }
  if (!finite) return fail(error, status::not_finite, "the motion's features hold NaN or infinite values");
  encoder_ = own ? &model_->motion_encoder_ : &model_->encoder_;
  encoding_ = own ? &encoding.motion_encoder : &encoding.encoder;
  encoder_->begin(*executor_, *encoding_, encoding.normal, request_.frames);
  phase_ = Phase::latents;
  return true;
}

bool Reading::advance() noexcept {
  const Executor& executor = *executor_;
  Workspace::Reading& reading = workspace_->reading_;
  switch (phase_) {
    case Phase::words:
      if (model_->text_.advance(executor, reading.text)) break;
      phase_ = request_.embeds() ? Phase::done : Phase::memory;
      break;
    case Phase::memory:
      if (model_->text_.memory(executor, reading.text, reading.queries.memory)) break;
      model_->queries_.begin(reading.queries, request_.piece_count);
      phase_ = Phase::queries;
      break;
    case Phase::latents:
      if (encoder_->advance(executor, *encoding_, workspace_->latents_)) break;
      phase_ = request_.ids != nullptr ? Phase::done : Phase::queries;
      if (phase_ == Phase::queries) read_latents();
      break;
    case Phase::queries:
      if (!model_->queries_.advance(executor, reading.queries)) phase_ = Phase::done;
      break;
    case Phase::done:
      break;
  }
  return phase_ != Phase::done;
}

bool Reading::finish(Error& error) noexcept {
  Workspace::Reading& reading = workspace_->reading_;
  if (request_.condition != nullptr) {
    model_->queries_.mean(*executor_, reading.queries, request_.condition);
  } else if (request_.ids != nullptr) {
    if (!codebook_lookup(workspace_->latents_, request_.frames / kFramesPerToken, model_->codebook_,
                         model_->sizes_.codes, encoder_->code_width(), request_.ids)) {
      return fail(error, status::not_finite, "the motion's features are too large to be encoded");
    }
  } else if (request_.features != nullptr) {
    embed_queries();
  } else {
    model_->text_.embedding(*executor_, reading.text, request_.embedding);
  }
  return true;
}

void Reading::read_latents() noexcept {
  Workspace::Reading& reading = workspace_->reading_;
  const std::size_t tokens = request_.frames / kFramesPerToken;
  reading.latents.prepare(*executor_, workspace_->latents_, model_->motion_memory_.inputs(), tokens);
  LinearCall memory;
  memory.out = reading.queries.memory;
  model_->motion_memory_.run(*executor_, reading.latents, memory);
  model_->queries_.begin(reading.queries, tokens);
}

void Reading::embed_queries() noexcept {
  Workspace::Reading& reading = workspace_->reading_;
  const std::size_t width = model_->sizes_.embedding_width, count = model_->queries_.count();
  reading.queries.stream.normalise(*executor_, reading.queries.stream.x, count);
  LinearCall embed;
  embed.out = float_rows(reading.embeddings, width);
  model_->motion_embedding_.run(*executor_, reading.queries.stream.input, embed);
  float* const embedding = request_.embedding;
  std::fill_n(embedding, width, 0.0f);
  for (std::size_t query = 0; query < count; ++query) {
    float* row = reading.embeddings + query * width;
    to_unit(row, width);
    for (std::size_t i = 0; i < width; ++i) embedding[i] += row[i];
  }
  to_unit(embedding, width);
}

std::size_t Workspace::bytes(const Model& model, const WorkspaceOptions& options) noexcept {
  Workspace measured;
  Arena arena;
  measured.lay_out(model, std::max(options.max_tokens, model.sizes_.max_tokens), arena);
  return measured.used_;
}

bool Workspace::create(const Model& model, const WorkspaceOptions& options, const Allocator& allocator,
                       Error& error) noexcept {
  try {
    memory_ = Buffer<unsigned char>(bytes(model, options), allocator);
  } catch (const std::bad_alloc&) {
    return fail(error, status::out_of_memory, "there is not enough memory for a workspace of %zu bytes",
                bytes(model, options));
  }
  Arena arena(memory_.data(), memory_.size());
  lay_out(model, std::max(options.max_tokens, model.sizes_.max_tokens), arena);
  return true;
}

void Workspace::lay_out(const Model& model, std::size_t max_tokens, Arena& arena) noexcept {
  const ModelSizes& sizes = model.sizes_;
  const Kernels& kernels = *model.kernels_;
  max_tokens_ = max_tokens;
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

bool Generation::begin(const Model& model, Workspace& workspace, const Executor& executor,
                       const GenerationRequest& request, Error& error) noexcept {
  phase_ = Phase::none;
  model_ = &model;
  workspace_ = &workspace;
  executor_ = &executor;
  decoding_ = request.decoding;
  decodes_ = request.decodes;
  edge_ = decodes_ ? request.edge_tokens : 0;
  tokens_ = request.tokens;
  has_known_ = request.known != nullptr;
  const ModelSizes& sizes = model.sizes();
  const DecodingOptions& options = request.decoding;
  if (!sizes.makes_motions) return fail(error, status::unsupported, kMakesNone);
  if (tokens_ == 0 && has_known_) {
    return fail(error, status::invalid_argument, "known tokens are given, but not how many there are");
  }
  if (tokens_ == 0 && !sizes.predicts_lengths) return fail(error, status::unsupported, kPredictsNone);
  if (tokens_ > sizes.max_tokens) {
    return fail(error, status::invalid_argument, "%zu tokens are wanted, expected 1 to %zu", tokens_, sizes.max_tokens);
  }
  if ((tokens_ == 0 ? sizes.max_tokens : tokens_) + 2 * edge_ > workspace.max_tokens_) {
    return fail(error, status::invalid_argument,
                "%zu tokens at either end are decoded besides, the workspace has %zu in all", edge_,
                workspace.max_tokens_);
  }
  if (options.steps < 1 || options.steps > std::numeric_limits<std::uint32_t>::max() - 1) {
    return fail(error, status::invalid_argument, "the number of steps is %zu, expected at least 1", options.steps);
  }
  if (!std::isfinite(options.guidance_scale) || !(options.temperature > 0) || !std::isfinite(options.temperature)) {
    return fail(error, status::invalid_argument,
                "the guidance scale is %g and the temperature %g, expected finite numbers, the latter above 0",
                static_cast<double>(options.guidance_scale), static_cast<double>(options.temperature));
  }
  if (options.top_k > sizes.codes) {
    return fail(error, status::invalid_argument, "top_k is %zu, expected 1 to %zu", options.top_k, sizes.codes);
  }
  if (has_known_ && !model.check_known(request.known, tokens_, error)) return false;
  if (has_known_) std::copy_n(request.known, tokens_, workspace.ids_);

  if (request.condition != nullptr) {
    std::copy_n(request.condition, sizes.condition_width, workspace.condition_);
    begin_drawing();
    return true;
  }
  if (request.text == nullptr) return fail(error, status::invalid_argument, "a text or its condition is needed");
  ReadingRequest reading;
  reading.text = request.text;
  reading.text_bytes = request.text_bytes;
  reading.condition = workspace.condition_;
  if (!reading_.begin(model, workspace, executor, reading, error)) return false;
  phase_ = Phase::reading;
  return true;
}

void Generation::begin_drawing() noexcept {
  Workspace& workspace = *workspace_;
  if (tokens_ == 0) {
    tokens_ = model_->length_.predict(*executor_, workspace.reading_.length, workspace.condition_);
    tokens_ = std::min(tokens_, model_->sizes_.max_tokens);
  }
  if (!has_known_) std::fill_n(workspace.ids_, tokens_, static_cast<std::int64_t>(model_->sizes_.codes));
  model_->generator_.begin(*executor_, workspace.drawing_, decoding_, workspace.condition_, workspace.ids_, tokens_);
  phase_ = Phase::drawing;
}

void Generation::pause(std::int64_t* ids, float* condition) noexcept {
  std::copy_n(workspace_->ids_, tokens_, ids);
  std::copy_n(workspace_->condition_, model_->sizes_.condition_width, condition);
  step_ = workspace_->drawing_.step;
  wanted_ = workspace_->drawing_.wanted;
}

void Generation::resume(const std::int64_t* ids, const float* condition) noexcept {
  std::copy_n(ids, tokens_, workspace_->ids_);
  std::copy_n(condition, model_->sizes_.condition_width, workspace_->condition_);
  model_->generator_.begin(*executor_, workspace_->drawing_, decoding_, condition, ids, tokens_);
  workspace_->drawing_.step = step_;
  workspace_->drawing_.wanted = wanted_;
}

void Generation::begin_decoding() noexcept {
  std::int64_t* const ids = workspace_->ids_;
  std::memmove(ids + edge_, ids, tokens_ * sizeof *ids);
  std::fill_n(ids, edge_, ids[edge_]);
  std::fill_n(ids + edge_ + tokens_, edge_, ids[edge_ + tokens_ - 1]);
  model_->decoder_.begin(workspace_->decoding_, ids, tokens_ + 2 * edge_);
  phase_ = Phase::decoding;
}

bool Generation::advance() noexcept {
  Workspace& workspace = *workspace_;
  const Executor& executor = *executor_;
  switch (phase_) {
    case Phase::reading: {
      if (reading_.advance()) break;
      Error none;  // a text cannot fail any more
      reading_.finish(none);
      begin_drawing();
      break;
    }
    case Phase::drawing:
      if (model_->generator_.advance(executor, workspace.drawing_, workspace.first_step_, workspace.ids_)) break;
      if (decodes_) {
        begin_decoding();
      } else {
        phase_ = Phase::done;
      }
      break;
    case Phase::decoding:
      if (model_->decoder_.advance(executor, workspace.decoding_, workspace.features_)) break;
      model_->to_units(workspace.features_, (tokens_ + 2 * edge_) * kFramesPerToken);
      phase_ = Phase::done;
      break;
    case Phase::none:
    case Phase::done:
      break;
  }
  return phase_ != Phase::none && phase_ != Phase::done;
}

float Generation::progress() const noexcept {
  switch (phase_) {
    case Phase::drawing:
      return 0.05f + 0.9f * static_cast<float>(workspace_->drawing_.step) / static_cast<float>(decoding_.steps);
    case Phase::decoding:
      return 0.95f;
    case Phase::done:
      return 1.0f;
    default:
      return 0.0f;
  }
}

}  // namespace lf
