// The engine for one scalar type, ANTHER_ONCE_T. ANTHER_ONCE is `extern` where a program is
// compiled, and nothing where the code is made.
namespace anther::inline v0_1 {

ANTHER_ONCE template class Tape<ANTHER_ONCE_T>;
ANTHER_ONCE template class ParameterStore<ANTHER_ONCE_T>;
ANTHER_ONCE template Variable<ANTHER_ONCE_T> operator+(const Variable<ANTHER_ONCE_T>&,
                                                       const Variable<ANTHER_ONCE_T>&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> operator+(Variable<ANTHER_ONCE_T>&&,
                                                       const Variable<ANTHER_ONCE_T>&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> operator*(const Variable<ANTHER_ONCE_T>&, double);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> gelu(const Variable<ANTHER_ONCE_T>&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> relu(const Variable<ANTHER_ONCE_T>&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> self_attention(const Variable<ANTHER_ONCE_T>&,
                                                            std::int64_t);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> scaled_dot_product_attention(
    const Variable<ANTHER_ONCE_T>&, const Variable<ANTHER_ONCE_T>&, const Variable<ANTHER_ONCE_T>&,
    std::int64_t);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> conv2d(const Variable<ANTHER_ONCE_T>&,
                                                    const Variable<ANTHER_ONCE_T>&,
                                                    const Variable<ANTHER_ONCE_T>&,
                                                    const Conv2dOptions&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> depthwise_conv2d(const Variable<ANTHER_ONCE_T>&,
                                                              const Variable<ANTHER_ONCE_T>&,
                                                              const Variable<ANTHER_ONCE_T>&,
                                                              const DepthwiseConv2dOptions&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> depthwise_conv_transpose2d(
    const Variable<ANTHER_ONCE_T>&, const Variable<ANTHER_ONCE_T>&, const Variable<ANTHER_ONCE_T>&,
    const DepthwiseConvTranspose2dOptions&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> cross_entropy(const Variable<ANTHER_ONCE_T>&,
                                                           const Labels<ANTHER_ONCE_T>&,
                                                           const CrossEntropyOptions&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> adjust_logits(const Variable<ANTHER_ONCE_T>&,
                                                           std::span<const ANTHER_ONCE_T>);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> dropout(const Variable<ANTHER_ONCE_T>&, double);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> drop_path(const Variable<ANTHER_ONCE_T>&, double);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> linear(const Variable<ANTHER_ONCE_T>&,
                                                    const Variable<ANTHER_ONCE_T>&,
                                                    const Variable<ANTHER_ONCE_T>&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> group_norm(const Variable<ANTHER_ONCE_T>&,
                                                        std::int64_t,
                                                        const Variable<ANTHER_ONCE_T>&,
                                                        const Variable<ANTHER_ONCE_T>&, double);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> layer_norm(const Variable<ANTHER_ONCE_T>&,
                                                        const Variable<ANTHER_ONCE_T>&,
                                                        const Variable<ANTHER_ONCE_T>&, double);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> batch_norm(const Variable<ANTHER_ONCE_T>&,
                                                        const Variable<ANTHER_ONCE_T>&,
                                                        const Variable<ANTHER_ONCE_T>&,
                                                        ANTHER_ONCE_T*, ANTHER_ONCE_T*,
                                                        const BatchNormOptions&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> global_average_pool(const Variable<ANTHER_ONCE_T>&);
ANTHER_ONCE template Variable<ANTHER_ONCE_T> subsample(const Variable<ANTHER_ONCE_T>&,
                                                       std::int64_t);
ANTHER_ONCE template class Conv2d<ANTHER_ONCE_T>;
ANTHER_ONCE template class ConvTranspose2d<ANTHER_ONCE_T>;
ANTHER_ONCE template class Linear<ANTHER_ONCE_T>;
ANTHER_ONCE template class GroupNorm<ANTHER_ONCE_T>;
ANTHER_ONCE template class LayerNorm<ANTHER_ONCE_T>;
ANTHER_ONCE template class BatchNorm2d<ANTHER_ONCE_T>;
ANTHER_ONCE template class InstanceNorm2d<ANTHER_ONCE_T>;
ANTHER_ONCE template class EdgeViT<ANTHER_ONCE_T>;
ANTHER_ONCE template class Adam<ANTHER_ONCE_T>;
ANTHER_ONCE template class Sgd<ANTHER_ONCE_T>;
ANTHER_ONCE template class Trainer<ANTHER_ONCE_T>;

}  // namespace anther::inline v0_1
