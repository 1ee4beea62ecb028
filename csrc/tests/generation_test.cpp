// Generation as streams use it, on a tiny model of random weights.
#include <cstring>
#include <vector>

#include "expect.h"
#include "generation.h"
#include "tiny_model.h"

namespace {

lf::ReadingRequest text(const char* words) {
  lf::ReadingRequest request;
  request.text = words;
  request.text_bytes = std::strlen(words);
  return request;
}

lf::ReadingRequest frames(const std::vector<float>& features, std::size_t count) {
  lf::ReadingRequest request;
  request.features = features.data();
  request.frames = count;
  return request;
}

// The features of a piece of a longer motion are those that the decoder gives in the middle of repeated tokens.
void edges_are_decoded_and_left_out() {
  const std::vector<unsigned char> file = lf::tiny_model();
  lf::Model model;
  lf::Error error;
  expect(model.read(file.data(), file.size(), lf::Precision::f32, lf::system_allocator(), error), "the model is read");
  const lf::Executor executor;
  const std::size_t width = model.sizes().features, most = model.sizes().max_tokens;
  lf::Workspace workspace, small;
  expect(workspace.create(model, most + 4, lf::system_allocator(), error), "a workspace with room for edges");
  expect(small.create(model, 0, lf::system_allocator(), error), "a workspace");
  lf::GenerationRequest request;
  request.text = "a person walks";
  request.text_bytes = std::strlen(request.text);
  request.edge_tokens = 2;
  for (const std::size_t tokens : {std::size_t{1}, std::size_t{7}, most}) {
    request.tokens = tokens;
    lf::Generation generation;
    expect(generation.begin(model, workspace, executor, request, error), error.text);
    while (generation.advance()) {
    }
    expect(generation.tokens() == tokens, "as many tokens as asked for");
    std::vector<std::int64_t> ids(generation.ids(), generation.ids() + tokens);
    const std::vector<float> found(generation.features(), generation.features() + 4 * tokens * width);
    ids.insert(ids.begin(), 2, ids.front());
    ids.insert(ids.end(), 2, ids.back());
    std::vector<float> expected(4 * ids.size() * width);
    expect(model.decode(workspace, executor, ids.data(), ids.size(), expected.data(), error), "all are decoded");
    expect(std::equal(found.begin(), found.end(), expected.begin() + 8 * width), "features of the tokens between");

    lf::GenerationRequest plain = request;
    plain.edge_tokens = 0;
    lf::Generation without;
    expect(without.begin(model, small, executor, plain, error), error.text);
    while (without.advance()) {
    }
    expect(std::equal(ids.begin() + 2, ids.end() - 2, without.ids()), "edges change no token");
  }
  lf::Generation generation;
  expect(!generation.begin(model, small, executor, request, error), "a workspace too small for edges");
}

// Weights are packed, tables copied: what the bytes become later is nobody's concern.
void a_loaded_model_needs_no_file() {
  const std::vector<unsigned char> other = lf::tiny_model();
  lf::Buffer<unsigned char> file(other.size(), lf::system_allocator());  // aligned, so that it is read where it lies
  std::memcpy(file.data(), other.data(), other.size());
  lf::Model model, kept;
  lf::Error error;
  expect(model.read(file.data(), file.size(), lf::Precision::f32, lf::system_allocator(), error), error.text);
  expect(kept.read(other.data(), other.size(), lf::Precision::f32, lf::system_allocator(), error), error.text);
  std::memset(file.data(), 0xff, file.size());
  const lf::Executor executor;
  const char prompt[] = "a person walks";
  const std::size_t width = model.sizes().features, most = model.sizes().max_tokens;
  const std::vector<float> motion(12 * width, 0.1f);
  std::vector<float> results[2];
  std::vector<std::int64_t> ids[2];
  for (const lf::Model* each : {&model, &kept}) {
    lf::Workspace workspace;
    expect(workspace.create(*each, 0, lf::system_allocator(), error), error.text);
    lf::GenerationRequest request;
    request.text = prompt;
    request.text_bytes = sizeof prompt - 1;
    request.tokens = most;
    lf::Generation generation;
    expect(generation.begin(*each, workspace, executor, request, error), error.text);
    while (generation.advance()) {
    }
    std::vector<float>& result = results[each == &kept];
    result.assign(generation.features(), generation.features() + 4 * most * width);
    std::size_t tokens = 0;
    expect(each->length(workspace, executor, generation.condition(), tokens, error), error.text);
    std::vector<float> embeddings(2 * each->sizes().embedding_width);
    ids[each == &kept].assign(3, static_cast<std::int64_t>(tokens));
    lf::ReadingRequest words = text(prompt), moves = frames(motion, 12), codes = frames(motion, 8);
    words.embedding = embeddings.data();
    moves.embedding = embeddings.data() + each->sizes().embedding_width;
    codes.ids = ids[each == &kept].data();
    for (const lf::ReadingRequest& reading : {words, moves, codes}) {
      expect(lf::Reading().run(*each, workspace, executor, reading, error), error.text);
    }
    result.insert(result.end(), embeddings.begin(), embeddings.end());
  }
  expect(results[0] == results[1] && ids[0] == ids[1], "the same without the file");
}

// The embedding has no numbers then, and its place may be null.
void a_model_that_reads_no_motions_embeds_nothing() {
  lf::TinyModel tiny;
  tiny.reads_motions = false;
  const std::vector<unsigned char> file = lf::tiny_model(tiny);
  const lf::Executor executor;
  lf::Model model;
  lf::Workspace workspace;
  lf::Error error;
  expect(model.read(file.data(), file.size(), lf::Precision::f32, lf::system_allocator(), error), error.text);
  expect(workspace.create(model, 0, lf::system_allocator(), error), error.text);
  const std::vector<float> features(8 * model.sizes().features);
  for (const lf::ReadingRequest& request : {text("a person"), frames(features, 8)}) {
    lf::Error refused;
    expect(!lf::Reading().run(model, workspace, executor, request, refused), "no embedding");
    expect(refused.status == lf::status::unsupported, "what is missing is said");
  }
}

}  // namespace

int main() {
  a_model_that_reads_no_motions_embeds_nothing();
  a_loaded_model_needs_no_file();
  edges_are_decoded_and_left_out();
  return failures == 0 ? 0 : 1;
}
