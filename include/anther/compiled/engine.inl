// Declares (ANTHER_TEMPLATE is `extern template`) or makes (`template`) the tape, the ops, the
// layers, the models and the optimisers for the scalar ANTHER_SCALAR.

#define ANTHER_CLASS(name) ANTHER_TEMPLATE class name<ANTHER_SCALAR>;
#define ANTHER_FUNCTION(name) ANTHER_TEMPLATE decltype(name<ANTHER_SCALAR>) name<ANTHER_SCALAR>;
#define ANTHER_VARIABLE Variable<ANTHER_SCALAR>
namespace anther::inline v0_1 {

ANTHER_CLASS(Tape)
ANTHER_CLASS(Call)
ANTHER_CLASS(Variable)
ANTHER_CLASS(ParameterStore)
ANTHER_TEMPLATE void kernels::use_bf16<ANTHER_SCALAR>();

// Functions that share a name are spelled out.
ANTHER_TEMPLATE ANTHER_VARIABLE operator+(const ANTHER_VARIABLE&, const ANTHER_VARIABLE&);
ANTHER_TEMPLATE ANTHER_VARIABLE operator-(const ANTHER_VARIABLE&, const ANTHER_VARIABLE&);
ANTHER_TEMPLATE ANTHER_VARIABLE operator*(const ANTHER_VARIABLE&, const ANTHER_VARIABLE&);
ANTHER_TEMPLATE ANTHER_VARIABLE operator/(const ANTHER_VARIABLE&, const ANTHER_VARIABLE&);
ANTHER_TEMPLATE ANTHER_VARIABLE operator*(const ANTHER_VARIABLE&, double);
ANTHER_TEMPLATE ANTHER_VARIABLE operator*(double, const ANTHER_VARIABLE&);
ANTHER_TEMPLATE ANTHER_VARIABLE cross_entropy(const ANTHER_VARIABLE&, const Labels<ANTHER_SCALAR>&,
                                              const CrossEntropyOptions&);
ANTHER_TEMPLATE ANTHER_VARIABLE cross_entropy(const ANTHER_VARIABLE&, std::span<const std::int32_t>,
                                              const CrossEntropyOptions&);
ANTHER_TEMPLATE ANTHER_VARIABLE cat(std::span<const ANTHER_VARIABLE>, int);
ANTHER_TEMPLATE ANTHER_VARIABLE cat(std::initializer_list<ANTHER_VARIABLE>, int);
ANTHER_TEMPLATE std::span<const ANTHER_VARIABLE> split(const ANTHER_VARIABLE&,
                                                       std::span<const std::int64_t>, int);
ANTHER_TEMPLATE std::span<const ANTHER_VARIABLE> split(const ANTHER_VARIABLE&,
                                                       std::initializer_list<std::int64_t>, int);
ANTHER_FUNCTION(adaptive_avg_pool2d)
ANTHER_FUNCTION(adjust_logits)
ANTHER_FUNCTION(argmax)
ANTHER_TEMPLATE ANTHER_VARIABLE
apply_loss<ANTHER_SCALAR, kernels::Loss::mse>(const ANTHER_VARIABLE&, const ANTHER_VARIABLE&,
                                              const LossOptions&, double, double, const double*);
ANTHER_FUNCTION(apply_masked_attention)
ANTHER_FUNCTION(avg_pool2d)
ANTHER_FUNCTION(batch_norm)
ANTHER_FUNCTION(binary_cross_entropy_with_logits)
ANTHER_FUNCTION(conv1d)
ANTHER_FUNCTION(conv2d)
ANTHER_FUNCTION(cosine_similarity)
ANTHER_FUNCTION(conv_transpose2d)
ANTHER_FUNCTION(depthwise_conv2d)
ANTHER_FUNCTION(depthwise_conv_transpose2d)
ANTHER_FUNCTION(drop_path)
ANTHER_FUNCTION(dropout)
ANTHER_FUNCTION(embedding)
ANTHER_FUNCTION(gelu)
ANTHER_FUNCTION(global_average_pool)
ANTHER_FUNCTION(group_norm)
ANTHER_FUNCTION(gru)
ANTHER_FUNCTION(instance_norm)
ANTHER_FUNCTION(interpolate)
ANTHER_FUNCTION(layer_norm)
ANTHER_FUNCTION(flatten)
ANTHER_FUNCTION(huber_loss)
ANTHER_FUNCTION(kl_div)
ANTHER_FUNCTION(l1_loss)
ANTHER_FUNCTION(linear)
ANTHER_FUNCTION(log_softmax)
ANTHER_FUNCTION(lstm)
ANTHER_FUNCTION(matmul)
ANTHER_FUNCTION(max_pool2d)
ANTHER_FUNCTION(mse_loss)
ANTHER_FUNCTION(narrow)
ANTHER_TEMPLATE ANTHER_VARIABLE reshape(const ANTHER_VARIABLE&, const Shape&);
ANTHER_FUNCTION(smooth_l1_loss)
ANTHER_FUNCTION(softmax)
ANTHER_FUNCTION(nll_loss)
ANTHER_FUNCTION(rms_norm)
ANTHER_FUNCTION(scaled_dot_product_attention)
ANTHER_FUNCTION(self_attention)
ANTHER_FUNCTION(subsample)
ANTHER_FUNCTION(topk)
ANTHER_FUNCTION(triplet_margin_loss)
ANTHER_FUNCTION(where)

ANTHER_FUNCTION(index_select)
ANTHER_FUNCTION(maximum)
ANTHER_FUNCTION(minimum)
ANTHER_FUNCTION(pad)
ANTHER_FUNCTION(pad_axis)
ANTHER_FUNCTION(pixel_shuffle)
ANTHER_FUNCTION(prelu)
ANTHER_FUNCTION(transpose)
ANTHER_FUNCTION(without_axes)
ANTHER_FUNCTION(chunk)
ANTHER_TEMPLATE ANTHER_VARIABLE permute(const ANTHER_VARIABLE&, std::span<const int>);
ANTHER_TEMPLATE ANTHER_VARIABLE stack(std::span<const ANTHER_VARIABLE>, int);

// Reductions, with the function that all call and the one that moves axes for the extremes.
#define ANTHER_REDUCE(name, Options)                                                 \
  ANTHER_TEMPLATE ANTHER_VARIABLE name(const ANTHER_VARIABLE&, std::span<const int>, \
                                       const Options&);
ANTHER_TEMPLATE ANTHER_VARIABLE reduce_axes(const Op<ANTHER_SCALAR>&, const ANTHER_VARIABLE&,
                                            std::span<const int>, const ReduceOptions&);
ANTHER_TEMPLATE ANTHER_VARIABLE extreme(const Op<ANTHER_SCALAR>&, const ANTHER_VARIABLE&,
                                        std::span<const int>, const ReduceOptions&);
ANTHER_REDUCE(amax, ReduceOptions)
ANTHER_REDUCE(amin, ReduceOptions)
ANTHER_REDUCE(mean, ReduceOptions)
ANTHER_REDUCE(norm, ReduceOptions)
ANTHER_REDUCE(sum, ReduceOptions)
ANTHER_REDUCE(var, VarOptions)
#undef ANTHER_REDUCE

// What the operators of two values call: binary.
#define ANTHER_BINARY(name, ...)                                                        \
  ANTHER_TEMPLATE ANTHER_VARIABLE binary<kernels::Binary::name>(const ANTHER_VARIABLE&, \
                                                                const ANTHER_VARIABLE&);
#include "anther/kernels/binary_table.inl"

// The element-wise ops, and pointwise, which they call.
#define ANTHER_POINTWISE(name, ...) ANTHER_FUNCTION(name)
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
#include "anther/kernels/pointwise_table.inl"

ANTHER_CLASS(Scope)
ANTHER_CLASS(Module)
ANTHER_CLASS(AnyModule)
ANTHER_CLASS(Sequential)
ANTHER_CLASS(AdaptiveAvgPool2d)
ANTHER_CLASS(AvgPool2d)
ANTHER_CLASS(BatchNorm2d)
ANTHER_CLASS(Conv1d)
ANTHER_CLASS(Conv2d)
ANTHER_CLASS(ConvTranspose2d)
ANTHER_CLASS(DropPath)
ANTHER_CLASS(Dropout)
ANTHER_CLASS(ELU)
ANTHER_CLASS(Embedding)
ANTHER_CLASS(GELU)
ANTHER_CLASS(GroupNorm)
ANTHER_CLASS(GRU)
ANTHER_CLASS(InstanceNorm2d)
ANTHER_CLASS(LayerNorm)
ANTHER_CLASS(LeakyReLU)
ANTHER_CLASS(Linear)
ANTHER_CLASS(LSTM)
ANTHER_CLASS(MaxPool2d)
ANTHER_CLASS(MultiheadAttention)
ANTHER_CLASS(NormBase)
ANTHER_CLASS(RecurrentBase)
ANTHER_CLASS(RMSNorm)
ANTHER_CLASS(Softplus)
ANTHER_CLASS(Upsample)
ANTHER_CLASS(Inference)
ANTHER_CLASS(InferencePlan)
ANTHER_FUNCTION(summarize)

ANTHER_CLASS(edgevit::PatchEmbed)
ANTHER_CLASS(edgevit::Ffn)
ANTHER_CLASS(edgevit::GlobalBlock)
ANTHER_CLASS(edgevit::LayerFactory)
ANTHER_CLASS(edgevit::LglBlock)
ANTHER_CLASS(edgevit::LocalAgg)
ANTHER_CLASS(edgevit::SparseAttention)
ANTHER_CLASS(EdgeViT)

ANTHER_CLASS(Optimizer)
ANTHER_CLASS(Adagrad)
ANTHER_CLASS(Adam)
ANTHER_CLASS(Lion)
ANTHER_CLASS(RMSprop)
ANTHER_CLASS(SGD)
ANTHER_CLASS(ModelEma)
ANTHER_CLASS(GradientNorm)

}  // namespace anther::inline v0_1
#undef ANTHER_CLASS
#undef ANTHER_FUNCTION
#undef ANTHER_VARIABLE
