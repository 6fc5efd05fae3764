// A model of the next character: embeddings, then GPT-2's blocks or a GRU, then logits.
#pragma once

#include "anther/anther.hpp"
#include "anther/nn/attention.hpp"
#include "anther/nn/embedding.hpp"
#include "anther/nn/recurrent.hpp"

// x + attention(norm(x)), then x + mlp(norm(x)). Each character sees itself and those before it.
template <class T>
struct CharacterBlock : anther::Module<T> {
  CharacterBlock(const anther::Scope<T>& scope, std::int64_t width)
      : anther::Module<T>(scope, "CharacterBlock"),
        norm1(scope / "norm1", width),
        attention(scope / "attention", width, width / 32, {.is_causal = true}),
        norm2(scope / "norm2", width),
        fc1(scope / "fc1", width, 4 * width),
        fc2(scope / "fc2", 4 * width, width) {}
  anther::Variable<T> forward(anther::Variable<T> x) const override {
    x = x + attention(norm1(x));
    return x + fc2(gelu(fc1(norm2(x))));
  }
  anther::LayerNorm<T> norm1;
  anther::MultiheadAttention<T> attention;
  anther::LayerNorm<T> norm2;
  anther::Linear<T> fc1, fc2;
};

// Numbers of characters (N, length) to logits (N, length, characters) of those after them.
struct CharacterModel : anther::Module<float> {
  CharacterModel(const anther::Scope<float>& scope, std::int64_t characters, std::int64_t length,
                 bool with_gru, std::int64_t width = 128)
      : Module(scope, "CharacterModel"),
        embedding(scope / "embedding", characters, width),
        body(scope / "body"),
        norm(scope / "norm", width),
        head(scope / "head", width, characters) {
    if (with_gru) {
      body.add<anther::GRU>(width, width);
      return;
    }
    position =
        scope.parameter("position", {.shape = {length, width}, .init = anther::Init::normal(0.02)});
    body.add<CharacterBlock>(width).add<CharacterBlock>(width);
  }
  anther::Variable<float> forward(anther::Variable<float> x) const override {
    x = embedding(x);
    if (position) x = x + x.tape().parameter(position);
    return head(norm(body(x)));
  }
  anther::Embedding<float> embedding;
  anther::Parameter<float> position;  // of the transformer alone: a GRU knows the order
  anther::Sequential<float> body;
  anther::LayerNorm<float> norm;
  anther::Linear<float> head;
};
