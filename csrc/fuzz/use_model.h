// What a program does with a model, on one thread and in a moment.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "generation.h"

namespace lf {

// Whatever could be read must also run, or say why not.
inline void use_model(const unsigned char* data, std::size_t bytes) {
  const Allocator memory = system_allocator();
  const Kernels& kernels = *find_kernels(Isa::portable);
  const Executor executor;
  Error error;
  Model model;
  if (!model.read(data, bytes, Precision::f32, memory, error, kernels)) {
    // A sentence, or the fuzzer hears of it.
    if (error.status == status::ok || error.text[0] == '\0') std::abort();
    return;
  }
  constexpr std::size_t room = 64u << 20;
  if (Workspace::bytes(model, 0) > room) return;
  Workspace workspace;
  if (!workspace.create(model, 0, memory, error)) return;

  constexpr char prompt[] = "a person walks";
  GenerationRequest request;
  request.text = prompt;
  request.text_bytes = sizeof prompt - 1;
  request.tokens = model.sizes().max_tokens < 3 ? model.sizes().max_tokens : 3;
  request.decoding.steps = 2;
  Generation generation;
  if (generation.begin(model, workspace, executor, request, error)) {
    while (generation.advance()) {
    }
  }
  std::vector<float> embedding(model.sizes().embedding_width);
  const std::vector<float> features(9 * model.sizes().features);
  ReadingRequest text, motion;
  text.text = prompt;
  text.text_bytes = sizeof prompt - 1;
  motion.features = features.data();
  motion.frames = 9;
  text.embedding = motion.embedding = embedding.data();
  for (const ReadingRequest& each : {text, motion}) Reading().run(model, workspace, executor, each, error);
}

}  // namespace lf
