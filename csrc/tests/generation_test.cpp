// Generation as streams use it, on a tiny model of random weights.
#include <cstring>
#include <vector>

#include "expect.h"
#include "model.h"
#include "tiny_model.h"

namespace {

// The features of a piece of a longer motion are those that the decoder gives in the middle of repeated tokens.
void edges_are_decoded_and_left_out() {
  const std::vector<unsigned char> file = lf::tiny_model();
  lf::Model model;
  lf::Error error;
  expect(model.read(file.data(), file.size(), lf::Precision::f32, lf::system_allocator(), error), "the model is read");
  const lf::Executor executor;
  const std::size_t width = model.sizes().features, most = model.sizes().max_tokens;
  lf::Workspace workspace, small;
  expect(workspace.create(model, {most + 4}, lf::system_allocator(), error), "a workspace with room for edges");
  expect(small.create(model, {}, lf::system_allocator(), error), "a workspace");
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

}  // namespace

int main() {
  edges_are_decoded_and_left_out();
  return failures == 0 ? 0 : 1;
}
